"""Notebooks of which nothing must be said: each runs well as it is, with the inputs that its job sets and no others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dsjobs.cli import loading
from dsjobs.cli.contracts import Contracts
from dsjobs.notebook.contract.names import STAR_OF_KNOWN

JSON = str | int | float | list | tuple | dict

HEAD = "import os"
JOB = """\
version: 1
environments: {local: {backend: local, projects: {here: .}}}
jobs: [{name: a, project: here, notebook: a.ipynb, inputs: %s, outputs: %s}]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("R", "REGION", "APP_R"):
        monkeypatch.delenv(name, raising=False)


def said(*cells: str, inputs: str = "", outputs: str = "") -> list[tuple[str, str]]:
    """What is said of a notebook whose job sets `inputs` and takes `outputs`, words with spaces between them."""
    made = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": cell}
        for n, cell in enumerate(cells)
    ]
    content = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    Path("a.ipynb").write_text(json.dumps(content), encoding="utf-8")
    text = JOB % (json.dumps(dict.fromkeys(inputs.split(), "x")), json.dumps({name: {} for name in outputs.split()}))
    Path("jobs.yaml").write_text(text, encoding="utf-8")
    loaded = loading.load(Path("jobs.yaml"))
    assert loaded.spec is not None, loaded.diagnostics
    contracts = Contracts(Path.cwd(), is_here=True)
    found = loading.check_everywhere(loaded.spec, list(loaded.spec.environments.values()), contracts)
    return [(one.code, one.message) for one in [*loaded.diagnostics, *found]]


NOT_NEEDED = {
    "a return under a condition in a with": (
        "def f(c=1):\n with open(os.devnull):\n  if c: return c\n  return os.environ['R']\nf()"
    ),
    "a return in a loop": "def f():\n for n in (1,):\n  if n: return n\n  return os.environ['R']\nf()",
    "a return in a while": "def f(c=1):\n while True:\n  if c: return c\n  os.environ['R']\nf()",
    "a return in an if": "def f(c=1):\n if True:\n  if c: return c\n  os.environ['R']\nf()",
    "a return before finally": "def f(c=1):\n try:\n  if c: return c\n  os.environ['R']\n finally: pass\nf()",
    "another os": "os = __import__('types').SimpleNamespace(environ={'R': 1})\nos.environ['R']",
    "an os that a function is called with": "def f(os): return os.environ['R']\nf(type('O', (), {'environ': {'R': 1}}))",
    "an os of a loop": "for os in (): os.environ['R']",
    "a question after a return": "def f(c=1):\n with open(os.devnull):\n  if c: return c\n  input()\nf()",
    "a name that the loop changes": "os.environ['REGION']='eu'\nfor n in ('region',):\n n = n.upper()\n os.environ[n]",
    "a parameter that is changed": "os.environ['APP_R']='1'\ndef env(n):\n n = 'APP_' + n\n return os.environ[n]\nenv('R')",
    "a mapping that grows": "d={}\nd['R']='eu'\nos.environ.update(d)\nos.environ['R']",
    "a list that shrinks": "need=['R']\nneed.remove('R')\nfor n in need: os.environ[n]",
    "a list that is popped": "need=['R']\nneed.pop()\n[os.environ[n] for n in need]",
    "a key that is deleted": "d={'R': 1}\ndel d['R']\nfor n in d: os.environ[n]",
    "a list that a function empties": "def empty(l): l.clear()\nneed=['R']\nempty(need)\nfor n in need: os.environ[n]",
    "a list with another name": "need=['R']\nsame=need\nsame.clear()\nfor n in need: os.environ[n]",
    "%env as a call": "get_ipython().run_line_magic('env','R=eu')\nos.environ['R']",
    "%env by IPython": "import IPython\nIPython.get_ipython().run_line_magic('env','R=eu')\nos.environ['R']",
    "get_ipython with another name": "from IPython import get_ipython as gi\ngi().run_line_magic('env','R=eu')\nos.environ['R']",
    "the shell's instance": (
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
        "shell.run_line_magic('env','R=eu')\nos.environ['R']"
    ),
    "the environment in an attribute": (
        "class C:\n def __init__(self):\n  self.env = os.environ\n  self.env['R'] = 'eu'\nC()\nos.environ['R']"
    ),
    "the environment merged in place": "e = os.environ\ne |= {'R': 'eu'}\nos.environ['R']",
    "the environment returned": "def env(): return os.environ\nenv()['R'] = 'eu'\nos.environ['R']",
    "the environment in a tuple": "e, n = os.environ, 1\ne['R'] = 'eu'\nos.environ['R']",
    "an environment of one's own": (
        "try: from os import environ\nexcept ImportError: environ = {}\nenviron['R'] = 'x'\nos.environ['R']"
    ),
    "a class attribute": "class Config:\n R = os.getenv('R')",
    "a field of a dataclass": "from dataclasses import dataclass\n@dataclass\nclass C:\n r: str = os.getenv('R')",
    "None as a text": "debug = str(os.getenv('R')).lower() in ('1', 'true')",
    "used in one mode": "mode = 'fs'\nb = os.getenv('R')\nif mode == 's3': p = 's3://' + b",
    "used by a function": "b = os.getenv('R')\ndef path(): return 's3://' + b",
    "the message of an assertion": "r = os.getenv('R')\nassert True, 'bad ' + r",
    "the end of a comparison": "r = os.getenv('R')\n2 < 1 < len(r)",
    "input that is patched": "from unittest.mock import patch\nwith patch('builtins.input', return_value='1'):\n input()",
}  # fmt: skip


