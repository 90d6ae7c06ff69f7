"""The flags that mean the same in every command; each can be set as DSJOBS_<FLAG>."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dsjobs.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _chdir(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise UsageError(f"{value}: cannot change to this folder: {error.strerror}") from None


def _variables(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{value}' is not NAME=VALUE")
        pairs.append((name, text))
    return tuple(pairs)


chdir = click.option(
    "-C", "--chdir", metavar="DIR", envvar="DSJOBS_CHDIR", is_eager=True, expose_value=False, callback=_chdir,
    help="Work as if started in DIR.",
)  # fmt: skip
file = click.argument("file", required=False, envvar="DSJOBS_FILE")
environment = click.option("-e", "--env", metavar="NAME", envvar="DSJOBS_ENV", help="The environment to run in.")
variables = click.option(
    "--var", "given", metavar="NAME=VALUE", multiple=True, callback=_variables,
    help="Set a variable; VALUE is read as YAML unless the variable is text. Repeatable.",
)  # fmt: skip
jobs = click.option(
    "-j", "--jobs", "max_parallel", metavar="N", type=click.IntRange(min=1), envvar="DSJOBS_JOBS",
    help="How many jobs may be in flight at once.",
)  # fmt: skip
color = click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", envvar="DSJOBS_COLOR", show_default=True,
    help="When to use colours.",
)  # fmt: skip
quiet = click.option("-q", "--quiet", is_flag=True, envvar="DSJOBS_QUIET", help="Show errors and the answer only.")
state_dir = click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), envvar="DSJOBS_STATE_DIR",
    help="Where runs are kept. Default: .dsjobs beside the job file.",
)  # fmt: skip


def output(*kinds: str) -> Callable[[Command], Command]:
    """`-o`, with the kinds that the command can print."""
    return click.option(
        "-o", "--output", type=click.Choice(kinds), default="text", envvar="DSJOBS_OUTPUT", show_default=True,
        help="What is printed to stdout.",
    )  # fmt: skip
