"""What cannot go on, as text and an exit code. A user's mistake never shows a traceback; a bug leaves a report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import click

from dsjobs import __version__
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.cli.console import KNOWN, Console
from dsjobs.diagnostics import Diagnostic
from dsjobs.errors import DsjobsError, ExitCode, InvalidFileError
from dsjobs.marks import Source
from dsjobs.secrets import Secret


class RefusedError(InvalidFileError):
    """Diagnostics that end a command. They have been shown already."""


class UnprovidedError(RefusedError):
    """The same of secrets that cannot be had, as credentials that cannot: nothing was decided about the jobs."""

    exit_code = ExitCode.BACKEND


def refuse(
    console: Console,
    diagnostics: Sequence[Diagnostic],
    sources: Sequence[Source],
    kind: type[RefusedError] = RefusedError,
) -> RefusedError:
    """Show `diagnostics`; raise what comes back."""
    console.diagnostics(diagnostics, sources)
    errors = sum(diagnostic.is_error for diagnostic in diagnostics)
    return kind(f"{errors} error{'s' if errors != 1 else ''}", diagnostics=diagnostics)


def report(error: Exception) -> int:
    """Say what happened and return the exit code."""
    console = Console()
    if isinstance(error, RefusedError):
        console.progress(str(error))
        return error.exit_code
    if isinstance(error, DsjobsError):
        console.error(str(error), error.hint)
        return error.exit_code
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        console.error(f"{name}{error.strerror or error}", None)
        return ExitCode.BACKEND
    for token in _given_tokens(sys.argv):
        KNOWN.learn(Secret("--iam-token", token))
    path = _write_report(error)
    what = scrub(f"{type(error).__name__}: {error}")
    console.error(f"this is a bug in dsjobs: {what}", f"please report it with {path}")
    return ExitCode.BUG


def report_usage(error: click.ClickException) -> int:
    """Say what is wrong with the command line itself, and return the exit code."""
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows how it is used" if context else None
    Console().error(error.format_message(), hint)
    return ExitCode.USAGE


def _given_tokens(arguments: Sequence[str]) -> Iterator[str]:
    """The values of --iam-token on a command line as it was written: a bug may come before click has read it."""
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        token = value if equals else following
        if name == "--iam-token" and token.strip():
            yield token


def _write_report(error: Exception) -> str:
    """The path of a file that its user may send to others: no known secret is in it, and nothing that looks like a token."""
    import platform
    import tempfile
    import traceback

    lines = [
        f"dsjobs {__version__}, Python {platform.python_version()}, {platform.platform()}",
        "command: " + " ".join(sys.argv),
        "",
        *traceback.format_exception(error),
    ]
    with tempfile.NamedTemporaryFile(
        "w", prefix="dsjobs-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(scrub(KNOWN.mask("\n".join(lines))))
    return file.name
