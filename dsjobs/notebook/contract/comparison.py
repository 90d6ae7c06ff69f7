"""Jobs held against the contracts of their notebooks: inputs that nothing reads, variables that nothing sets, outputs that
nothing assigns.

One mistake gives one diagnostic. An input that stands in one place of the file for many jobs, in `defaults` or for the cells of a
matrix, is unread only where none of them reads it; one that is misspelt is not a missing variable as well; and what is wrong in
the same way with many jobs of a notebook is said of the first.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dsjobs.diagnostics import Diagnostic, did_you_mean
from dsjobs.marks import MarkedList, MarkedMap, Position, in_cell
from dsjobs.model import Job
from dsjobs.notebook.contract.libraries import PLAUSIBLE, SECRET, SET_BY_THE_SYSTEM
from dsjobs.notebook.contract.value import Contract, Read

_IPYTHON_NAMES = frozenset({"In", "Out", "get_ipython", "exit", "quit", "open"})
_SHOWN = 5
_ALIKE = 0.75


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is besides the inputs where notebooks run. `variables`: those that are set there, as far as that is known;
    `is_certain`: no others can be. `has_secrets`: a service adds variables that nobody here knows. `outputs`: how they come back,
    None where they do not."""

    variables: Collection[str] = ()
    is_certain: bool = True
    has_secrets: bool = False
    outputs: Literal["assigned", "published"] | None = "assigned"


@dataclass(frozen=True, slots=True)
class Known:
    """The contract of a notebook, and how the notebook is called in messages."""

    contract: Contract
    notebook: str


Place = tuple[int, str]
"""The mapping, or list, that has a name, by its identity, and the name."""


@dataclass(slots=True)
class _Unread:
    """An input, where it is written, that no cell reads of the first job that has it from there. `misspelt`: the variable that it
    was meant to be, which the jobs `missed_by` need."""

    job: Job
    known: Known
    inputs: MarkedMap
    misspelt: Read | None = None
    missed_by: list[tuple[Job, Known]] = field(default_factory=list)


@dataclass(slots=True)
class _Missing:
    jobs: list[Job]
    known: Known
    reads: tuple[Read, ...]


@dataclass(slots=True)
class _Unassigned:
    jobs: list[Job]
    what: str
    hint: str | None


