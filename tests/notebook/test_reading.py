"""What counts as a notebook, and the digest of its code."""

from __future__ import annotations

import json
import os

import pytest

from dsjobs.model import Request
from dsjobs.notebook import cells, reading
from dsjobs.notebook.errors import NotebookError


def notebook(*written, **fields):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(written), **fields}


def code(source, **fields):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **fields}


def text(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.ipynb"


def read(file, content):
    file.write_text(json.dumps(content), encoding="utf-8")
    return reading.read(file)


def test_read_when_it_is_a_notebook_then_code_cells_are_numbered_and_sources_joined(file):
    content = notebook(text("# T"), code(["a\n", "b"], id="c1"), {"cell_type": "raw", "source": "r"}, code("c"))

    seen = read(file, content)

    assert [(cell.index, cell.number, cell.id, cell.source) for cell in seen.cells] == [
        (0, 0, None, "# T"),
        (1, 1, "c1", "a\nb"),
        (2, 0, None, "r"),
        (3, 2, None, "c"),
    ]
    assert seen.code_cell("c1") == seen.cells[1]
    assert (seen.kernel_name, seen.language) == (None, None)


def test_read_when_metadata_name_a_kernel_then_it_is_known_with_its_language(file):
    kernelspec = {"name": "ir", "display_name": "R"}

    seen = read(file, notebook(metadata={"kernelspec": kernelspec, "language_info": {"name": "R"}}))

    assert (seen.kernel_name, seen.language) == ("ir", "R")


@pytest.mark.parametrize("metadata", [None, [], {"kernelspec": None}, {"kernelspec": {"name": 3}}])
def test_read_when_metadata_make_no_sense_then_they_are_silent(file, metadata):
    assert read(file, notebook(metadata=metadata)).kernel_name is None


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (b"", "it is not JSON", "the file is empty"),
        (b"  \n", "it is not JSON", "the file is empty"),
        (b"import os\n", "it is not JSON (Expecting value: line 1 column 1 (char 0))", None),
        (b"<<<<<<< HEAD\n{}", "it is not JSON", "resolve the conflict"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is not JSON", "git lfs pull"),
        (b"[" * 100_000, "nested too deeply", None),
        (b'{"nbformat": ' + b"4" * 5000 + b"}", "huge number", None),
        ('{"nbformat": 4}'.encode("utf-16"), "it is not UTF-8 text (byte 0)", "save it again"),
        (b"\x89PNG\r\n", "it is not UTF-8 text (byte 0)", "save it again"),
        (b"[]", "JSON without an nbformat version", "what Jupyter saves"),
        (b'{"cells": []}', "JSON without an nbformat version", "what Jupyter saves"),
        (b'{"nbformat": "4"}', "JSON without an nbformat version", "what Jupyter saves"),
        (b'{"nbformat": 3, "worksheets": []}', "has nbformat 3", "nbconvert --to notebook"),
        (b'{"nbformat": 5, "cells": []}', "has nbformat 5, which is newer", "newer dsjobs"),
        (b'{"nbformat": 4}', "its cells are missing", None),
        (b'{"nbformat": 4, "cells": {}}', "its cells are missing", None),
        (b'{"nbformat": 4, "cells": ["x"]}', "its cell 1 has no cell_type", None),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}', "source of its cell 1 is not text", None),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [5]}]}', "source of its cell 1 is not text", None),
    ],
)
def test_read_when_it_is_no_notebook_then_it_says_why(file, raw, message, hint):
    file.write_bytes(raw)

    with pytest.raises(NotebookError) as caught:
        reading.read(file)

    assert message in str(caught.value)
    assert str(caught.value).startswith("'a.ipynb' ")
    assert caught.value.code == "DSJ402"
    assert hint in caught.value.hint if hint else caught.value.hint is None


def test_read_when_there_is_a_byte_order_mark_then_it_is_ignored(file):
    file.write_text("\ufeff" + json.dumps(notebook()), encoding="utf-8")

    assert reading.read(file).cells == ()


def test_read_when_it_is_a_pipe_or_a_folder_then_it_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()

    for name, why in (("pipe", "is not a regular file"), ("folder", "Is a directory"), ("gone", "No such file")):
        with pytest.raises(NotebookError, match=why) as caught:
            reading.read(tmp_path / f"{name}.ipynb")
        assert caught.value.code == "DSJ401"


def test_digest_when_only_outputs_text_or_metadata_change_then_it_stays(file):
    first = read(file, notebook(text("old"), code("a = 1"), code("b")))
    output = {"output_type": "stream", "name": "stdout", "text": "x"}
    changed = code(["a ", "= 1"], outputs=[output], execution_count=7, metadata={"x": 1})
    second = read(file, notebook(changed, text("new"), code("b"), metadata={"y": 2}))

    assert reading.code_digest(first.cells) == reading.code_digest(second.cells)


def test_digest_when_the_code_or_its_cells_change_then_it_changes(file):
    written = [[code("ab")], [code("a"), code("b")], [code("b"), code("a")], [code('a","b')], [code("\ud800")], []]

    digests = {reading.code_digest(read(file, notebook(*some)).cells) for some in written}

    assert len(digests) == len(written)
    assert all(digest.startswith("sha256:") for digest in digests)


def test_find_when_a_cell_is_asked_for_then_broken_notebooks_elsewhere_do_not_matter(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "good.ipynb").write_text(json.dumps(notebook(code("1", id="one"), code("2", id="two"))))

    target = cells.find(tmp_path, Request(project="p", cell="two"))

    assert (target.notebook.path.name, [cell.source for cell in target.cells]) == ("good.ipynb", ["2"])
    for written in ("tvo", "good.ipynb/cell/tvo"):
        with pytest.raises(NotebookError) as caught:
            cells.find(tmp_path, Request(project="p", cell=written))
        assert caught.value.hint == "did you mean 'two'?"
