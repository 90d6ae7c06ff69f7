"""The only place that prints: answers to stdout, progress and diagnostics to stderr, all of it without secrets."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from dsjobs.diagnostics import Diagnostic, text
from dsjobs.marks import Source
from dsjobs.secrets import Redactor, Secret

KNOWN = Redactor()
"""The secrets that this process has read: one for all of it, because what ends a command is told by who knows nothing of it."""

_STYLES: dict[str, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "succeeded": {"fg": "green"},
    "failed": {"fg": "red", "bold": True},
    "cancelled": {"fg": "yellow"},
    "skipped": {"fg": "yellow"},
    "running": {"fg": "cyan"},
    "detached": {"fg": "cyan"},
    "interrupted": {"fg": "yellow"},
    "unbegun": {"dim": True},
    "damaged": {"fg": "red", "bold": True},
    "same": {"fg": "green"},
    "close": {"fg": "cyan"},
    "different": {"fg": "red", "bold": True},
    "missing": {"fg": "red", "bold": True},
    "dim": {"dim": True},
}
_SYMBOLS = {
    "succeeded": ("✓", "+"), "failed": ("✗", "x"), "cancelled": ("■", "!"), "skipped": ("↷", "-"), "running": ("▶", ">"),
    "pending": ("·", "."), "detached": ("⏏", "^"), "interrupted": ("↯", "!"), "unbegun": ("·", "."),
    "damaged": ("✗", "x"),
    "same": ("✓", "+"), "close": ("≈", "~"), "different": ("✗", "x"), "missing": ("✗", "x"),
}  # fmt: skip
_PLAIN = str.maketrans({"·": "-", "…": "...", "→": "->"})
"""What our own texts use beyond ASCII, for terminals that cannot show it."""


class Console:
    """Prints text and JSON. `color`: auto, always or never; `quiet` keeps progress to itself."""

    def __init__(self, *, color: str = "auto", quiet: bool = False) -> None:
        self._color = color
        self._quiet = quiet

    def answer(self, text: str) -> None:
        """A part of the answer, to stdout."""
        self._print(text, sys.stdout)

    def answer_json(self, data: Any, *, indent: int | None = 2) -> None:
        """The answer as one JSON document, on one line without `indent`."""
        # In the text, a mask would not keep to the borders of JSON's words.
        data = KNOWN.mask_json(data)
        text = json.dumps(data, ensure_ascii=False, indent=indent, allow_nan=False)
        # What the stream cannot show must become an escape of JSON's, not one of Python's.
        self._write(text if _can_encode(text, sys.stdout) else json.dumps(data, indent=indent), sys.stdout)

    def progress(self, text: str) -> None:
        """Something that happened, to stderr."""
        if not self._quiet:
            self._print(text, sys.stderr)

    def error(self, message: str, hint: str | None) -> None:
        """What ended the command, with what to do about it."""
        self._print(f"{self.styled('error', 'error', sys.stderr)}: {message}", sys.stderr)
        if hint:
            self._print(f"  hint: {hint}", sys.stderr)

    def confirms(self, question: str) -> bool | None:
        """What the user at the terminal answers, no by default; None where there is no terminal to ask at."""
        if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
            return None
        return click.confirm(question, err=True)

    def asks_for(self, name: str, question: str) -> bool | None:
        """Whether the user at the terminal answers with `name`; None where there is no terminal to ask at."""
        if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
            return None
        answer: str = click.prompt(question, default="", show_default=False, err=True)
        return answer.strip() == name

    def diagnostics(self, diagnostics: Sequence[Diagnostic], sources: Sequence[Source]) -> None:
        """Each diagnostic with its excerpt."""
        for diagnostic in diagnostics:
            shown = text(diagnostic, sources)
            word = f"{diagnostic.severity}: "
            styled = self.styled(diagnostic.severity, diagnostic.severity, sys.stderr) + ": "
            self._print(shown.replace(word, styled, 1), sys.stderr)

    def hide_in_ci(self, secret: Secret) -> None:
        """Tell the runner of GitHub Actions, if it is one that reads stderr, to mask a secret in its own log too.

        Page: Workflow commands for GitHub Actions, Masking a value in a log. A file that stderr goes to is no runner.
        """
        if os.environ.get("GITHUB_ACTIONS") == "true" and sys.stderr is not None and not _is_file(sys.stderr):
            value = secret.reveal().replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            self._echo(f"::add-mask::{value}", sys.stderr)

    def status_on_stdout(self, status: str) -> str:
        """As `status`, for the answer."""
        return self.status(status, sys.stdout)

    def status(self, status: str, stream: TextIO | None = None) -> str:
        """A status as symbol and word, never colour alone. It takes two columns more than `status`."""
        stream = stream or sys.stderr
        fancy, plain = _SYMBOLS.get(status, ("·", "."))
        symbol = fancy if _can_encode(fancy, stream) else plain
        return self.styled(f"{symbol} {status}", status, stream)

    def styled(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """`text` in a style, where colours are wanted."""
        return click.style(text, **_STYLES[style]) if style in _STYLES and self._wants_color(stream) else text

    def _wants_color(self, stream: TextIO | None) -> bool:
        if self._color != "auto":
            return self._color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return bool((stream or sys.stderr).isatty()) and os.environ.get("TERM") != "dumb"

    def _print(self, text: str, stream: TextIO | None) -> None:
        self._write(KNOWN.mask(text), stream)

    def _write(self, text: str, stream: TextIO | None) -> None:
        """Print what has no secrets in it any more."""
        if stream is None:  # the process was started with it closed
            return
        encoding = stream.encoding or "ascii"
        plain = text if _can_encode(text, stream) else text.translate(_PLAIN)
        self._echo(plain.encode(encoding, "backslashreplace").decode(encoding), stream)

    def _echo(self, text: str, stream: TextIO) -> None:
        try:
            # click would strip colours that were asked for with --color always.
            click.echo(text, file=stream, color=self._wants_color(stream))
        except OSError as error:
            if _has_left(error, stream):
                _silence(stream)
            elif stream is not sys.stderr:  # of what cannot be said there nobody can be told
                raise


def _has_left(error: OSError, stream: TextIO) -> bool:
    """Whether nobody will ever read `stream` again: a pipe without a reader, or a terminal that was closed, which gives EIO."""
    return isinstance(error, ConnectionError) or (error.errno == errno.EIO and not _is_file(stream))


def _silence(stream: TextIO) -> None:
    """Whoever read `stream` (`head`, a pager) has left. What is printed from now on goes nowhere; a run goes on to its end."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _can_encode(text: str, stream: TextIO | None) -> bool:
    if stream is None:
        return True
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
