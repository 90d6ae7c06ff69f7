"""Which edits of a notebook change its code, and which do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsjobs.notebook.cells import Target
from dsjobs.notebook.code import code_of
from dsjobs.notebook.reading import Cell, Notebook

SOURCE = 'import os\nx = """a\n\n  b  \n"""\nif x:\n    print(x)\n'


def code(*sources: str, language: str | None = "python", ids: str = "c"):
    cells = tuple(Cell(index, index + 1, f"{ids}{index}", source) for index, source in enumerate(sources))
    return code_of(Target(Notebook(Path("a.ipynb"), {}, cells, None, language), cells))


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.rstrip("\n"),
        SOURCE + "\n\n",
        "\n" + SOURCE,
        SOURCE.replace("import os\n", "import os   \n\t\n"),
        SOURCE.replace("import os\n", "import os\r\n"),
    ],
)
def test_code_when_only_spaces_at_ends_of_lines_and_empty_lines_differ_then_the_same(edited):
    assert code(edited).cells == code(SOURCE).cells
    assert code(edited).digest != code(SOURCE).digest


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("    print", "  print"),
        SOURCE.replace("a\n\n", "a\n"),
        SOURCE.replace("b  \n", "b\n"),
        SOURCE.replace("print(x)", "print( x)"),
        SOURCE + "# done",
        "if True:\n" + SOURCE,
    ],
)
def test_code_when_anything_else_differs_then_another(edited):
    assert code(edited).cells != code(SOURCE).cells


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1 + \\\n\ny = 2", "x = 1 + \\\ny = 2"),
        ("x = 'a\\\n  b  \\\nc'", "x = 'a\\\n  b\\\nc'"),
        ("x = f'''{y}  \n'''", "x = f'''{y}\n'''"),
        ("x = '\\\\' + '''  \n'''", "x = '\\\\' + '''\n'''"),
        ("%%bash\ncat <<E\n\nE", "%%bash\ncat <<E\nE"),
    ],
)
def test_code_when_an_empty_line_or_a_space_has_a_meaning_then_it_counts(one, other):
    assert code(one).cells != code(other).cells


@pytest.mark.parametrize("line", ["# it's", "!echo don't", "x = 'a' # \"", "x = \"#'''\""])
def test_code_when_a_quote_opens_no_text_then_what_follows_is_code(line):
    assert code(f"{line}\ny = 1  \n\nz = 2").cells == code(f"{line}\ny = 1\nz = 2").cells


def test_code_when_it_is_another_language_then_every_space_counts():
    assert code("x <- 1  ", language="R").cells != code("x <- 1", language="R").cells


def test_code_when_cells_are_empty_then_they_are_left_out_and_the_others_keep_their_numbers():
    found = code("x = 1", " \n", "y = 2", ids="other")
    assert found.cells == (code("x = 1").cells[0], found.cells[1])
    assert [cell.number for cell in found.cells] == [1, 3]