@pytest.mark.parametrize("code", NOT_NEEDED.values(), ids=NOT_NEEDED)
def test_variable_when_the_notebook_runs_without_it_then_nothing_is_said(code: str) -> None:
    assert said(HEAD, code) == []


READ = {
    "a name that the loop changes": "for n in ('r',):\n n = n.upper()\n os.environ[n]",
    "a parameter that is changed": "def env(n):\n n = n.upper()\n return os.environ[n]\nenv('r')",
    "a list that grows": "keys = []\nkeys.append(f'{chr(82)}')\nfor n in keys: os.environ[n]",
    "a format": "os.environ[f'{\"R\":.1}']",
    "conda run": "!conda run -n other python x.py",
    "uv run": "!uv run x.py",
    "xargs": "!ls | xargs -n 1 python",
    "find -exec": "!find . -name '*.py' -exec python {} \\;",
    "its length in a shell": "!echo ${#R}",
    "a test in a shell": "%%bash\nif [[ -v R ]]; then echo 1; fi",
    "an os that is not always one": "os = os if True else None\nos.environ['R']",
    "%aimport": "%load_ext autoreload\n%aimport config",
    "another extension": "%reload_ext mine",
}


@pytest.mark.parametrize("code", READ.values(), ids=READ)
def test_input_when_something_may_read_it_then_nothing_is_said(code: str) -> None:
    assert said(HEAD, code, inputs="R") == []


def test_input_when_a_function_of_a_module_beside_may_read_it_then_nothing_is_said() -> None:
    Path("settings.py").write_text("import os\ndef env(n): return os.environ[n]\n")
    assert said("from settings import env\nk = 'R'\nenv(k.upper())", inputs="R") == []


def test_input_when_a_file_beside_has_the_name_of_a_known_module_then_it_is_looked_into() -> None:
    Path("evaluate.py").write_text("import os\ndef run(): return os.environ['R']\n")
    assert said("import evaluate\nevaluate.run()", inputs="R") == []
    Path("evaluate.py").unlink()
    assert [code for code, _ in said("import evaluate", inputs="R")] == ["DSJ406"]


MADE = {
    "another namespace": "import sys\nsys._getframe().f_globals['x'] = 1",
    "a function's namespace": "def f(): pass\nf.__globals__['x'] = 1",
    "__main__ by name": "setattr(__import__('__main__'), 'x', 1)",
    "symbols": "import sympy\nsympy.var('x')",
    "options of a magic": "%%R -o y,x\nx <- 1",
    "options before the name": "%%bigquery --project p x\nselect 1",
    "a query": "%%sql x=<<\nselect 1",
    "deleted in a match": "x = 1\nmatch 1:\n case 2:\n  del x",
    "deleted where errors are hidden": "import contextlib\nx = 1\nwith contextlib.suppress(KeyError):\n {}['a']\n del x",
}


@pytest.mark.parametrize("code", MADE.values(), ids=MADE)
def test_output_when_something_makes_it_then_nothing_is_said(code: str) -> None:
    assert said(code, outputs="x") == []


@pytest.mark.parametrize(
    "module",
    [name for name in STAR_OF_KNOWN if name.partition(".")[0] in sys.stdlib_module_names - {"turtle"}],  # of a screen
)
def test_output_when_it_is_a_value_of_a_known_module_whose_names_are_imported_then_nothing_is_said(module: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from {module} import *", namespace)
    del namespace["__builtins__"]
    values = {name for name, value in namespace.items() if isinstance(value, JSON | None)}

    assert values <= set(STAR_OF_KNOWN[module])
    assert said(f"from {module} import *", outputs=" ".join(values)) == []


def test_output_when_it_is_no_value_of_a_known_module_whose_names_are_imported_then_it_is_missed() -> None:
    assert [code for code, _ in said("from math import *", outputs="auc")] == ["DSJ408"]


def test_output_when_a_module_beside_puts_it_there_then_nothing_is_said() -> None:
    Path("inject.py").write_text("from IPython import get_ipython\nget_ipython().user_ns['x'] = 1\n")
    assert said("import inject", outputs="x") == []


@pytest.mark.parametrize(
    ("code", "inputs", "found"),
    [
        ("need = ['R']\nfor n in need: os.environ[n]", "", "DSJ407"),
        ("need = {'R': int}\nvalues = {n: kind(os.environ[n]) for n, kind in need.items()}", "", "DSJ407"),
        ("def f():\n with open(os.devnull):\n  return os.environ['R']\nf()", "", "DSJ407"),
        ("def f():\n for n in (1, 2):\n  if n: break\n return os.environ['R']\nf()", "", "DSJ407"),
        ("with open(os.devnull):\n while True:\n  break\n os.environ['R']", "", "DSJ407"),
        ("n = int(os.getenv('R', None))", "", "DSJ407"),
        ("def env(n): return os.environ[n]\nenv('R')", "", "DSJ407"),
        ("for n in ('APP_R',): os.environ[n]", "APP_R REGION", "DSJ406"),
    ],
)
def test_mistake_when_it_is_planted_then_it_is_found(code: str, inputs: str, found: str) -> None:
    assert [one for one, _ in said(HEAD, code, inputs=inputs)] == [found]