class Comparison:
    """Takes jobs one by one; `diagnostics` says what is wrong with them."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._seen: dict[tuple[int, ...], None] = {}
        self._read: set[Place] = set()
        self._unread: dict[Place, _Unread] = {}
        self._missing: dict[tuple[str, tuple[str, ...]], _Missing] = {}
        self._outputs: dict[tuple[str, str], _Unassigned] = {}
        self._needed: dict[int, tuple[Read, ...]] = {}

    def add(self, job: Job, known: Known | None, *, counts: bool = True) -> None:
        """Compare a job. `known`: None where nothing can be said of its notebook. One that does not count is no part of the
        run: it matters only for the inputs that others share with it."""
        key = (id(known), counts, *map(id, job.places))
        if key in self._seen:
            return
        self._seen[key] = None
        inputs = _inputs(job)
        if known is None:
            self._read.update((id(written), name) for name, written in inputs.items())
            return
        unread = self._unread_inputs(job, known, inputs, counts=counts)
        if counts:
            self._compare_needs(job, known, inputs, unread)
            self._compare_outputs(job, known)

    def diagnostics(self) -> list[Diagnostic]:
        """What was found, in no order."""
        alike: dict[tuple[str, ...], list[_Unread]] = {}
        for place, one in self._unread.items():
            if place not in self._read:
                meant = (one.misspelt.name,) if one.misspelt else ()
                alike.setdefault((one.known.notebook, place[1], *meant), []).append(one)
            elif one.misspelt:  # another job reads that input: it is spelt well
                for job, known in one.missed_by:
                    self._miss(job, known, [one.misspelt])
        found = [self._not_read(key[1], same) for key, same in alike.items()]
        found += [self._not_set(missing) for missing in self._missing.values()]
        for (_, name), output in self._outputs.items():
            message = f"{_named(output.jobs)}: {output.what}"
            found.append(Diagnostic("DSJ408", message, _output_position(output.jobs[0], name), output.hint))
        return found

    def _unread_inputs(
        self, job: Job, known: Known, inputs: dict[str, MarkedMap], *, counts: bool
    ) -> list[tuple[Place, _Unread]]:
        contract, found = known.contract, []
        for name, written in inputs.items():
            place = (id(written), name)
            if contract.is_dynamic_reads or _may_be_read(name, contract):
                self._read.add(place)
            elif counts:
                found.append((place, self._unread.setdefault(place, _Unread(job, known, written))))
        return found

    def _compare_needs(
        self, job: Job, known: Known, inputs: dict[str, MarkedMap], unread: Sequence[tuple[Place, _Unread]]
    ) -> None:
        missing = [read for read in self._needs(known) if read.name not in inputs]
        if not missing or any("inputs" in written.lost for written in job.places):
            return
        for (_, name), one in unread:
            near = _nearest(name, missing)
            if near is not None and one.misspelt in (None, near):
                one.misspelt = near
                one.missed_by.append((job, known))
                missing.remove(near)
        self._miss(job, known, missing)

    def _miss(self, job: Job, known: Known, missing: Sequence[Read]) -> None:
        if missing:
            key = (known.notebook, tuple(read.name for read in missing))
            self._missing.setdefault(key, _Missing([], known, tuple(missing))).jobs.append(job)

    def _needs(self, known: Known) -> tuple[Read, ...]:
        """What a notebook cannot do without, and what it does not expect to be missing."""
        found = self._needed.get(id(known))
        if found is None:
            contract, there = known.contract, self._surroundings.variables
            reads = () if contract.is_dynamic_sets else contract.reads.values()
            found = self._needed[id(known)] = tuple(
                read
                for read in reads
                if read.need != "optional" and read.name not in there and not self._is_excused(read)
            )
        return found

    def _is_excused(self, read: Read) -> bool:
        name = read.name
        if SET_BY_THE_SYSTEM.fullmatch(name):
            return True
        is_usual = SECRET.search(name) is not None or PLAUSIBLE.fullmatch(name) is not None
        return is_usual and (not self._surroundings.is_certain or self._surroundings.has_secrets or read.need == "none")

    def _compare_outputs(self, job: Job, known: Known) -> None:
        for name in job.outputs:
            problem = self._output_problem(name, known)
            if problem is None:
                continue
            self._outputs.setdefault((known.notebook, name), _Unassigned([], *problem)).jobs.append(job)

    def _output_problem(self, name: str, known: Known) -> tuple[str, str | None] | None:
        """What is wrong with an output, and a hint."""
        contract = known.contract
        if self._surroundings.outputs == "published":
            if contract.is_dynamic_publishing or name in contract.published:
                return None
            near = _near(name, contract.published)
            call = f"dsjobs.publish({name}={name})"
            return f"no cell of {known.notebook} publishes output '{name}'", near or f"call {call} in the last cell"
        is_there = name in contract.assigned or name in _IPYTHON_NAMES or name.startswith("_")
        if self._surroundings.outputs is None or contract.is_dynamic_assignments or is_there:
            return None
        if name in contract.published:
            hint = f"on this machine outputs are read from variables: write {name} = … and then publish({name}={name})"
            return f"{known.notebook} publishes output '{name}', and no cell assigns it", hint
        near = _near(name, contract.assigned)
        return f"no cell of {known.notebook} assigns output '{name}'", near or f"assign a top-level variable {name}"

    def _not_read(self, name: str, same: Sequence[_Unread]) -> Diagnostic:
        """One mistake, which may have been copied from job to job."""
        first = same[0]
        contract, notebook, read = first.known.contract, first.known.notebook, first.misspelt
        message = f"{_named([one.job for one in same])}: no cell of {notebook} reads input '{name}'"
        position = first.inputs.key_position(name)
        if read is not None:
            message += f", and no input sets {read.name}, which it needs ({_where(read)})"
            severity: Literal["error", "warning"] = "error" if read.need == "raises" else "warning"
            return Diagnostic("DSJ407", message, position, f"did you mean '{read.name}'?", severity)
        hint = did_you_mean(name, contract.reads.keys() - _inputs(first.job).keys())
        hint = hint or f'take it out, or read it in the notebook: os.environ["{name}"]'
        return Diagnostic("DSJ406", message, position, hint, "warning")

    def _not_set(self, missing: _Missing) -> Diagnostic:
        needs = [f"{read.name} ({_where(read)})" for read in missing.reads[:_SHOWN]]
        more = len(missing.reads) - _SHOWN
        listed = ", ".join(needs) + (f" and {more} more" if more > 0 else "")
        what = "variables" if len(missing.reads) > 1 else "a variable"
        message = f"{_named(missing.jobs)}: {missing.known.notebook} needs {what} that no input sets: {listed}"
        name = missing.reads[0].name
        hint = f'add to its inputs, or give a default in the notebook: os.environ.get("{name}", "…")'
        if self._surroundings.has_secrets:
            hint = f"{hint}; a secret of the DataSphere project would set it as well"
        return Diagnostic("DSJ407", message, missing.jobs[0].position("notebook"), hint, self._severity(missing.reads))

    def _severity(self, reads: Sequence[Read]) -> Literal["error", "warning"]:
        is_sure = any(read.need == "raises" for read in reads)
        return "error" if is_sure and not self._surroundings.has_secrets else "warning"


def _nearest(name: str, reads: Sequence[Read]) -> Read | None:
    """Of the variables that are missing the one that `name` surely is meant to be."""
    ratios = {_alike(name, read.name): read for read in reads}
    return ratios[max(ratios)] if ratios and max(ratios) >= _ALIKE else None


def _alike(one: str, other: str) -> float:
    return 1.0 if one.casefold() == other.casefold() else difflib.SequenceMatcher(None, one, other).ratio()


def _named(jobs: Sequence[Job]) -> str:
    """How jobs are called that have the same mistake: by the first of them."""
    others = len({job.base or job.name for job in jobs}) - 1
    return f"job '{jobs[0].name}'{f' and {others} more' if others else ''}"


def _where(read: Read) -> str:
    return f"cell {read.cell}, line {read.line}"


def _may_be_read(name: str, contract: Contract) -> bool:
    return name in contract.reads or name in contract.mentions or PLAUSIBLE.fullmatch(name) is not None


def _inputs(job: Job) -> dict[str, MarkedMap]:
    """The mapping that each input of a job was written in, the strongest one."""
    found: dict[str, MarkedMap] = {}
    for written in job.places:
        inputs = written.get("inputs")
        if isinstance(inputs, MarkedMap):
            for name in inputs:
                found.setdefault(name, inputs)
    return found


def _output_position(job: Job, name: str) -> Position:
    for written in job.places:
        outputs = written.get("outputs")
        if isinstance(outputs, MarkedMap) and name in outputs:
            return outputs.key_position(name)
        if isinstance(outputs, MarkedList) and name in outputs:
            return outputs.item_position(outputs.index(name))
    return job.position("outputs")


def _near(name: str, names: Collection[str]) -> str | None:
    near = max(names, key=lambda one: _alike(name, one), default="")
    return f"did you mean '{near}'?" if _alike(name, near) >= _ALIKE else None


def findings(known: Known) -> Iterator[tuple[Diagnostic, int]]:
    """What in a notebook cannot work whichever job runs it, each with the number of its cell."""
    for finding in known.contract.findings:
        position = Position(in_cell(known.notebook, finding.cell), finding.line, finding.column)
        yield Diagnostic(finding.code, finding.message, position, finding.hint), finding.cell
