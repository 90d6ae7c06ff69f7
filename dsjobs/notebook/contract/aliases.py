"""What the names in a notebook stand for, as far as that is the same everywhere: `os` and its parts under other names, texts and
lists of texts that are assigned once, functions that are defined once."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from dsjobs.notebook.contract.gathering import Gathered

Kind = str
"""What an expression is: `os`, `environ`, `getenv`, `environ.get` and other methods, `expandvars`, `process` (starts one)."""

_OS_PARTS = {
    "environ": "environ", "environb": "environ", "getenv": "getenv", "getenvb": "getenv", "path": "os.path",
    **dict.fromkeys(("system", "popen", "posix_spawn", "posix_spawnp", "startfile"), "process"),
}  # fmt: skip
MODULES = {"posixpath": "os.path"} | {name: name for name in ("os", "os.path", "subprocess", "asyncio", "dotenv")}
_CHANGES: dict[str, Callable[[str], str]] = {"upper": str.upper, "lower": str.lower, "strip": str.strip, "encode": str}
_MAX_KEYS = 500
_LOOKING_METHODS = frozenset(
    "items keys values get split index count copy join union intersection difference issubset".split()
)
_LOOKING_FUNCTIONS = frozenset(
    "enumerate sorted reversed list tuple set dict frozenset zip tqdm len print pprint display str repr sum any all min max "
    "map filter isinstance type update join difference intersection union issubset issuperset publish DataFrame Series".split()
)
_LOOKING_STATEMENTS = (
    ast.For, ast.AsyncFor, ast.comprehension, ast.Compare, ast.Starred, ast.BinOp, ast.UnaryOp, ast.FormattedValue, ast.Expr,
    ast.If, ast.While, ast.Assert,
)  # fmt: skip
_GO_THROUGH = frozenset("enumerate sorted reversed list tuple set zip tqdm".split())

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Aliases:
    """The names of a notebook, from all of its cells.

    `may_raise`: the cells that the notebook goes on after when they raise. `in_commands`: words in shell lines and magics.
    """

    def __init__(
        self, trees: Sequence[ast.AST], *, may_raise: Collection[ast.AST] = (), in_commands: Collection[str] = ()
    ) -> None:
        self.may_raise, self.in_commands = may_raise, in_commands
        self.functions: dict[str, Function] = {}
        self.methods: set[str] = set()
        self.loads: dict[str, list[ast.Name]] = defaultdict(list)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.texts: set[str] = set()
        self._stores: dict[str, list[Kind | ast.expr | Function | None]] = defaultdict(list)
        for tree in trees:
            for node in ast.walk(tree):
                for child in ast.iter_child_nodes(node):
                    self.parents[child] = node
                    self._note(child)
        self._kinds: dict[str, Kind] = {"os": "os"}
        self.is_os_unclear = any(self._kind_of(stored) != "os" for stored in self._stores.get("os", ()))
        """Whether `os` is sometimes something else: then nothing is known of what is done with it."""
        if self.is_os_unclear:
            self._kinds.clear()
        self._settle()

    def kind(self, node: ast.AST) -> Kind | None:
        """What `node` is, of those things that have to do with the environment."""
        if isinstance(node, ast.Name):
            return self._kinds.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._kind_of_part(self.kind(node.value), node.attr)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "__import__"
            and node.args
        ):
            argument = node.args[0]
            return MODULES.get(str(argument.value)) if isinstance(argument, ast.Constant) else None
        return None

    def items(self, node: ast.expr) -> list[ast.expr] | None:
        """The items of a list, tuple, set or mapping that is written down, or that a name stands for."""
        if isinstance(node, ast.Name):
            value = self._only(node.id) if self._stays(node.id) else None
            return self.items(value) if isinstance(value, ast.List | ast.Tuple | ast.Set | ast.Dict) else None
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return list(node.elts)
        if isinstance(node, ast.Dict):
            return [key for key in node.keys if key] if all(node.keys) else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
            return self._items_of_method(node.func)
        return None

    def is_never_empty(self, node: ast.expr) -> bool:
        """Whether a loop over `node` surely runs: something written down, `range(3)`, and what goes through it."""
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in _GO_THROUGH and node.args and not self.is_defined_here(name):
                return all(map(self.is_never_empty, node.args[: None if name == "zip" else 1]))
            if name == "range" and not self.is_bound(name):
                return self._is_range(node.args)
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str | bytes) and bool(node.value)
        items = self.items(node) or ()
        return any(not isinstance(item, ast.Starred) for item in items)

    def _is_range(self, arguments: list[ast.expr]) -> bool:
        """Whether these are numbers that `range` finds something between."""
        values = [self._only(one.id) if isinstance(one, ast.Name) else one for one in arguments]
        numbers = [one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, int)]
        return 0 < len(numbers) == len(arguments) < 3 and bool(range(*numbers))

    def keys(self, node: ast.expr, loops: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
        """The texts that an expression may be; None where that is not known. `loops`: what the names of loops run through."""
        if isinstance(node, ast.Constant):
            text = node.value.decode("utf-8", "replace") if isinstance(node.value, bytes) else node.value
            return (text,) if isinstance(text, str) else None
        if isinstance(node, ast.Name):
            if node.id in loops:
                return loops[node.id]
            value = self._only(node.id)
            return self.keys(value, {}) if isinstance(value, ast.Constant) else None
        if isinstance(node, ast.IfExp):
            first, second = self.keys(node.body, loops), self.keys(node.orelse, loops)
            return (*first, *second) if first and second else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
            inner = self.keys(node.func.value, loops)
            change = _CHANGES.get(node.func.attr)
            return tuple(map(change, inner)) if inner is not None and change is not None else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], loops)
        if isinstance(node, ast.JoinedStr):
            if any(
                isinstance(p, ast.FormattedValue) and (p.format_spec or p.conversion not in (-1, ord("s")))
                for p in node.values
            ):
                return None
            return self._joined([p.value if isinstance(p, ast.FormattedValue) else p for p in node.values], loops)
        return None

    def is_defined_here(self, name: str) -> bool:
        """Whether the notebook itself defines `name` as a function or class."""
        return any(
            isinstance(stored, ast.AST) and not isinstance(stored, ast.expr) for stored in self._stores.get(name, ())
        )

    def is_bound(self, name: str) -> bool:
        """Whether anything in the notebook gives `name` a meaning."""
        return name in self._stores

    def is_once(self, name: str) -> bool:
        """Whether one statement only gives `name` a meaning."""
        return len(self._stores.get(name, ())) == 1

    def _joined(self, parts: list[ast.expr], loops: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
        found: tuple[str, ...] = ("",)
        for part in parts:
            more = self.keys(part, loops)
            if more is None or len(found) * len(more) > _MAX_KEYS:
                return None
            found = tuple(before + after for before in found for after in more)
        return found

    def _items_of_method(self, function: ast.Attribute) -> list[ast.expr] | None:
        value: Kind | ast.AST | None = function.value
        if isinstance(function.value, ast.Name):
            value = self._only(function.value.id) if self._stays(function.value.id) else None
        if function.attr == "split" and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return [ast.copy_location(ast.Constant(word), value) for word in islice(value.value.split(), _MAX_KEYS)]
        if isinstance(value, ast.Dict) and all(value.keys):
            pairs = [(key, item) for key, item in zip(value.keys, value.values, strict=True) if key]
            if function.attr == "items":
                return [ast.copy_location(ast.Tuple([key, item], ast.Load()), key) for key, item in pairs]
            if function.attr in ("keys", "values"):
                return [pair[function.attr == "values"] for pair in pairs]
        return None

    def _stays(self, name: str) -> bool:
        """Whether a list or mapping is never changed: everything that is done with its name only looks at it."""
        return all(self._only_looks(load) for load in self.loads.get(name, ()))

    def _only_looks(self, load: ast.Name) -> bool:
        parent = self.parents[load]
        if isinstance(parent, ast.Attribute):
            return isinstance(parent.ctx, ast.Load) and parent.attr in _LOOKING_METHODS
        if isinstance(parent, ast.Subscript):
            return isinstance(parent.ctx, ast.Load)
        if isinstance(parent, ast.Call):
            name = parent.func.attr if isinstance(parent.func, ast.Attribute) else ""
            name = parent.func.id if isinstance(parent.func, ast.Name) else name
            return load in parent.args and name in _LOOKING_FUNCTIONS and not self.is_defined_here(name)
        if isinstance(parent, ast.keyword):
            return parent.arg is None  # `f(**d)` gets a copy
        if isinstance(parent, ast.Dict):
            return any(key is None and value is load for key, value in zip(parent.keys, parent.values, strict=True))
        return isinstance(parent, _LOOKING_STATEMENTS)

    def _only(self, name: str) -> Kind | ast.expr | Function | None:
        stored = self._stores.get(name, ())
        return stored[0] if len(stored) == 1 else None

    def _kind_of_part(self, whole: Kind | None, part: str) -> Kind | None:
        if whole == "os":
            is_start = part.startswith(("exec", "spawn"))
            return "process" if is_start else _OS_PARTS.get(part)
        if whole == "os.path":
            return "expandvars" if part == "expandvars" else None
        if whole == "environ":
            return f"environ.{part}"
        if whole == "asyncio":
            return "process" if part.startswith("create_subprocess") else None
        if whole == "subprocess":
            return "process" if part[:1].islower() or part == "Popen" else None
        return None

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self.loads[node.id].append(node)
            elif isinstance(node.ctx, ast.Store):
                self._stores[node.id].append(self._stored(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._stores[node.name].append(node)  # type: ignore[arg-type]  # of a class it matters only that it is one
            if isinstance(self.parents[node], ast.ClassDef):
                self.methods.add(node.name)
        elif isinstance(node, ast.arg):
            self._stores[node.arg].append(None)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                self._stores[bound].append(MODULES.get(alias.name if alias.asname else bound))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._stores[alias.asname or alias.name].append(
                    self._kind_of_part(MODULES.get(node.module or ""), alias.name)
                )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("utf-8", "replace")
            self.texts.add(text)

    def _stored(self, name: ast.Name) -> ast.expr | None:
        """The value that a statement gives to a name, where it gives one and no other."""
        parent = self.parents[name]
        if isinstance(parent, ast.Assign) and name in parent.targets:
            return parent.value
        return parent.value if isinstance(parent, ast.AnnAssign | ast.NamedExpr) else None

    def _kind_of(self, stored: Kind | ast.AST | None) -> Kind | None:
        return self.kind(stored) if isinstance(stored, ast.AST) else stored

    def _settle(self) -> None:
        """Finds out what names stand for. One may stand for another: `env = os.environ`, then `get = env.get`."""
        for _ in range(4):
            before = len(self._kinds)
            for name, stored in self._stores.items():
                kinds = {self._kind_of(one) for one in stored}
                kind = kinds.pop()
                if kind is not None and not kinds:
                    self._kinds[name] = kind
            if len(self._kinds) == before:
                break
        for name, stored in self._stores.items():
            if len(stored) == 1 and isinstance(stored[0], ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                self.functions[name] = stored[0]


def add_texts(aliases: Aliases, gathered: Gathered) -> None:
    """Note which texts in the code may be names of variables."""
    for text in aliases.texts:
        gathered.text(text)
