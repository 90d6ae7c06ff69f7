"""Asks a kernel for a notebook's outputs and makes of its answer either their values or one failure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsjobs.diagnostics import did_you_mean
from dsjobs.model import Failure
from dsjobs.notebook import kernelcode

MAX_BYTES = 8 * 1024 * 1024
_KEY = "outputs"
_MIME_TYPE = "application/x-dsjobs-outputs"


def question(names: Sequence[str]) -> dict[str, Any]:
    """What to give a client's `execute` for a reply that `read` understands."""
    expression = kernelcode.call("collect.py", "collect", f"b.globals(), {list(names)!r}, {MAX_BYTES}")
    return kernelcode.request(expression, _KEY)


def read(reply: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
    """The outputs in the content of an execute reply, or one failure with everything that is wrong with them."""
    answer = (reply.get("user_expressions") or {}).get(_KEY) or {}
    text = answer.get("data", {}).get(_MIME_TYPE)
    if not isinstance(text, str):
        why = answer.get("evalue") or reply.get("evalue") or "the kernel did not answer"
        return Failure("contract", f"the outputs could not be read: {answer.get('ename') or 'error'}: {why}")
    return _judged(json.loads(text))


def unreadable(names: Sequence[str], why: str) -> Failure:
    """The failure where no kernel can be asked."""
    return Failure("contract", f"the declared outputs ({', '.join(names)}) cannot be read: {why}")


def _judged(answer: Mapping[str, Any]) -> Mapping[str, Any] | Failure:
    problems = [f"output '{name}' was not assigned" for name in answer["missing"]]
    problems += [f"output '{name}'{what}" for name, what in answer["problems"]]
    if answer["size_bytes"] > MAX_BYTES:
        problems.append(
            f"the outputs take {answer['size_bytes'] / 2**20:.1f} MiB as JSON, more than the {MAX_BYTES // 2**20} MiB allowed"
        )
    if not problems:
        values: Mapping[str, Any] = answer["values"]
        return values
    return Failure("contract", "; ".join(problems), hint="; ".join(_hints(answer)) or None)


def _hints(answer: Mapping[str, Any]) -> list[str]:
    hints: list[str] = []
    for name in answer["missing"]:
        near = did_you_mean(name, answer["assigned"])
        hints.append(f"{name}: {near}" if near else f"assign a top-level variable {name} in the notebook")
    if answer["size_bytes"] > MAX_BYTES:
        hints.append("write the data to a file and publish its path")
    if answer["problems"]:
        hints.append("convert the value first, for example with float(x), str(x), x.tolist() or x.fillna(0)")
    return hints
