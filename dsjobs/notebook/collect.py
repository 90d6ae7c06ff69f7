"""Reads a notebook's outputs when its last cell has run. The text of this file is sent to the kernel and runs there, so it
uses the standard library only, needs no dsjobs, and keeps to what Python 3.7 understands.

The rules, as `job-file.md` gives them: JSON values stay as they are. NumPy scalars and arrays, pandas timestamps, series and
frames, dates, paths, tuples and sets are converted: dates to ISO 8601 text, durations to seconds, a frame to a list of rows.
NaN, infinities and everything else are problems, each with a text that follows "output 'name'".
"""

from __future__ import annotations

import atexit
import datetime
import gc
import io
import json
import math
import os
import pathlib
import stat
import sys
from typing import Any

_MAX_DEPTH = 100
_INTERPRETER_NAMES = ("In", "Out", "exit", "quit", "open", "get_ipython")


class Answer:
    """What the kernel sends back: a JSON text under a MIME type of its own, so that no display formatter touches it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"application/x-dsjobs-outputs": self._text}


class UnfitError(Exception):
    """A value, or a part of it, is not JSON. `place` is the part, e.g. `['a'][3]`."""

    def __init__(self, what: str, place: str = "") -> None:
        Exception.__init__(self, what)
        self.place = place


def collect(namespace: dict[str, Any], names: list[str], max_bytes: int) -> Answer:
    """The answer for the variables `names`: their values, and what is wrong with the others. The kernel is then ready to end."""
    _flush_files()
    _ease_exit()
    values, problems = {}, []
    missing = [name for name in names if name not in namespace]
    size = 0
    for name in names:
        if name in namespace:
            try:
                value = converted(namespace[name], max_bytes, 0)
                size += len(json.dumps(value))
                values[name] = value
            except UnfitError as unfit:
                part = f": {name}{unfit.place}" if unfit.place else ""
                problems.append([name, f"{part} {unfit}"])
            except Exception as error:  # noqa: BLE001 (a value of the user's own class may raise anything)
                problems.append([name, f" cannot be converted: {type(error).__name__}: {error}"])
    answer = {
        "values": values if size <= max_bytes else {},
        "size_bytes": size,
        "problems": problems,
        "missing": missing,
        "assigned": _assigned(namespace) if missing else [],
    }
    return Answer(json.dumps(answer))


def _flush_files() -> None:
    """Writes out what the notebook's files hold back: jobs that read them may start before the kernel has ended."""
    for thing in gc.get_objects():
        if type(thing) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            try:
                if not thing.closed and stat.S_ISREG(os.fstat(thing.fileno()).st_mode):
                    thing.flush()
            except (OSError, ValueError):
                pass  # Its disk is full, or it was closed or detached meanwhile: exit would fail in the same way.


def _ease_exit() -> None:
    """Lets ipykernel exit without closing its sockets, which is of no use to a process that ends: in version 7.4 the thread
    that closes them waits, in 4 to 12 of 100 exits, for one that waits for a third which has been stopped."""
    module = sys.modules.get("ipykernel.kernelapp")
    if module is not None and module.IPKernelApp.initialized():
        atexit.unregister(module.IPKernelApp.instance().close)


def _assigned(namespace: dict[str, Any]) -> list[str]:
    """The names that a notebook assigned, without modules and what the interpreter brings along."""
    public = (name for name in namespace if isinstance(name, str) and not name.startswith("_"))
    module = type(sys)
    mine = [name for name in public if name not in _INTERPRETER_NAMES and not isinstance(namespace[name], module)]
    return sorted(mine)[:1000]


