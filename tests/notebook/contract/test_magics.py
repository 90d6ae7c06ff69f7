"""IPython's syntax as dsjobs reads it, held against IPython itself: what that can compile is no syntax error here."""

from __future__ import annotations

import ast
import warnings

import pytest
from corpus import BAD, GOOD, read_case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from dsjobs.notebook.contract.analysis import contract_of
from dsjobs.notebook.contract.magics import Magic, python_of
from dsjobs.notebook.contract.value import CodeSource

CELLS = sorted({cell.source for path in [*GOOD, *BAD] for cell in read_case(path).cells})

ODD = [
    "%time x = 1",
    "if True:\n    %matplotlib inline\n    !ls\nelse:\n    x = !ls",
    "x = (1,\n  2)\n%time y = x",
    "s = '''\n%not a magic\n!ls\n'''\n%pwd",
    "s = 'a \\\n%b'\n",
    "x = a \\\n  % b",
    "x = 5 % 3\ny = x %2",
    "!echo 'it is (not closed'\nx = 1",
    "!echo \\\n  more \\\n  words\nx = 1",
    "x = !ls \\\n  -la\ny = 1",
    "x: list = !ls",
    "a = b = !ls",
    "for f in x: !cat {f}",
    "def f(a=1): x = %time",
    "f(a=!ls)",
    "x = %env HOME",
    "x == !ls",
    "x += !ls",
    "f(\n  x\n)?",
    "x.y?\nx.y??\n?x\n??x\n%time?\n%%time?",
    "x[0]?\nx['a']?",
    "# comment?\nx = 1  # really?",
    "# %time\n\n\n    # %%time\nx = 1",
    ",f a b\n;g a b\n/h 1 2",
    "%%time\n%%time\nx = 1",
    "%%time\n%matplotlib inline\nx = !ls",
    "\n\n%%bash\nls (",
    "  %%bash\n  ls (",
    "x = 1\n%%bash\nls",
    "%time !ls",
    "%time %pwd",
    "%%capture\n\n%time x = (",
    "    x = 1\n    y = 2",
    "    x = 1\n  y = 2",
    ">>> x = 1\n>>> if x:\n...     y = 2\n2",
    "In [1]: x = 1\n   ...: y = 2",
    "x = '%s' % 1\n'%d' % 2",
    "f\"{x!r}\" \"?\"\nf'{x}' ''",
    "x = '''a''' '''b\n!c'''\n!d",
    "r'\\'\nx",
    "'unclosed\n%time",
    "'''unclosed\n%time",
    "print(1) ; !ls",
    "lambda: !ls",
    "x = [\n  %time\n]",
    "{'a':\n!ls\n}",
    "!ls ?",
    "!ls what?",
    "%%\nx",
    "%",
    "!",
    "?",
    "x = %",
    "x = !",
    "await f()\nasync for x in y: pass",
    "\\\n%time x",
    "if x:\\\n  !ls",
    "x = 1\r\ny = 2\r\n%pwd\r\n",
    "%time\tx = 1",
    "\u2028x = 1",
    "@decorator\n%time\ndef f(): pass",
    "\t%pwd\n\tx = 1",
    "del x?\n",
    "class A:\n    !ls\n    def f(self):\n        %pwd",
    "try:\n    x = !ls\nexcept E:\n    %pwd",
    "x = 'a' 'b' \"c\" # 'd\n!ls 'e",
    "x = 3 if y else !ls",
    "with f() as x, \\\n     g() as y:\n    !ls",
]


def ours(cell: str) -> bool:
    """Whether the cell is Python for us."""
    return not any(finding.code == "DSJ405" for finding in contract_of([CodeSource(1, cell)]).findings)


def theirs(cell: str) -> bool:
    """Whether IPython can parse the cell, and each `%%time` and `%time` in it. As an oracle for one direction: what it cannot
    compile is none of our business where we say nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = TransformerManager().transform_cell(cell)
            compile(made, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def body_runs(cell: str) -> bool:
    """Whether a magic compiles Python in turn, which IPython's transformation does not look at."""
    return any(word in cell for word in ("%time", "%%capture", "%%prun", "%%timeit", "%%debug", "%%mem", "%%lprun"))


@pytest.mark.parametrize("cell", [*CELLS, *ODD])
def test_cell_when_ipython_can_compile_it_then_it_is_no_syntax_error_and_else_it_is(cell):
    if "#!:" in cell or body_runs(cell) or len(cell.strip().splitlines()) == 1:
        assert ours(cell) or not theirs(cell) or body_runs(cell)
    else:
        assert ours(cell) == theirs(cell)


PARTS = st.sampled_from(
    "% ! ? %% !! ?? x y = == += ( ) [ ] { } ' \" ''' \"\"\" # \\ , ; : . ls time env 1 if else def for in lambda print \n \n\n "
    '    \t >>> ... import os os.environ ["A"] %time %%time %%bash !ls f" r\' é \ud800 \x00'.split(" ")
)
CODE = st.lists(PARTS, max_size=14).map("".join)


@settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(CODE)
def test_any_text_when_it_is_a_cell_then_nothing_is_raised_and_no_false_syntax_error(cell):
    mine = ours(cell)
    is_odd_help = "?" in cell and any(bracket in cell for bracket in "([{")  # `f(\\n x?` is help, for IPython
    if not mine and not body_runs(cell) and not is_odd_help:
        assert not theirs(cell)


@pytest.mark.parametrize(
    ("cell", "magics"),
    [
        ("x = !ls $A", [("shell", "!", "ls $A")]),
        ("%env A=1", [("line", "env", "A=1")]),
        ("pip install x", [("line", "pip", "install x")]),
        ("%%bash -e\nls", [("cell", "bash", "-e")]),
        ("%%time\n!a \\\n b\nx = 1", [("cell", "time", ""), ("shell", "!", "a   b")]),
        ("%time y = %pwd", [("line", "pwd", "")]),
        ("ls", []),
        ("time = 1", []),
    ],
)
def test_magics_when_found_then_have_name_and_text(cell, magics):
    assert [(magic.kind, magic.name, magic.text) for magic in python_of(cell).magics] == magics


def test_lines_when_magics_are_taken_out_then_keep_their_numbers():
    cell = "\n\n%%time\n!a \\\n  b\nx = (\n\n  1)\nfoo?\ny = !c \\\n d\nz = 1"
    lines = python_of(cell).text.split("\n")
    assert [index for index, line in enumerate(lines) if line.startswith(("x", "y", "z"))] == [5, 9, 11]
    assert python_of(cell).magics[1] == Magic("shell", "!", "a    b", 4)
