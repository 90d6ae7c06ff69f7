"""The environment variables that cells read and set, and what becomes of the notebook without them.

A read that may never happen, or happens where the code may know what to do, counts as read and as optional.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from dsjobs.notebook.contract import uses
from dsjobs.notebook.contract.aliases import MODULES, Aliases, Function
from dsjobs.notebook.contract.flow import Flow, last_name, leaves
from dsjobs.notebook.contract.functions import Called, Key, Made
from dsjobs.notebook.contract.gathering import Gathered
from dsjobs.notebook.contract.questions import question
from dsjobs.notebook.contract.value import Need, Read

_ONLY_LOOK = frozenset(
    "dict print len sorted list set tuple str repr type iter isinstance id dumps pprint pformat DataFrame".split()
)
_KEEPS = (
    ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.Yield, ast.Tuple, ast.List, ast.Dict, ast.IfExp, ast.BoolOp,
    ast.Lambda,
)  # fmt: skip
_OF_ENVIRON = frozenset({"environ.get", "environ.pop", "environ.setdefault", "getenv"})


class Reads(Flow, ast.NodeVisitor):
    """Walks the cells in their order and adds to `gathered` what they read and set."""

    def __init__(self, aliases: Aliases, gathered: Gathered) -> None:
        super().__init__(aliases)
        self._gathered = gathered
        self._cell = 0
        self._functions: list[Made] = []
        self._tested: set[str] = set()
        self._called = Called(aliases)

    def visit_cell(self, tree: ast.Module, number: int, *, is_certain: bool) -> None:
        """Look at one cell. `is_certain`: the notebook does not go on where it raises."""
        self._cell, self._is_certain = number, is_certain
        self._loops, self._functions = {}, []
        self.visit(tree)

    def finish(self, *, is_module: bool = False) -> None:
        """Look at functions where they are called; to be done when all cells have been looked at. Those of a module are called
        elsewhere as well."""
        self._called.settle(self._gathered, self._add)
        self._gathered.is_dynamic_reads |= is_module and self._called.has_keys
        self._gathered.mentions |= self._tested
        for name in self._tested & self._gathered.reads.keys():
            found = self._gathered.reads[name]
            self._gathered.reads[name] = replace(found, need="optional", is_optional=True)

    # What reads and sets.

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._aliases.kind(node.value) != "environ":
            self.generic_visit(node)
            return
        self.visit(node.slice)
        if isinstance(node.ctx, ast.Load):
            self._read(node.slice, node, "raises", None)
        elif isinstance(node.ctx, ast.Store):
            self._set(node.slice)

    def visit_Call(self, node: ast.Call) -> None:
        kind = self._aliases.kind(node.func)
        if kind in _OF_ENVIRON:
            self._lookup(node, kind)
        elif kind == "environ.update":
            self._update(node.args, node.keywords)
        elif kind == "environ.__contains__" and node.args:
            self._test(node.args[0])
        elif kind == "environ.__setitem__" and node.args:
            self._set(node.args[0])
        elif kind is not None and kind.startswith("environ"):
            self._gathered.is_dynamic_reads = True
        elif kind == "expandvars":
            if self._aliases.keys(node.args[0], self._loops) is None if node.args else True:
                self._gathered.is_dynamic_reads = True
        elif kind == "process":
            self._start(node)
        else:
            self._other_call(node)
            return
        for part in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        right = node.comparators[0]
        environ = right.func.value if isinstance(right, ast.Call) and isinstance(right.func, ast.Attribute) else right
        if isinstance(node.ops[0], ast.In | ast.NotIn) and self._aliases.kind(environ) == "environ":
            self._test(node.left)
            self.visit(node.left)
            return
        self._visit_all([node.left, right])
        with self._perhaps():
            self._visit_all(node.comparators[1:])

    def visit_Assign(self, node: ast.Assign) -> None:
        name = node.targets[0].id if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) else ""
        if name and isinstance(node.value, ast.Lambda) and self._aliases.functions.get(name) is node.value:
            self._function(name, node.value)
            return
        kind = self._aliases.kind(node.value)
        if kind is None or not name or self._aliases.kind(node.targets[0]) != kind:
            self.visit(node.value)  # Python, too, computes the value before it assigns.
        for target in node.targets:
            self.visit(target)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            bound = ast.Name(alias.asname or alias.name, ast.Load())
            if node.module == "os" and alias.name in ("environ", "environb", "getenv", "*"):
                self._gathered.is_dynamic_reads |= self._aliases.kind(bound) is None
                self._gathered.is_dynamic_sets |= self._aliases.kind(bound) is None
            if alias.name in ("BaseSettings", "load_dotenv"):
                self._gathered.is_dynamic_reads = self._gathered.is_dynamic_sets = True

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self.visit(target.slice if isinstance(target, ast.Subscript) else target)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        kind = self._aliases.kind(node)
        if kind is None:
            if node.attr == "BaseSettings":
                self._gathered.is_dynamic_reads = True
            self.generic_visit(node)
        elif isinstance(node.ctx, ast.Store):
            self._gathered.is_dynamic_sets = self._gathered.is_dynamic_reads = True
        elif kind == "process":
            self._gathered.program()
        elif kind in ("environ", "getenv", "expandvars") or kind.startswith("environ."):
            self._gathered.is_dynamic_reads = True
            self._gathered.is_dynamic_sets |= kind == "environ" and self._is_kept(node)

    def _is_kept(self, node: ast.expr) -> bool:
        """Whether the environment gets another name, by which it may be changed."""
        return isinstance(self._aliases.parents.get(node), _KEEPS)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            return
        kind = self._aliases.kind(node)
        if kind == "process":
            self._gathered.program()
        elif kind is not None and kind not in MODULES:
            self._gathered.is_dynamic_reads = True
            self._gathered.is_dynamic_sets |= kind == "environ" and self._is_kept(node)
        self._called.mentioned(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(outside)
        self._function(node.name, node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function("", node)

    # How the above is done.

    def _lookup(self, node: ast.Call, kind: str) -> None:
        """`os.environ.get`, `os.getenv` and their like."""
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name = node.args[0] if node.args else given.get("key")
        default = node.args[1] if len(node.args) > 1 else given.get("default", given.get("value"))
        if name is None or isinstance(name, ast.Starred) or None in given:
            self._gathered.is_dynamic_reads = True
            return
        need: Need = "optional"
        if default is None:
            need = "raises" if kind == "environ.pop" else uses.without_value(node, self._aliases)
        elif isinstance(default, ast.Constant) and default.value is None and kind != "environ.pop":
            need = "raises" if uses.without_value(node, self._aliases) == "raises" else "optional"
        self._read(name, node, need, default)
        if kind == "environ.setdefault":
            self._set(name)

    def _read(self, name: ast.expr, node: ast.expr, need: Need, default: ast.expr | None) -> None:
        names = self._aliases.keys(name, self._loops)
        if names is None:
            self._read_unknown(name, need, default)
            return
        inner = self._functions[-1] if self._functions else None
        surely: Need = need if self._is_certain else "optional"
        for one in names:
            place = (self._cell, node.lineno, node.col_offset + 1)
            read = Read(one, *place, surely, default, is_optional=default is not None)
            if inner is not None:
                inner.reads.append(read)
            elif one not in self._gathered.sets:
                self._add(read)

    def _read_unknown(self, name: ast.expr, need: Need, default: ast.expr | None) -> None:
        """A read of what a function is called with, or of what nobody knows."""
        inner = self._functions[-1] if self._functions else None
        if inner is not None and isinstance(name, ast.Name) and name.id in inner.parameters - inner.changed:
            surely: Need = need if self._is_certain else "optional"
            inner.keys.append(Key(name.id, surely, default))
        else:
            self._gathered.is_dynamic_reads = True

    def _add(self, read: Read) -> None:
        """Keep of the reads of a variable the first one of the greatest need."""
        known = self._gathered.reads.get(read.name)
        order = ("optional", "none", "raises")
        weight = (order.index(read.need), not read.is_optional)
        if known is None or (order.index(known.need), not known.is_optional) < weight:
            self._gathered.reads[read.name] = read

    def _set(self, name: ast.expr) -> None:
        names = self._aliases.keys(name, self._loops)
        if names is None:
            self._gathered.is_dynamic_sets = True
        else:
            self._gathered.sets.update(names)

    def _test(self, name: ast.expr) -> None:
        names = self._aliases.keys(name, self._loops)
        if names is not None:
            self._tested.update(names)
            return
        inner = self._functions[-1] if self._functions else None
        if inner is not None and isinstance(name, ast.Name) and name.id in inner.parameters - inner.changed:
            inner.keys.append(Key(name.id, "optional", None, is_test=True))
        else:
            self._gathered.is_dynamic_reads = True

    def _update(self, arguments: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> None:
        """`os.environ.update(X="1")`, `os.environ.update({"X": "1"})`."""
        self._gathered.sets.update(keyword.arg for keyword in keywords if keyword.arg)
        mappings = [*arguments, *(keyword.value for keyword in keywords if keyword.arg is None)]
        for mapping in mappings:
            keys = self._aliases.items(mapping)
            if keys is None:
                self._gathered.is_dynamic_sets = True
            for key in keys or ():
                self._set(key)

    def _start(self, node: ast.Call) -> None:
        """A process, which inherits the environment."""
        command = node.args[0] if node.args else None
        parts = command.elts if isinstance(command, ast.List | ast.Tuple) else [command] if command else []
        is_python = bool(parts) and ast.unparse(parts[0]) == "sys.executable"
        words = [_word(part) for part in parts[is_python:]]
        self._gathered.command(" ".join(["python", *words] if is_python else words or [_UNKNOWN]))

    def _other_call(self, node: ast.Call) -> None:
        function = node.func
        name = last_name(function)
        self._ask(node)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if self._is_patch(node):
            self._patch(node)
            arguments = arguments[1:]
        elif any(self._aliases.kind(argument) == "environ" for argument in arguments) and name not in _ONLY_LOOK:
            self._gathered.is_dynamic_sets = True
        if name == "load_dotenv" or (name == "getattr" and node.args and self._aliases.kind(node.args[0]) == "os"):
            self._gathered.is_dynamic_reads = self._gathered.is_dynamic_sets = True
        if isinstance(function, ast.Name):
            caller = self._functions[-1] if self._functions else None
            self._called.add(node, self._cell, caller, is_certain=self._is_certain, loops=self._loops)
        else:
            self.visit(function)
        self._visit_all(arguments)

    def _is_patch(self, node: ast.Call) -> bool:
        """`mock.patch.dict(os.environ, …)`."""
        is_dict = isinstance(node.func, ast.Attribute) and node.func.attr == "dict"
        patched = node.args[0] if node.args else None
        is_text = isinstance(patched, ast.Constant) and patched.value == "os.environ"
        return is_dict and patched is not None and (is_text or self._aliases.kind(patched) == "environ")

    def _patch(self, node: ast.Call) -> None:
        """Sets what it is given, for a while: where that ends is not looked at."""
        values = [keyword.value for keyword in node.keywords if keyword.arg == "values"]
        self._update([*node.args[1:2], *values], [k for k in node.keywords if k.arg not in ("values", "clear")])

    def _ask(self, node: ast.Call) -> None:
        """A call of `input` that surely happens; in a function, where that is called."""
        found = question(node, self._cell, self._aliases) if self._is_certain else None
        if found is not None:
            (self._functions[-1].questions if self._functions else self._gathered.findings).append(found)

    def _function(self, name: str, node: Function) -> None:
        owner = self._aliases.parents.get(node)
        is_known = self._aliases.functions.get(name) is node and not self._functions
        if isinstance(owner, ast.ClassDef):
            is_known = is_known and self._is_made_by_call(name, owner)
            name = owner.name
        made = Made(name, node)
        before, loops = self._is_certain, self._loops
        self._is_certain = is_known and made.runs_when_called
        self._loops = {key: value for key, value in loops.items() if key not in made.parameters | made.changed}
        self._functions.append(made)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        for statement in body:
            self.visit(statement)
            if leaves(statement):
                self._is_certain = False
        self._functions.pop()
        self._is_certain, self._loops = before, loops
        if made.keys and (not is_known or isinstance(owner, ast.ClassDef)):
            self._gathered.is_dynamic_reads = True
        if is_known:
            self._called.define(made)
            return
        outer = self._functions[-1].reads if self._functions else None
        for read in made.reads:
            (self._add if outer is None else outer.append)(read)

    def _is_made_by_call(self, method: str, owner: ast.ClassDef) -> bool:
        """Whether to call the class is to call its `__init__`."""
        return method == "__init__" and self._aliases.is_once(owner.name) and not owner.keywords


_UNKNOWN = "?"


def _word(part: ast.expr) -> str:
    """A part of a command, as far as it is written down."""
    if isinstance(part, ast.JoinedStr):
        return "".join(map(_word, part.values))
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else _UNKNOWN
