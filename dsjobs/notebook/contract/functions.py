"""Functions of a notebook that read the environment, looked at where they are called: `def f(name): return os.environ[name]`."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dsjobs.notebook.contract.aliases import Aliases, Function
from dsjobs.notebook.contract.flow import stored_in
from dsjobs.notebook.contract.gathering import Gathered
from dsjobs.notebook.contract.value import Finding, Need, Read


@dataclass(frozen=True, slots=True)
class Key:
    """A variable that a function reads under the name that is given as its parameter."""

    parameter: str
    need: Need
    default: ast.expr | None
    is_test: bool = False


@dataclass(slots=True)
class Made:
    """A function: what it reads by name, and by what it is called with, and what it asks. `changed`: the names that it gives a
    value to: a parameter that is one of them is no longer what it was called with."""

    name: str
    node: Function
    reads: list[Read] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    questions: list[Finding] = field(default_factory=list)
    changed: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.changed = stored_in([self.node.body] if isinstance(self.node, ast.Lambda) else self.node.body)

    @property
    def positional(self) -> list[str]:
        return [parameter.arg for parameter in (*self.node.args.posonlyargs, *self.node.args.args)]

    @property
    def parameters(self) -> set[str]:
        return {*self.positional, *(parameter.arg for parameter in self.node.args.kwonlyargs)}

    @property
    def runs_when_called(self) -> bool:
        """Whether a call runs its body, and gives back what that returns."""
        if isinstance(self.node, ast.Lambda):
            return True
        is_generator = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(self.node))
        return isinstance(self.node, ast.FunctionDef) and not self.node.decorator_list and not is_generator


@dataclass(frozen=True, slots=True)
class _Call:
    node: ast.Call
    cell: int
    caller: str | None  # None at the top level, empty in what is no function with a name of its own
    is_certain: bool
    loops: dict[str, tuple[str, ...]]


class Called:
    """The functions of a notebook and their calls."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._made: dict[str, Made] = {}
        self._calls: list[_Call] = []
        self._mentions: Counter[str] = Counter()

    def define(self, made: Made) -> None:
        self._made[made.name] = made

    def mentioned(self, name: str) -> None:
        """A name is used, and not called there."""
        self._mentions[name] += 1

    def add(
        self, node: ast.Call, cell: int, caller: Made | None, *, is_certain: bool, loops: dict[str, tuple[str, ...]]
    ) -> None:
        """A call of a name."""
        self._calls.append(_Call(node, cell, caller.name if caller else None, is_certain, loops))

    @property
    def has_keys(self) -> bool:
        """Whether there are functions that read what they are called with."""
        return any(made.keys for made in self._made.values())

    def settle(self, gathered: Gathered, add: Callable[[Read], None]) -> None:
        """Hand what the functions read to `add`, and what they ask where they surely are called to `gathered`."""
        surely = self._surely_called()
        gathered.findings += [found for name in sorted(surely) for found in self._made[name].questions]
        for made in self._made.values():
            for read in made.reads:
                is_sure = made.name in surely and read.name not in gathered.sets
                add(read if is_sure else replace(read, need="optional"))
            if made.keys and self._mentions[made.name]:
                gathered.is_dynamic_reads = True  # it is handed to something that calls it with whatever it likes
        for call in self._calls:
            assert isinstance(call.node.func, ast.Name)
            called = self._made.get(call.node.func.id)
            if called is not None and called.keys:
                is_sure = call.is_certain and (call.caller is None or call.caller in surely)
                self._read(call, called, gathered, add, is_sure=is_sure)

    def _surely_called(self) -> set[str]:
        """The functions that the top level surely calls, and those that they surely call."""
        found: set[str] = set()
        while True:
            more = {
                call.node.func.id
                for call in self._calls
                if isinstance(call.node.func, ast.Name)
                and call.is_certain
                and (call.caller is None or call.caller in found)
                and call.node.func.id in self._made
            }
            if more <= found:
                return found
            found |= more

    def _read(
        self, call: _Call, called: Made, gathered: Gathered, add: Callable[[Read], None], *, is_sure: bool
    ) -> None:
        for key in called.keys:
            argument = _argument(call.node, called, key.parameter)
            names = self._aliases.keys(argument, call.loops) if argument is not None else None
            if names is None:
                gathered.is_dynamic_reads = True
                continue
            default = key.default
            if isinstance(default, ast.Name) and default.id in called.parameters:
                default = _argument(call.node, called, default.id)
            for name in names:
                is_needed = is_sure and name not in gathered.sets and not self._is_tested(called, key)
                need: Need = key.need if is_needed else "optional"
                line, column = call.node.lineno, call.node.col_offset + 1
                is_optional = key.default is not None or key.is_test
                add(Read(name, call.cell, line, column, need, default, is_optional))

    def _is_tested(self, called: Made, key: Key) -> bool:
        return any(other.is_test and other.parameter == key.parameter for other in called.keys)


def _argument(call: ast.Call, called: Made, parameter: str) -> ast.expr | None:
    """What a call gives as a parameter: by place, by name, or its default."""
    if any(isinstance(argument, ast.Starred) for argument in call.args) or any(k.arg is None for k in call.keywords):
        return None
    for keyword in call.keywords:
        if keyword.arg == parameter:
            return keyword.value
    positional = called.positional
    if parameter in positional and positional.index(parameter) < len(call.args):
        return call.args[positional.index(parameter)]
    defaults = dict(zip(reversed(positional), reversed(called.node.args.defaults), strict=False))
    named = zip((p.arg for p in called.node.args.kwonlyargs), called.node.args.kw_defaults, strict=True)
    return {**defaults, **dict(named)}.get(parameter)
