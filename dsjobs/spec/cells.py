"""The cells of matrix jobs in one environment, and which of them a name in `needs` stands for.

Rules: a job with a matrix that needs another one is bound to the cells that have the same values of the keys that both have;
without such keys, and without a matrix of its own, to all cells. Where it has every key that tells the needed cells apart, that
is one cell, and `needs.NAME` is that cell; else `needs.NAME` is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsjobs.diagnostics import Diagnostic
from dsjobs.marks import Position
from dsjobs.model import Cell, Environment, JobFields, Matrix, Spec
from dsjobs.spec.layers import first
from dsjobs.spec.references import template_problems
from dsjobs.spec.templates import Reference, TemplateError

Bound = str | tuple[str, ...]
"""The name of a cell, or the names of several."""


def matrices_in(spec: Spec, environment: Environment) -> dict[str, Matrix]:
    """The matrix of each job that has one in `environment`."""
    shared = first((environment.defaults, spec.defaults), "matrix")
    found = ((fields.name, fields.matrix or shared) for fields in spec.jobs)
    return {name: matrix for name, matrix in found if matrix is not None}


def cell_name(job: str, cell: Cell) -> str:
    """`train[seed=1]`."""
    return f"{job}[{cell.label}]"


class Bindings:
    """Finds the cells that jobs are bound to. `matrices`: those of the environment, by job."""

    def __init__(self, matrices: Mapping[str, Matrix]) -> None:
        self._matrices = matrices
        self._found: dict[tuple[str, frozenset[str]], dict[int, tuple[str, ...]]] = {}
        # Jobs that share one matrix of hundreds of keys share these as well.
        self._shared: dict[tuple[str, str], frozenset[str]] = {}
        self._one_of_each: dict[frozenset[str], frozenset[str]] = {}  # to find one that is the same takes no comparing
        self._numbers: dict[tuple[int, frozenset[str]], int] = {}
        self._known: dict[tuple[frozenset[str], frozenset[tuple[str, str]]], int] = {}

    def of(self, fields: JobFields, cell: Cell | None) -> dict[str, Bound]:
        """What each needed job that has a matrix stands for in `cell` of a job; None for a job without one."""
        return {need: self._bound(fields.name, need, cell) for need in fields.needs if need in self._matrices}

    def fitting(self, job: str, need: str, cell: Cell | None) -> tuple[str, ...]:
        """The cells of `need` that have the same values as `cell` of `job`."""
        keys = self.shared(job, need)
        if (need, keys) not in self._found:
            self._found[need, keys] = self._by_values(need, keys)
        return self._found[need, keys].get(self._number(cell, keys), ())

    def shared(self, job: str, need: str) -> frozenset[str]:
        """The keys that the matrices of both jobs have."""
        if (job, need) not in self._shared:
            keys = self._matrices[need].keys & self._keys(job)
            self._shared[job, need] = self._one_of_each.setdefault(keys, keys)
        return self._shared[job, need]

    def is_list(self, job: str, need: str) -> bool:
        """Whether `needs.NEED` is a list in the templates of `job`."""
        return need in self._matrices and not self._matrices[need].naming <= self._keys(job)

    def _keys(self, job: str) -> frozenset[str]:
        return self._matrices[job].keys if job in self._matrices else frozenset()

    def _bound(self, job: str, need: str, cell: Cell | None) -> Bound:
        fitting = self.fitting(job, need, cell)
        return fitting if self.is_list(job, need) or len(fitting) != 1 else fitting[0]

    def _by_values(self, need: str, keys: frozenset[str]) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        for cell in self._matrices[need].cells:
            found.setdefault(self._number(cell, keys), []).append(cell_name(need, cell))
        return {number: tuple(names) for number, names in found.items()}

    def _number(self, cell: Cell | None, keys: frozenset[str]) -> int:
        """One for the values that a cell has of these keys, the same for the same values. Cells live as long as matrices do."""
        known = self._numbers.get((id(cell), keys))
        if known is None:
            # A matrix may have thousands of keys of which each cell has a few.
            values = frozenset(item for item in cell.ids.items() if item[0] in keys) if cell else frozenset()
            known = self._numbers[id(cell), keys] = self._known.setdefault((keys, values), len(self._known))
        return known


def check_cells(spec: Spec, environment: Environment) -> Iterator[Diagnostic]:
    """Cells that have nothing to be bound to, and templates that take a list of cells for one, or one for a list."""
    matrices = matrices_in(spec, environment)
    if not matrices:
        return
    bindings = Bindings(matrices)
    for fields in spec.jobs:
        needed = [need for need in fields.needs if need in matrices]
        for need in needed:
            if fields.name in matrices and bindings.shared(fields.name, need):
                yield from _unbound(fields, need, matrices, bindings)
        if needed:
            yield from template_problems(fields, _ShapeCheck(fields.name, matrices, bindings))


def _unbound(fields: JobFields, need: str, matrices: Mapping[str, Matrix], bindings: Bindings) -> Iterator[Diagnostic]:
    cells = matrices[fields.name].cells
    fitting = [(cell, bindings.fitting(fields.name, need, cell)) for cell in cells]
    alone = [cell for cell, found in fitting if not found]
    shared = bindings.shared(fields.name, need)
    if alone:
        message = f"{_each(fields, alone)} no cell of '{need}' with {_values(alone[0], shared)}"
        hint = f"exclude it here, or add it to the matrix of '{need}'"
        yield Diagnostic("DSJ304", message, _need_position(fields, need), hint)
    crowded = [(cell, found) for cell, found in fitting if len(found) > 1]
    if crowded and not bindings.is_list(fields.name, need):
        cell, found = crowded[0]
        message = f"'{cell_name(fields.name, cell)}' fits {len(found)} cells of '{need}': {', '.join(found[:3])}"
        hint = "give them different values of " + " or ".join(sorted(shared))
        yield Diagnostic("DSJ304", message, _need_position(fields, need), hint)


def _each(fields: JobFields, cells: Sequence[Cell]) -> str:
    more = f" (and {len(cells) - 1} more)" if len(cells) > 1 else ""
    return f"for '{cell_name(fields.name, cells[0])}'{more} there is"


def _values(cell: Cell, keys: frozenset[str]) -> str:
    return ", ".join(f"{key}={cell.ids[key]}" if key in cell.ids else f"no {key}" for key in sorted(keys))


def _need_position(fields: JobFields, need: str) -> Position:
    position: Position = fields.written["needs"].item_position(fields.needs.index(need))
    return position


@dataclass(frozen=True, slots=True)
class _ShapeCheck:
    """Refuses a reference to a needed matrix job that takes a list for one cell, or one cell for a list."""

    job: str
    matrices: Mapping[str, Matrix]
    bindings: Bindings

    def __call__(self, reference: Reference, deferred: bool) -> None:
        root, *rest = reference.path
        if root != "needs" or not rest or rest[0] not in self.matrices:
            return
        need, below = rest[0], rest[1:]
        as_list = reference.each is not None or (below and below[0].isdecimal())
        if self.bindings.is_list(self.job, need):
            if below and not as_list:
                self.refuse_one(reference, need, below)
        elif as_list:
            message = f"'needs.{need}' is one cell here, not a list: '{self.job}' has the keys of its matrix"
            raise TemplateError("DSJ210", message, hint=f"write needs.{need}.outputs.NAME", at=f"needs.{need}")

    def refuse_one(self, reference: Reference, need: str, below: list[str]) -> None:
        message = f"'needs.{need}' is a list of cells here, not one"
        missing = ", ".join(sorted(self.matrices[need].naming))
        if self.job in self.matrices and self.bindings.shared(self.job, need):
            message += f": '{self.job}' does not have all keys of its matrix ({missing})"
        inner = ".".join(below)
        hint = f"write `needs.{need} | map(attribute='{inner}') | list`, or take one: `needs.{need}[0].{inner}`"
        raise TemplateError("DSJ210", message, hint=hint, at=str(reference))
