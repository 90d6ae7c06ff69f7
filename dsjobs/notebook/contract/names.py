"""The names at the top level of a notebook: every way in which Python binds one, and what is handed to `dsjobs.publish`.

A name that is assigned under a condition counts as assigned. What assigns names that cannot be read off the code (`exec`,
`globals().update(…)`, `from x import *`) makes all of them unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from dsjobs.notebook.contract.flow import last_name
from dsjobs.notebook.contract.gathering import Gathered
from dsjobs.notebook.contract.magics import Magic

# What is inside may not happen, or not to its end.
_PERHAPS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.Match, ast.Try, ast.TryStar, ast.With, ast.AsyncWith,
)  # fmt: skip
_NAMESPACES = ("globals", "locals", "vars")
_EXECUTING = frozenset({"exec", "eval", "execfile", "compile"})
_OF_NAMESPACES = frozenset({"get", "keys", "values", "items", "copy", "__contains__", "__getitem__"})
_OF_IPYTHON = frozenset(
    "__class__ config kernel display_formatter events ast_node_interactivity set_custom_exc parent".split()
)
_LOOKING = frozenset({"str", "repr", "type", "print", "hasattr", "isinstance", "bool", "dir", "len", "sorted", "list"})
_IMPORTING = frozenset({"import_module", "__import__", "exec_module", "load_module", "load_source"})
# Modules of which `import *` is known to give no values but these: functions and classes are no outputs.
STAR_OF_KNOWN: Mapping[str, Sequence[str]] = {
    "math": ("pi", "e", "tau", "inf", "nan"),
    "cmath": ("pi", "e", "tau", "inf", "nan"),
    "numpy": ("pi", "e", "inf", "nan", "euler_gamma", "newaxis", "little_endian", "typecodes", "__version__"),
    "string": (
        "ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits", "printable", "punctuation",
        "whitespace",
    ),
    "os.path": (
        "curdir", "pardir", "sep", "pathsep", "defpath", "altsep", "extsep", "devnull", "supports_unicode_filenames",
    ),
    "re": (
        *"AILMSXU", "ASCII", "IGNORECASE", "LOCALE", "MULTILINE", "DOTALL", "VERBOSE", "UNICODE", "NOFLAG",
    ),
    "datetime": ("MINYEAR", "MAXYEAR"),
    "typing": ("TYPE_CHECKING",),
    "functools": ("WRAPPER_ASSIGNMENTS", "WRAPPER_UPDATES"),
    **dict.fromkeys(
        "random itertools collections pathlib statistics dataclasses turtle sympy pyspark.sql.functions pyspark.sql.types "
        "tqdm.notebook".split(),
        (),
    ),
}  # fmt: skip


class Names(ast.NodeVisitor):
    """Walks the cells in their order and adds to `gathered` what they bind."""

    def __init__(self, gathered: Gathered, trees: Sequence[ast.Module]) -> None:
        self._gathered = gathered
        self._scopes: list[set[str] | None] = []  # of each function the names that it declares global; None for a class
        self._targets = 0  # inside of the targets of a comprehension
        self._conditions = 0
        self._modules, self._publishes = _imported_of_ours(trees)

    def visit_cell(self, tree: ast.Module, *, is_certain: bool) -> None:
        """Look at one cell. `is_certain`: the notebook does not go on where it raises."""
        self._scopes, self._targets, self._conditions = [], 0, int(not is_certain)
        self.visit(tree)

    def visit(self, node: ast.AST) -> None:
        is_perhaps = isinstance(node, _PERHAPS)
        self._conditions += is_perhaps
        super().visit(node)
        self._conditions -= is_perhaps

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store) and not self._targets:
            self._bind(node.id)
        elif isinstance(node.ctx, ast.Del) and not self._scopes and not self._conditions:
            self._gathered.assigned.discard(node.id)
        elif isinstance(node.ctx, ast.Load) and node.id in self._publishes | self._modules:
            self._gathered.is_dynamic_publishing = True  # it is handed on, and not called here

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        for outside in (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(outside)
        self._inside(_declared_global(node.body), node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(default)
        self._inside(set(), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        for outside in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(outside)
        self._inside(None, node.body)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])
            self._gathered.modules.add(alias.name.partition(".")[0])
            if alias.name in ("__main__", "builtins"):
                self._gathered.is_dynamic_assignments = True

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        self._gathered.modules.add(module.partition(".")[0] if not node.level else module)
        for alias in node.names:
            if alias.name == "*":
                self._gathered.is_dynamic_assignments |= module not in STAR_OF_KNOWN
                self._gathered.is_dynamic_publishing |= module not in STAR_OF_KNOWN
                for name in STAR_OF_KNOWN.get(module, ()):
                    self._bind(name)
                continue
            self._bind(alias.asname or alias.name)
            if alias.name == "get_ipython" and alias.asname:
                self._gathered.cannot_tell()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        targets, self._targets = self._targets, 0  # it binds outside of the comprehension that it stands in
        self.visit(node.target)
        self._targets = targets

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._targets += 1
        self.visit(node.target)
        self._targets -= 1
        for part in (node.iter, *node.ifs):
            self.visit(part)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        for part in (node.type, *node.body):  # its name is gone when it has run
            if part is not None:
                self.visit(part)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind_pattern(node, node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind_pattern(node, node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind_pattern(node, node.rest)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`globals()["x"] = 1` binds; to look there does nothing."""
        if not _is_namespace(node.value):
            self.generic_visit(node)
            return
        if isinstance(node.ctx, ast.Load):
            self.visit(node.slice)
        elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._gathered.assigned.add(node.slice.value)
        else:
            self._gathered.is_dynamic_assignments = True

    def visit_Compare(self, node: ast.Compare) -> None:
        for part in (node.left, *node.comparators):
            if not (_is_namespace(part) or _is_ipython(part) or _is_modules(part)):
                self.visit(part)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg is not None or not _is_namespace(node.value):  # `f(**globals())` only looks
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            if function.id in _EXECUTING:
                self._gathered.cannot_tell()
            elif function.id in _LOOKING and any(_is_ipython(argument) for argument in node.args):
                return
            elif function.id in _NAMESPACES and _is_namespace(node):
                self._gathered.is_dynamic_assignments |= self._reaches_the_top(function.id)
        if _is_ipython(node):  # what holds it can run anything
            self._gathered.cannot_tell()
        elif last_name(function) == "var" and "sympy" in self._gathered.modules:
            self._gathered.is_dynamic_assignments = True
        if last_name(function) in _IMPORTING:
            self._import(_text(node.args[0]) if node.args else "")
        if self._is_publish(function):
            self._publish(node)
        elif isinstance(function, ast.Attribute) and self._method(node, function):
            return
        else:
            self.visit(function)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            self._gathered.is_dynamic_publishing |= node.attr in ("publish", "__dict__")
            return
        if _is_ipython(node.value) and node.attr in _OF_IPYTHON:
            return
        if _is_modules(node) or node.attr in ("f_globals", "f_locals", "__globals__"):
            self._gathered.is_dynamic_assignments = self._gathered.is_dynamic_publishing = True
        self.generic_visit(node)

    def _method(self, node: ast.Call, function: ast.Attribute) -> bool:
        """A call on `get_ipython()` or `globals()`. Says whether nothing is left to look at."""
        if _is_ipython(function.value):
            self._ipython(node, function.attr)
        elif _is_namespace(function.value):
            if function.attr == "update" and not node.args and all(keyword.arg for keyword in node.keywords):
                self._gathered.assigned.update(keyword.arg or "" for keyword in node.keywords)
            elif function.attr not in _OF_NAMESPACES:
                self._gathered.is_dynamic_assignments = True
        else:
            return False
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)
        return True

    def _ipython(self, node: ast.Call, method: str) -> None:
        texts = [_text(argument) for argument in node.args]
        if method in ("run_line_magic", "run_cell_magic") and len(texts) > 1 and all(texts[:1]):
            kind = "line" if method == "run_line_magic" else "cell"
            body = texts[2] if len(texts) > 2 else ""
            self._gathered.magic(Magic("line" if kind == "line" else "cell", texts[0], texts[1], node.lineno, body))
            if kind == "cell" and not body:
                self._gathered.cannot_tell()
        elif method == "magic" and texts and texts[0]:
            name, _, text = texts[0].lstrip("%").partition(" ")
            self._gathered.magic(Magic("line", name, text, node.lineno))
        elif method in ("system", "getoutput") and texts:
            self._gathered.command(texts[0] or "unknown")
        elif method not in _OF_IPYTHON:
            self._gathered.cannot_tell()

    def _import(self, name: str) -> None:
        """An import by name, which is empty where it is not known."""
        self._gathered.modules.add(name.partition(".")[0])
        self._gathered.is_dynamic_assignments |= name in ("__main__", "builtins", "")
        self._gathered.is_dynamic_publishing |= name.partition(".")[0] == "dsjobs"

    def _is_publish(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and function.attr == "publish":
            return isinstance(function.value, ast.Name) and function.value.id in self._modules
        return isinstance(function, ast.Name) and function.id in self._publishes

    def _publish(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._gathered.published.add(keyword.arg)
            elif isinstance(keyword.value, ast.Dict) and all(key and _text(key) for key in keyword.value.keys):
                self._gathered.published.update(_text(key) for key in keyword.value.keys if key)
            else:
                self._gathered.is_dynamic_publishing = True

    def _bind(self, name: str) -> None:
        if not self._scopes or (self._scopes[-1] and name in self._scopes[-1]):
            self._gathered.assigned.add(name)

    def _bind_pattern(self, node: ast.AST, name: str | None) -> None:
        if name is not None:
            self._bind(name)
        self.generic_visit(node)

    def _inside(self, declared: set[str] | None, body: list[ast.stmt] | list[ast.expr]) -> None:
        self._scopes.append(declared)
        targets, self._targets = self._targets, 0
        for part in body:
            self.visit(part)
        self._targets = targets
        self._scopes.pop()

    def _reaches_the_top(self, name: str) -> bool:
        return name == "globals" or not any(scope is not None for scope in self._scopes)


def _imported_of_ours(trees: Sequence[ast.Module]) -> tuple[set[str], set[str]]:
    """The names that `dsjobs` and its `publish` are imported under, in whichever cell."""
    modules, publishes = set[str](), set[str]()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            modules.update(
                alias.asname or "dsjobs" for alias in node.names if alias.name in ("dsjobs", "dsjobs.publish")
            )
        elif isinstance(node, ast.ImportFrom) and node.module in ("dsjobs", "dsjobs.publish"):
            publishes.update(alias.asname or alias.name for alias in node.names if alias.name == "publish")
    return modules, publishes


def _declared_global(body: list[ast.stmt]) -> set[str]:
    return {name for statement in body for node in _of_function(statement) for name in node.names}


def _of_function(node: ast.AST) -> Iterator[ast.Global]:
    """The `global` statements of a function, without those of functions in it."""
    if isinstance(node, ast.Global):
        yield node
    elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _of_function(child)


def _is_namespace(node: ast.expr) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMESPACES
    return is_call and not node.args  # type: ignore[attr-defined]  # it is a call


def _is_ipython(node: ast.expr) -> bool:
    """`get_ipython()`, also as a part of IPython, and `InteractiveShell.instance()`."""
    if not isinstance(node, ast.Call):
        return False
    owner = last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    name = last_name(node.func)
    return name == "get_ipython" or (owner, name) == ("InteractiveShell", "instance")


def _is_modules(node: ast.expr) -> bool:
    """`sys.modules`, in which there is `__main__`."""
    is_part = isinstance(node, ast.Attribute) and node.attr == "modules" and isinstance(node.value, ast.Name)
    return is_part and node.value.id == "sys"  # type: ignore[attr-defined]  # it is such a part


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
