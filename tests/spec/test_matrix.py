"""The cells of a matrix against a slow and plain reading of GitHub's rules, their names, and what the limits hold."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Matrix
from dsjobs.spec import source
from dsjobs.spec.matrix import MAX_CELLS, MAX_LABEL, Matrices, read_matrix

VALUES = st.sampled_from([1, 2, "1", "a", "b c", True, 1.5, [1], {"x": 1}, "", "ж"])
KEYS = st.sampled_from(["a", "b", "c"])
ENTRIES = st.lists(st.dictionaries(KEYS, VALUES, min_size=1), max_size=4)


def read(data: Any) -> tuple[Matrix | None, list[Diagnostic]]:
    problems: list[Diagnostic] = []
    written = source.parse(source.Source("jobs.yaml", json.dumps(data))).data
    return read_matrix(written, problems), problems


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def as_on_github(lists: dict[str, list[Any]], exclude: list[Any], include: list[Any]) -> list[dict[str, Any]]:
    """The rules of "Running variations of jobs in a workflow", one sentence after another."""
    combinations = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())] if lists else []
    left = [
        one
        for one in combinations
        if not any(all(key in one and same(one[key], value) for key, value in entry.items()) for entry in exclude)
    ]
    cells = [dict(one) for one in left]
    alone = []
    for entry in include:
        added = False
        for original, cell in zip(left, cells, strict=True):
            if all(key not in original or same(original[key], value) for key, value in entry.items()):
                cell.update(entry)
                added = True
        if not added:
            alone.append(entry)
    return cells + alone


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, st.lists(VALUES, min_size=1, max_size=3)), ENTRIES, ENTRIES)
def test_matrix_when_it_has_includes_and_excludes_then_has_githubs_cells(
    lists: dict[str, list[Any]], exclude: list[Any], include: list[Any]
) -> None:
    lists = {key: [v for i, v in enumerate(vs) if not any(same(v, w) for w in vs[:i])] for key, vs in lists.items()}
    exclude = [entry for entry in exclude if entry.keys() <= lists.keys()]
    include = [entry for i, entry in enumerate(include) if not any(same(entry, other) for other in include[:i])]
    matrix, problems = read({**lists, "exclude": exclude, "include": include})
    expected = as_on_github(lists, exclude, include)
    if not expected:
        assert matrix is None
        assert [problem.code for problem in problems if problem.is_error] == ["DSJ109"]
        return
    assert matrix is not None
    assert [same(cell.values, other) for cell, other in zip(matrix.cells, expected, strict=True)] == [True] * len(
        expected
    )
    labels = [cell.label for cell in matrix.cells]
    assert len(set(labels)) == len(labels)
    assert not any(set(label) & set("/\\ []\0\n") or len(label.encode()) > MAX_LABEL for label in labels)


def test_cell_names_when_values_are_added_to_the_matrix_then_stay() -> None:
    before, _ = read({"seed": [1, "two words"], "model": ["a"]})
    after, _ = read({"seed": [0, 1, "two words", "x"], "model": ["b", "a"]})
    assert before is not None
    assert after is not None
    assert {cell.label for cell in before.cells} <= {cell.label for cell in after.cells}


@pytest.mark.parametrize("size", [1, 100])
def test_matrix_when_it_is_as_large_as_allowed_then_is_read_in_time(size: int) -> None:
    rows = [{"key": number, "more": "x" * size} for number in range(1000)]
    start = time.process_time()
    matrix, problems = read({"key": list(range(MAX_CELLS)), "include": rows, "exclude": [{"key": -1}] * 1000})
    assert matrix is not None
    assert len(matrix.cells) == MAX_CELLS
    assert all(not problem.is_error for problem in problems)
    assert time.process_time() - start < 2


def written_as(data: Any) -> Any:
    return source.parse(source.Source("jobs.yaml", json.dumps(data))).data


NAMES = [f"k{number}" for number in range(32)]
TEXTS = ["x" * 3_000 + str(number) for number in range(2)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        # Entries that all have keys of their own, none of which fits all combinations.
        (
            {name: [0, 1] if index < 13 else [0] for index, name in enumerate(NAMES)}
            | {
                "exclude": [
                    {n: 0 for i, n in enumerate(NAMES) if row * 2654435761 >> i & 1} | {"k0": 2} for row in range(1000)
                ]
            },
            "the matrix makes 8,192 cells, more than 1,000",
        ),
        # Every cell gets every entry's keys.
        (
            {"a": list(range(MAX_CELLS)), "include": [{f"n{row}_{n}": n for n in range(31)} for row in range(1000)]},
            "the matrix makes 31,001,000 values in all of its cells, more than 50,000",
        ),
        # Each cell's name is made of all of its values.
        ({name: TEXTS if index < 9 else TEXTS[:1] for index, name in enumerate(NAMES)}, None),
    ],
)
def test_matrix_when_its_parts_multiply_then_is_read_in_time(data: Any, said: str | None) -> None:
    problems: list[Diagnostic] = []
    matrices, written = Matrices(), written_as(data)
    start = time.process_time()
    matrix = matrices.read(written, problems)
    assert time.process_time() - start < 2
    assert [problem.message for problem in problems if problem.is_error] == ([said] if said else [])
    assert (matrix is None) == (said is not None)


def test_matrices_when_they_have_too_many_combinations_together_then_say_so_once() -> None:
    matrices, problems = Matrices(), []
    lists = {name: list(range(10)) for name in NAMES[:4]}
    data = {**lists, "exclude": [{"k0": value} for value in range(1, 10)]}
    for written in [written_as(data) for _ in range(12)]:
        matrices.read(written, problems)
    assert [problem.message for problem in problems] == [
        "the matrices of this file make more than 100,000 combinations"
    ]


def test_matrices_when_they_have_too_many_cells_together_then_say_so_once() -> None:
    matrices, problems = Matrices(), []
    found = []
    for _ in range(60):
        written = source.parse(source.Source("jobs.yaml", json.dumps({"key": list(range(MAX_CELLS))}))).data
        found.append(matrices.read(written, problems))
    assert [matrix is None for matrix in found] == [False] * 10 + [True] * 50
    assert [problem.code for problem in problems] == ["DSJ109"]