def converted(value: Any, room: int, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise UnfitError("is nested too deeply, or contains itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, str):
        return _text(str(value), room)
    if isinstance(value, dict):
        return _mapping(value, room, depth)
    if isinstance(value, (list, tuple)):
        return _sequence(value, room, depth)
    if isinstance(value, (set, frozenset)):
        return sorted(_sequence(list(value), room, depth), key=json.dumps)
    return _from_library(value, room, depth)


_SHOWN = 40


def _number(value: float) -> float:
    if math.isnan(value):
        raise UnfitError("is NaN, which JSON does not have")
    if math.isinf(value):
        raise UnfitError("is infinite, which JSON does not have")
    return value


def _text(value: str, room: int) -> str:
    if len(value) > room:
        raise UnfitError(f"is a text of {len(value)} characters, which is too long")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UnfitError("is a text with half of a surrogate pair, which is not Unicode")
    return value


def _mapping(value: dict[Any, Any], room: int, depth: int) -> dict[str, Any]:
    _check_size(len(value), room)
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise UnfitError(f"has the key {_shown(key)} of type {_type_name(key)}; keys are text in JSON")
        result[_text(str(key), room)] = _part(f"[{_shown(str(key))}]", item, room, depth)
    return result


def _shown(key: Any) -> str:
    """A key as it is told, whole or not at all: a part of a secret could not be masked."""
    text = repr(key)
    return text if len(text) <= _SHOWN else f"(a key of {len(text)} characters)"


def _sequence(value: Any, room: int, depth: int) -> list[Any]:
    _check_size(len(value), room)
    return [_part(f"[{index}]", item, room, depth) for index, item in enumerate(value)]


def _check_size(items: int, room: int) -> None:
    """Refuses what is too large before it is converted: an item takes at least two characters."""
    if items * 2 > room:
        raise UnfitError(f"has {items} items, which is too many")


def _part(place: str, item: Any, room: int, depth: int) -> Any:
    try:
        return converted(item, room, depth + 1)
    except UnfitError as unfit:
        raise UnfitError(str(unfit), place + unfit.place) from None


def _from_library(value: Any, room: int, depth: int) -> Any:
    """Dates and paths, and what belongs to NumPy and pandas. A value of theirs exists only where they are imported."""
    if type(value).__name__ in ("NaTType", "NAType"):
        raise UnfitError(f"is a missing value ({value})")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, pathlib.PurePath):
        return _text(str(value), room)
    for name, convert in (("pandas", _from_pandas), ("numpy", _from_numpy)):
        library = sys.modules.get(name)
        if library is not None:
            plain = convert(library, value, room)
            if plain is not value:
                return converted(plain, room, depth + 1)
    raise UnfitError(f"is of type {_type_name(value)}, which is not JSON")


def _from_pandas(pandas: Any, value: Any, room: int) -> Any:
    """A frame becomes a list of rows. A plain index is left out; any other one is kept, as keys of a series (when they
    are unique) or as columns of a frame."""
    if isinstance(value, pandas.DataFrame):
        _check_size(value.size, room)
        frame = value if isinstance(value.index, pandas.RangeIndex) else value.reset_index()
        names = [str(column) for column in frame.columns]
        if len(set(names)) < len(names):
            raise UnfitError("is a frame with two columns of the same name")
        return frame.set_axis(names, axis=1).to_dict("records")
    if isinstance(value, pandas.Series):
        if isinstance(value.index, pandas.RangeIndex) or not value.index.is_unique:
            return value.tolist()
        return value.set_axis([str(label) for label in value.index]).to_dict()
    if isinstance(value, (pandas.Index, pandas.api.extensions.ExtensionArray)):
        return list(value)
    return value


def _from_numpy(numpy: Any, value: Any, room: int) -> Any:
    if isinstance(value, (numpy.datetime64, numpy.timedelta64)):
        if numpy.isnat(value):
            raise UnfitError("is a missing value (NaT)")
        return str(value) if isinstance(value, numpy.datetime64) else float(value / numpy.timedelta64(1, "s"))
    if isinstance(value, numpy.ndarray):
        if numpy.ma.is_masked(value):
            raise UnfitError("has masked values, which are missing")
        _check_size(value.size, room)
        if value.dtype.kind in "mM":  # tolist makes bare integers of times in nanoseconds
            return list(value) if value.ndim else value[()]
        return value.tolist()
    if isinstance(value, numpy.floating):
        return float(value)
    if isinstance(value, (numpy.bool_, numpy.integer)):
        return value.item()
    return value


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
