"""`dsjobs explain`: what a diagnostic means, and where a value comes from. Needs no credentials and starts nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dsjobs import explanations
from dsjobs.cli import explained, explaining, options
from dsjobs.cli.console import Console
from dsjobs.cli.explaining import Flags, Read
from dsjobs.cli.garbage import no_collections
from dsjobs.diagnostics import CODES, did_you_mean, has_errors, in_order
from dsjobs.errors import ExitCode, UsageError
from dsjobs.reports import explained as report

SECTIONS = ("vars", "settings", "pools")
"""What a job file has beside its jobs, as subjects."""


@click.command("explain", short_help="Say what a diagnostic means, or where a value comes from.")
@click.argument("subject", required=False, metavar="[CODE|JOB[.KEY]]")
@click.option("-f", "--file", "file", metavar="FILE", help="The job file.")
@options.environment
@options.variables
@options.var_files
@options.output("text", "json")
@options.chdir
@options.color
@click.pass_context
def command(
    context: click.Context,
    subject: str | None,
    file: str | None,
    env: str | None,
    given: tuple[tuple[str, str], ...],
    var_files: tuple[Path, ...],
    output: str,
    color: str,
) -> int:
    """Say what a diagnostic's CODE means, or where a value of the job file comes from. Without an argument: the codes.

    \b
    dsjobs explain DSJ104              a diagnostic, with an example
    dsjobs explain lost                a kind of failure; exit-codes
    dsjobs explain train               all keys of a job
    dsjobs explain train.inputs.ALPHA  one of them: each layer, which one counts,
                                       and the names in its template
    dsjobs explain 'train[seed=2].inputs.SEED'
    dsjobs explain vars.region         a variable; also settings.KEY, pools.NAME
    dsjobs explain jobs.lost           a job whose name is taken by another subject
    """
    console = Console(color=color)

    def answer(document: dict[str, Any], text: Callable[[dict[str, Any]], str]) -> None:
        if output == "json":
            console.answer_json(document)
        else:
            console.answer(text(document))

    if subject is None:
        answer(_all_codes(), report.codes)
        return ExitCode.OK
    name = _code(subject)
    if name is not None:
        answer(_explanation(name), report.code)
        return ExitCode.OK
    asked = _asked(subject)
    source = "DSJOBS_ENV" if context.get_parameter_source("env") is ParameterSource.ENVIRONMENT else "--env"
    with no_collections():
        read = explaining.read(console, Flags(file, env, source, given, var_files))
        document = _explained(read, asked)
        console.diagnostics(in_order(read.diagnostics), read.sources)
    answer(document, report.key if document["keys"] and document["keys"][0]["key"] == asked.key else report.table)
    return ExitCode.INVALID if has_errors(read.diagnostics) else ExitCode.OK


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be explained: a job or cell, or a section; and what of it. `is_job`: it is said to be a job."""

    subject: str
    head: str
    path: tuple[str, ...]
    is_job: bool

    @property
    def is_section(self) -> bool:
        return self.head in SECTIONS and not self.is_job

    @property
    def key(self) -> str:
        """What is explained where it is one key."""
        return ".".join((self.head, *self.path) if self.is_section else self.path)


def _code(subject: str) -> str | None:
    """The code or topic that is meant; None where it is something of a job file. Raises UsageError for an unknown code."""
    upper = subject.upper()
    if upper in CODES:
        return upper
    if re.fullmatch(r"DSJ\d+", upper):
        raise UsageError(
            f"there is no code {upper}", hint=did_you_mean(upper, CODES) or "`dsjobs explain` lists the codes"
        )
    topic = subject.lower().replace("_", "-")
    return topic if topic in explanations.TOPICS else None


def _all_codes() -> dict[str, Any]:
    return {
        "codes": [{"name": code, "meaning": meaning} for code, meaning in CODES.items()],
        "topics": [{"name": topic, "meaning": meaning} for topic, meaning in explanations.TOPICS.items()],
    }


def _explanation(name: str) -> dict[str, Any]:
    found = explanations.explain(name)
    return {
        "name": found.name,
        "meaning": found.meaning,
        "text": found.text,
        "files": [{"name": file.name, "text": file.text} for file in found.files],
        "printed": found.printed,
        "remedy": found.remedy,
    }


_SUBJECT = re.compile(r"(?P<head>[^.\[]+(?:\[[^\]]*\])?)(?:\.(?P<rest>.+))?", re.DOTALL)


def _asked(subject: str) -> _Asked:
    is_job = subject.startswith("jobs.")
    match = _SUBJECT.fullmatch(subject.removeprefix("jobs."))
    if match is None:
        raise UsageError(f"'{subject}' is nothing to explain", hint="write a code, JOB, JOB.KEY or vars.NAME")
    rest = match["rest"]
    return _Asked(subject, match["head"], tuple(rest.split(".")) if rest else (), is_job)


def _explained(read: Read, asked: _Asked) -> dict[str, Any]:
    document: dict[str, Any] = {
        "subject": asked.subject,
        "environment": read.given.environment.name,
        "file": read.given.spec.file,
    }
    if asked.is_section:
        return {**document, "keys": explaining.section(read, asked.head, asked.path)}
    job = explaining.job(read, asked.head)
    if not asked.path:
        return {**document, "keys": explained.every_key(job)}
    return {**document, "keys": explained.names_in(job, asked.path) or [explained.one_key(job, asked.path)]}
