"""The files of `--var-file`: YAML or JSON, a mapping of variables to values, with their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsjobs.cli.written import content_of
from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedMap, Source
from dsjobs.spec import source


@dataclass(frozen=True, slots=True)
class VariableFiles:
    """What was read: the mapping in each file, in order."""

    data: tuple[MarkedMap, ...]
    sources: tuple[Source, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_variables(paths: Sequence[Path]) -> VariableFiles:
    """Read the files; what is wrong with them is in the diagnostics."""
    data: list[MarkedMap] = []
    sources: list[Source] = []
    found: list[Diagnostic] = []
    for path in paths:
        try:
            content = content_of(path)
        except OSError as error:
            found.append(_unreadable(path, error))
            continue
        text, problems = source.decode(str(path), content)
        sources.append(text)
        document = source.parse(text)
        found += problems or document.diagnostics
        if isinstance(document.data, MarkedMap):
            data.append(document.data)
        elif document.data is not None and not problems:
            hint = "a file of variables is a mapping: `region: eu`"
            found.append(Diagnostic("DSJ101", "this is not a mapping of variables", text.start, hint))
    return VariableFiles(tuple(data), tuple(sources), tuple(found))


def _unreadable(path: Path, error: OSError) -> Diagnostic:
    hint = None
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        hint = did_you_mean(path.name, [one.name for one in path.parent.iterdir() if one.suffix in _SUFFIXES])
    return Diagnostic("DSJ001", f"--var-file {path}: the file cannot be read: {error.strerror}", None, hint)


_SUFFIXES = {".yaml", ".yml", ".json"}
