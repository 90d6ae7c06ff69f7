"""What `dsjobs explain` says, as text for the terminal: narrow, the value first, then what it comes from."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsjobs.reports.columns import columns

Document = Mapping[str, Any]

WIDTH = 88
_CELLS = 6
_WHEN = {"at submit": "known when the job is submitted", "by cell": "differs by cell"}


def key(document: Document) -> str:
    """One key: its value, what each layer says of it, and the names in its template."""
    found = document["keys"][0]
    lines = [f"{document['subject']}{_equals(found)}    in environment '{document['environment']}'", ""]
    lines += [*_layers(found["layers"], width=44), *([""] if found["cells"] else [])]
    lines += [f"  {name} = {_shown(value, 60)}" for name, value in list(found["cells"].items())[:_CELLS]]
    if len(found["cells"]) > _CELLS:
        lines.append(f"  and {len(found['cells']) - _CELLS} more cells")
    for use in found["uses"]:
        lines += ["", f"  {use['name']}{_equals(use)}", *(f"  {line}" for line in _layers(use["layers"], width=44))]
    if found["description"]:
        lines += ["", *textwrap.wrap(found["description"], WIDTH)]
    return "\n".join(lines)


def table(document: Document) -> str:
    """Several keys, a line for each: its value, the layer that it comes from, and the place."""
    lines = [f"{document['subject']}    in environment '{document['environment']}'", ""]
    rows = []
    for found in document["keys"]:
        used = _used(found["layers"])
        value = _value(found, 36)
        if found["value"] is None and found["known"] == "at load":
            value = used["note"] or "not set" if used else "not set"
        elif found["known"] == "at submit":
            value = _shown(found["template"], 36)
        rows.append([found["key"], value, used["layer"] if used else "", (used["place"] or "") if used else ""])
    return "\n".join([*lines, *columns(rows)] if rows else [*lines, "  nothing"])


def code(document: Document) -> str:
    """A diagnostic's code, or another topic."""
    lines = [f"{document['name']}: {document['meaning']}", "", *_paragraphs(document["text"])]
    for file in document["files"]:
        lines += ["", f"  {file['name']}:", "", textwrap.indent(file["text"].rstrip("\n"), "    ")]
    if document["printed"]:
        lines += ["", textwrap.indent(document["printed"].rstrip("\n"), "    ", lambda line: bool(line.strip()))]
    return "\n".join([*lines, "", *_paragraphs(document["remedy"])])


def codes(document: Document) -> str:
    """The list of all codes and topics."""
    lines = columns([[one["name"], one["meaning"]] for one in document["codes"]])
    topics = columns([[one["name"], one["meaning"]] for one in document["topics"]])
    more = "`dsjobs explain CODE` says more; `dsjobs explain JOB.KEY` where a value of the job file comes from"
    return "\n".join([*lines, "", *topics, "", *textwrap.wrap(more, WIDTH)])


def _equals(found: Document) -> str:
    return f": {_WHEN[found['known']]}" if found["known"] in _WHEN else f" = {_shown(found['value'], 60)}"


def _value(found: Document, width: int) -> str:
    return _WHEN[found["known"]] if found["known"] in _WHEN else _shown(found["value"], width)


def _layers(layers: Sequence[Document], width: int) -> list[str]:
    rows = [[one["state"], _of_layer(one, width), one["layer"], one["place"] or ""] for one in layers]
    return columns(rows) if rows else []


def _of_layer(layer: Document, width: int) -> str:
    note = layer["note"]
    if layer["value"] is None and note:
        return str(note)
    return _shown(layer["value"], width) + (f" ({note})" if note else "")


def _used(layers: Sequence[Document]) -> Document | None:
    return next((layer for layer in layers if layer["state"] == "used"), None)


def _shown(value: Any, width: int) -> str:
    if value is None:
        return "not set"
    is_secret = isinstance(value, dict) and list(value) == ["secret"] and isinstance(value["secret"], str)
    text = f"{{secret: {value['secret']}}}" if is_secret else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else text[: width - 1] + "…"


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, filled anew; a table stays as it is."""
    for number, paragraph in enumerate(re.split(r"\n{2,}", text)):
        if number:
            yield ""
        yield from paragraph.splitlines() if paragraph.startswith("|") else textwrap.wrap(paragraph, WIDTH)
