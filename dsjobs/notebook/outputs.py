"""Asks a kernel for a notebook's outputs and makes of its answer their values, and one failure where some have none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsjobs.diagnostics import did_you_mean
from dsjobs.model import Failure, Unread
from dsjobs.notebook import kernelcode

MAX_BYTES = 8 * 1024 * 1024
_KEY = "outputs"
_MIME_TYPE = "application/x-dsjobs-outputs"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was read. `values`: those that could be, None where nothing could; `failure`: one with everything that is wrong;
    `unread`: the same by output, where it is about single outputs only."""

    values: Mapping[str, Any] | None = None
    failure: Failure | None = None
    unread: Mapping[str, Unread] = field(default_factory=dict)


def question(names: Sequence[str]) -> dict[str, Any]:
    """What to give a client's `execute` for a reply that `read` understands."""
    expression = kernelcode.call("collect.py", "collect", f"b.globals(), {list(names)!r}, {MAX_BYTES}")
    return kernelcode.request(expression, _KEY)


def read(reply: Mapping[str, Any]) -> Outputs:
    """The outputs in the content of an execute reply."""
    answer = (reply.get("user_expressions") or {}).get(_KEY) or {}
    text = answer.get("data", {}).get(_MIME_TYPE)
    if not isinstance(text, str):
        why = answer.get("evalue") or reply.get("evalue") or "the kernel did not answer"
        message = f"the outputs could not be read: {answer.get('ename') or 'error'}: {why}"
        return Outputs(failure=Failure("contract", message))
    return _judged(json.loads(text))


def unreadable(names: Sequence[str], why: str) -> Outputs:
    """What is left where no kernel can be asked."""
    return Outputs(failure=Failure("contract", f"the declared outputs ({', '.join(names)}) cannot be read: {why}"))


def _judged(answer: Mapping[str, Any]) -> Outputs:
    unread = dict(_unread(answer))
    messages = [one.message for one in unread.values()]
    hints = [one.hint for one in unread.values() if one.hint]
    is_too_much = answer["size_bytes"] > MAX_BYTES
    if is_too_much:
        size, most = answer["size_bytes"] / 2**20, MAX_BYTES // 2**20
        messages.append(f"the outputs take {size:.1f} MiB as JSON, more than the {most} MiB allowed")
        hints.append("write the data to a file and publish its path")
    if not messages:
        return Outputs(answer["values"])
    failure = Failure("contract", "; ".join(messages), hint="; ".join(dict.fromkeys(hints)))
    return Outputs(failure=failure) if is_too_much else Outputs(answer["values"], failure, unread)


_CONVERT = "convert the value first, for example with float(x), str(x), x.tolist() or x.fillna(0)"


def _unread(answer: Mapping[str, Any]) -> Iterator[tuple[str, Unread]]:
    for name in answer["missing"]:
        near = did_you_mean(name, answer["assigned"])
        hint = f"{name}: {near}" if near else f"assign a top-level variable {name} in the notebook"
        yield name, Unread(f"output '{name}' was not assigned", hint)
    for name, what in answer["problems"]:
        yield name, Unread(f"output '{name}'{what}", _CONVERT)
