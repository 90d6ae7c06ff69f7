"""Makes failures that a user can read of what Jupyter reports: an exception in a cell, or the death of a kernel."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsjobs.model import Failure
from dsjobs.notebook.kernelsettings import size_text
from dsjobs.notebook.reading import Cell
from dsjobs.secrets import Redactor

# CSI and OSC sequences, other escapes, control characters but tab and newline, and marks that turn the text's direction.
_INVISIBLE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
# How IPython 8 and 9 (then 8.0 to 8.4, then 7) begin the frame of a cell in a traceback.
_FRAME = re.compile(
    r"\s*(?:(?:Cell|Input) In ?\[(?P<count>\d+)\], (?:line (?P<line>\d+)|in <cell line: (?P<old_line>\d+)>)"
    r"|(?:File )?<ipython-input-(?P<older_count>\d+)-)"
)
_ARROW = re.compile(r"^-+> (\d+)", re.MULTILINE)
_TIMED = re.compile(r"File <timed exec>:(\d+)")
_CELL_FILE = re.compile(r" \((?:\d+|<[^>]*>)\.py, line \d+\)$")

# How Python, NumPy, C++ and the system say that there is no memory, and how native code ends that did not ask.
_OUT_OF_MEMORY = re.compile(r"MemoryError|bad_alloc|Cannot allocate memory|can't start new thread|[Oo]ut of memory")
_CRASHES_WITHOUT_MEMORY = ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGTRAP")

_MAX_LINES = 200
_MAX_LINE_LENGTH = 1000

_HINTS_BY_EXCEPTION = {
    "StdinNotImplementedError": "nobody can answer input() in a job: read the value from the job's inputs (os.environ)",
    "SystemExit": "a notebook ends well when its last cell has run; end it early by raising, or not at all",
}
_HINTS_BY_SIGNAL = {
    signal.SIGKILL: "the machine was probably out of memory: load less at once, run fewer jobs in parallel, or use more memory",
    signal.SIGTERM: "something outside dsjobs ended it",
}
_NATIVE_CRASH = "native code crashed, most likely in a compiled library that the cell uses"


def clean(text: str) -> str:
    """`text` without colours, control characters and halves of surrogate pairs; tabs and newlines stay."""
    return _INVISIBLE.sub("", text).encode("utf-8", "replace").decode("utf-8")


def masked(reply: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
    """The content of an execute reply, cleaned, without secrets: what is shortened afterwards is no part of one."""
    if not redactor:
        return reply
    texts = {name: redactor.mask(clean(str(reply.get(name) or ""))) for name in ("ename", "evalue")}
    frames = [clean(str(frame)) for frame in reply.get("traceback") or []]
    return {**reply, **texts, "traceback": redactor.mask_all(frames)}


def from_exception(cell: Cell, reply: Mapping[str, Any]) -> Failure:
    """The failure of a cell whose execute reply has `ename`, `evalue`, `traceback` and `execution_count`."""
    name = clean(str(reply.get("ename") or "error"))
    value = _CELL_FILE.sub("", clean(str(reply.get("evalue") or "")))
    exception = f"{name}: {value}" if value else name
    frames = [clean(str(frame)) for frame in reply.get("traceback") or []]
    line = _line(cell, frames, reply.get("execution_count"))
    return Failure(
        "notebook",
        f"cell {cell.number} raised {_short(exception)}",
        hint=_HINTS_BY_EXCEPTION.get(name),
        cell_number=cell.number,
        cell_id=cell.id,
        line=line,
        source_line=cell.source.split("\n")[line - 1].strip() if line else None,
        exception=exception[: 2 * _MAX_LINE_LENGTH],
        traceback=lines("\n".join(frames)),
    )


def from_death(cell: Cell | None, exit_code: int | None, last_words: str) -> Failure:
    """The failure of a notebook whose kernel ended by itself, in `cell` or after the last one."""
    how, hint = death(exit_code)
    return Failure(
        "notebook",
        f"the kernel died in cell {cell.number}: {how}" if cell else f"the kernel died: {how}",
        hint=hint,
        cell_number=cell.number if cell else None,
        cell_id=cell.id if cell else None,
        traceback=lines(last_words),
    )


def with_memory_limit(failure: Failure, limit_bytes: int) -> Failure:
    """The failure of a notebook that had a limit, with the limit named where it looks as if that was reached."""
    said = "\n".join((failure.message, failure.exception or "", *failure.traceback[-5:]))
    if not _OUT_OF_MEMORY.search(said) and not failure.message.endswith(_CRASHES_WITHOUT_MEMORY):
        return failure
    hint = f"each process of a notebook may use {size_text(limit_bytes)} here (settings.memory): raise it, or load less at once"
    return replace(failure, hint=hint)


def death(exit_code: int | None) -> tuple[str, str | None]:
    """How a process ended, in words, and what to do about it. Negative exit codes are signals, as in `subprocess`."""
    if exit_code is None:
        return "how it ended is not known", None
    if exit_code >= 0:
        hint = "exit() and quit() end the kernel; let the last cell run to its end instead" if exit_code == 0 else None
        return f"it exited with code {exit_code}", hint
    try:
        number = signal.Signals(-exit_code)
    except ValueError:
        return f"it was killed by signal {-exit_code}", None
    crashed = number.name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")
    verb = "crashed with" if crashed else "was killed by"
    return f"it {verb} {number.name}", _NATIVE_CRASH if crashed else _HINTS_BY_SIGNAL.get(number)


def lines(text: str) -> tuple[str, ...]:
    """`text` as lines fit for a journal: cleaned, the last 200, each cut at 1,000 characters."""
    whole = [line[:_MAX_LINE_LENGTH] for line in clean(text).strip("\n").split("\n")] if text.strip() else []
    left_out = len(whole) - _MAX_LINES
    return tuple(whole) if left_out <= 0 else (f"[{left_out} lines left out]", *whole[-_MAX_LINES:])


def _short(exception: str) -> str:
    first, _, rest = exception.strip().partition("\n")
    return first[:300] + (" …" if rest or len(first) > 300 else "")


def _line(cell: Cell, frames: Sequence[str], execution_count: int | None) -> int | None:
    """The line of the cell's source that the last frame of this cell points at, None when no frame does."""
    found = None
    for frame in frames:
        match = _FRAME.match(frame)
        if match and execution_count in (None, int(match["count"] or match["older_count"])):
            arrow = _ARROW.search(frame)
            found = match["line"] or match["old_line"] or (arrow and arrow[1])
    if not found:
        return None
    source = cell.source.split("\n")
    # IPython drops leading empty lines before it compiles, and %%time leaves out its own line.
    line = int(found) + next((index for index, text in enumerate(source) if text.strip()), 0)
    timed = _TIMED.match(frames[-2].lstrip()) if len(frames) > 1 else None
    line += int(timed[1]) if timed and found == "1" else 0
    return line if line <= len(source) else None
