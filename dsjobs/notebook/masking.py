"""Takes secrets out of an executed notebook, in one pass over everything that somebody reads in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbformat import NotebookNode, from_dict

from dsjobs.secrets import Redactor

_BINARY = ("image/", "audio/", "video/", "font/", "application/pdf", "application/octet-stream", "application/zip")
_OF_THE_KERNEL = ("kernelspec", "language_info")


def mask(node: NotebookNode, redactor: Redactor) -> None:
    """Masks `node` in place: sources, outputs of every kind, metadata, what is attached. Costs nothing without secrets."""
    if not redactor:
        return
    for cell in node.cells:
        cell.source = redactor.mask(cell.source)
        _mask_metadata(cell, redactor)
        if "attachments" in cell:
            cell.attachments = {name: _bundle(bundle, redactor) for name, bundle in cell.attachments.items()}
        _mask_streams(cell.get("outputs", ()), redactor)
        for output in cell.get("outputs", ()):
            _mask_output(output, redactor)
    of_kernel = {key: node.metadata[key] for key in _OF_THE_KERNEL if key in node.metadata}
    _mask_metadata(node, redactor)
    node.metadata.update(of_kernel)


def _mask_streams(outputs: Iterable[Any], redactor: Redactor) -> None:
    """What a cell wrote in pieces is masked as one text: each stream by itself, then both as they follow each other."""
    streams = [output for output in outputs if output.output_type == "stream"]
    names = dict.fromkeys(output.name for output in streams)
    groups = [[output for output in streams if output.name == name] for name in names]
    for group in [*groups, streams] if len(groups) > 1 else groups:
        for output, text in zip(group, redactor.mask_all([output.text for output in group]), strict=True):
            output.text = text


def _mask_output(output: Any, redactor: Redactor) -> None:
    if output.output_type == "error":
        output.ename, output.evalue = redactor.mask(output.ename), redactor.mask(output.evalue)
        output.traceback = redactor.mask_all(output.traceback)
    elif "data" in output:
        output.data = _bundle(output.data, redactor)
        _mask_metadata(output, redactor)


def _bundle(bundle: Any, redactor: Redactor) -> Any:
    """The values of a MIME bundle. What is binary is base64, in which only what is encoded can be found."""
    return _node({kind: _displayed(kind, value, redactor) for kind, value in bundle.items()})


def _displayed(kind: str, value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        is_binary = kind.startswith(_BINARY) and not kind.endswith("+xml")
        return redactor.mask(value, is_binary=is_binary)
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return redactor.mask_all(value)
    return redactor.mask_json(value)


def _mask_metadata(owner: Any, redactor: Redactor) -> None:
    if owner.get("metadata"):
        owner.metadata = _node(redactor.mask_json(owner.metadata))


def _node(value: Any) -> Any:
    return from_dict(value)  # type: ignore[no-untyped-call]
