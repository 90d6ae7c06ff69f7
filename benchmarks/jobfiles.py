"""Job files of any size, the same for the same size: eight fields a job, three templated inputs, one to three needs.

In a file with matrices, of every thirty jobs ten are the cells of one, and another one needs all of these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

NOTEBOOKS = ("extract", "clean", "features", "train", "score", "report")

_HEAD = """\
version: 1
name: benchmark
variables:
  region: eu
  run_date: {type: string, pattern: '^\\d{4}-\\d{2}-\\d{2}$', default: "2026-11-22"}
  alpha: {type: number, default: 0.1, minimum: 0}
environments:
  local:
    backend: local
    projects: {analytics: notebooks}
max_parallel: 4
jobs:
"""


def write(folder: Path, jobs: int) -> Path:
    """A pipeline of `jobs` jobs below `folder`, which is made, with the notebooks that they share."""
    notebooks = folder / "notebooks"
    notebooks.mkdir(parents=True, exist_ok=True)
    for name in NOTEBOOKS:
        (notebooks / f"{name}.ipynb").write_text(json.dumps(_notebook(name), indent=1), encoding="utf-8")
    path = folder / f"jobs-{jobs}.yaml"
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        file.writelines(_job(number, needs(number)) for number in range(jobs))
    return path


GROUP = 30
CELLS = 10


def write_matrices(folder: Path, jobs: int) -> Path:
    """A pipeline of `jobs` jobs, a multiple of `GROUP`, below `folder`; a third of them are cells."""
    path = write(folder, jobs).with_name(f"matrices-{jobs}.yaml")
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD)
        for start in range(0, jobs, GROUP):
            train = start + GROUP - CELLS
            for number in range(start, train - 1):
                needed = [one for one in needs(number) if one >= start] or [start]
                file.write(_job(number, needed if number > start else []))
            file.write(_matrix(train, start))
            file.write(_collector(train - 1, train))
    return path


def needs(number: int) -> list[int]:
    """The one to three jobs that job `number` needs: a near one, one half-way back, the first. The first needs none."""
    candidates = (number - 1 - number % 7, number // 2, 0)
    wanted = 1 + number % 3
    return list(dict.fromkeys(max(0, one) for one in candidates))[:wanted] if number else []


def _job(number: int, needed: list[int]) -> str:
    return _written(number, needed, list(_inputs(number, needed)))


def _matrix(number: int, above: int) -> str:
    target = "s3://lake/{{ vars.run_date }}/{{ matrix.model }}-{{ matrix.seed }}.parquet"
    inputs = ['REGION: "{{ vars.region }}"', f'TARGET: "{target}"', _table(above)]
    return _written(number, [above], inputs, "    matrix: {seed: [1, 2, 3, 4, 5], model: [small, large]}")


def _collector(number: int, cells: int) -> str:
    rows = f"{{{{ needs.{_name(cells)} | map(attribute='outputs.row_count') | sum }}}}"
    return _written(
        number, [cells], ['REGION: "{{ vars.region }}"', 'TARGET: "{{ vars.run_date }}"', f'ROWS: "{rows}"']
    )


def _written(number: int, needed: list[int], inputs: list[str], *more: str) -> str:
    lines = [
        f"  - name: {_name(number)}",
        f"    description: step {number} of the pipeline",
        "    project: analytics",
        f"    notebook: {NOTEBOOKS[number % len(NOTEBOOKS)]}.ipynb",
        f"    spec: {'g1.1' if number % 5 == 0 else 'c1.4'}",
        f"    needs: [{', '.join(map(_name, needed))}]",
        *more,
        "    inputs:",
        *(f"      {line}" for line in inputs),
        "    outputs:",
        "      table_path: {type: string}",
        "      row_count: {type: integer, minimum: 1}",
    ]
    return "\n".join(lines) + "\n"


def _name(number: int) -> str:
    return f"job_{number:06}"


def _inputs(number: int, needed: list[int]) -> Iterator[str]:
    yield 'REGION: "{{ vars.region }}"'
    yield f'TARGET: "s3://lake/{{{{ vars.run_date }}}}/part-{number:06}.parquet"'
    yield _table(needed[0]) if needed else 'ALPHA: "{{ vars.alpha }}"'


def _table(above: int) -> str:
    return f'TABLE: "{{{{ needs.{_name(above)}.outputs.table_path }}}}"'


def _notebook(name: str) -> dict[str, object]:
    inputs = "inputs = [os.environ['REGION'], os.environ.get('ALPHA', ''), os.environ.get('TABLE', '')]\n"
    sources = [f"# {name}\nimport os\n{inputs}", "table_path = os.environ['TARGET']\n", "row_count = 1\n"]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{index}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for index, source in enumerate(sources)
        ],
    }
