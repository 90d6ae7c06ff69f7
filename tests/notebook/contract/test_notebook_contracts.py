"""Notebooks in the style of real ones: nothing is said of good ones, and every mistake that is planted in them is found.

Beside each case lies what its contract is and what is said of it; `DSJOBS_UPDATE_CASES=1` writes what is so now.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from corpus import BAD, GOOD, Case, Cell, contract, forget, found, read_case, shown, write

from dsjobs.notebook.contract.magics import python_of
from dsjobs.notebook.contract.value import Contract

UPDATE = bool(os.environ.get("DSJOBS_UPDATE_CASES"))

each_good = pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(path: Path, printed: str) -> str:
    if UPDATE:
        path.write_text(printed, encoding="utf-8", newline="\n")
    return path.read_text(encoding="utf-8")


def without_our_variables(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in forget(case):
        monkeypatch.delenv(name)


@pytest.mark.parametrize("path", [*GOOD, *BAD], ids=lambda path: path.stem)
def test_notebook_when_read_then_its_contract_and_what_is_said_are_these(path, folder, monkeypatch):
    case = read_case(path)
    without_our_variables(case, monkeypatch)
    write(case, folder)
    made = contract(folder)
    assert made is not None
    said, printed = found(folder)
    text = shown(made) + (f"\n{printed}" if printed else "")
    assert text == expected(path.with_suffix(".expected"), text)
    assert bool(said) == (path in BAD)


def test_cases_when_counted_then_are_at_least_thirty_of_which_most_can_be_told():
    told = [path for path in GOOD if "cannot tell" not in path.with_suffix(".expected").read_text(encoding="utf-8")]
    assert len(GOOD) >= 30
    assert len(told) >= 25


@each_good
def test_mistakes_when_planted_then_each_is_found_unless_it_cannot_be_told(path, folder, monkeypatch):
    case = read_case(path)
    without_our_variables(case, monkeypatch)
    write(case, folder)
    missed = [what for what, code, mutant in planted(case, contract(folder)) if code not in codes(mutant, folder)]
    assert missed == []


def codes(case: Case, folder: Path) -> set[str]:
    """The codes of what is said; an input that no cell reads may be told as the variable that it was meant to be."""
    write(case, folder)
    said, _ = found(folder)
    unread = {"DSJ406" for one in said if "reads input" in one.message}
    return unread.union(one.code for one in said)


def planted(case: Case, made: Contract) -> Iterator[tuple[str, str, Case]]:
    """Mistakes: what was done, the code that it must give, and the case with it."""
    if not made.is_dynamic_reads:
        yield from misspelt_inputs(case)
    if not made.is_dynamic_sets:
        yield from dropped_inputs(case, made)
    if not (made.is_dynamic_publishing if case.has_store else made.is_dynamic_assignments):
        yield from misspelt_outputs(case)
        yield from dropped_assignments(case)
    if not case.version:
        yield from broken_cells(case)
    if not made.is_dynamic_assignments:
        asking = Cell("answer = input('go on? ')")
        yield "a question", "DSJ409", replace(case, cells=(*case.cells, asking))


def misspelt_inputs(case: Case) -> Iterator[tuple[str, str, Case]]:
    for name in case.inputs:
        if not name.startswith(("SPARK_", "AWS_")):  # which libraries may read
            wrong = f"{name[:-1]}Q{name[-1]}"
            inputs = tuple(wrong if one == name else one for one in case.inputs)
            yield f"input {name} misspelt", "DSJ406", replace(case, inputs=inputs)


def dropped_inputs(case: Case, made: Contract) -> Iterator[tuple[str, str, Case]]:
    for name in case.inputs:
        if name in made.reads and made.reads[name].need == "raises":
            inputs = tuple(one for one in case.inputs if one != name)
            yield f"input {name} dropped", "DSJ407", replace(case, inputs=inputs)


def misspelt_outputs(case: Case) -> Iterator[tuple[str, str, Case]]:
    for name in case.outputs:
        outputs = tuple(f"{name}q" if one == name else one for one in case.outputs)
        yield f"output {name} misspelt", "DSJ408", replace(case, outputs=outputs)


def dropped_assignments(case: Case) -> Iterator[tuple[str, str, Case]]:
    """The name is another one in all of the code."""
    for name in case.outputs:
        cells = tuple(replace(one, source=re.sub(rf"\b{name}\b", f"{name}_", one.source)) for one in case.cells)
        yield f"output {name} not assigned", "DSJ408", replace(case, cells=cells)


def broken_cells(case: Case) -> Iterator[tuple[str, str, Case]]:
    for index, cell in enumerate(case.cells):
        is_python = any(line.strip() for line in python_of(cell.source).text.splitlines())
        if is_python and not cell.tags and ">>>" not in cell.source:
            yield f"cell {index + 1} cut off", "DSJ405", case.with_cell(index, cell.source + "\nvalues = [1, 2")
            yield f"cell {index + 1} with a typo", "DSJ405", case.with_cell(index, cell.source + "\nx = = 1")
