"""An executed notebook without secrets: what is read in it is masked, what makes it a notebook stays."""

from __future__ import annotations

import base64
import json

import nbformat
from disguises import leaks
from nbformat import v4

from dsjobs.notebook.masking import mask
from dsjobs.secrets import Redactor, Secret

VALUE = "stdout-is-a-secret"


def stream(text: str, name: str = "stdout"):
    return v4.new_output("stream", name=name, text=text)


def masked(*outputs, source: str = "", **metadata):
    """The node of a notebook with one cell, once it is masked."""
    cell = v4.new_code_cell(source, outputs=list(outputs), metadata=metadata, id="c1")
    node = v4.new_notebook(cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    mask(node, Redactor([Secret("A", VALUE), Secret("B", "python3")]))
    nbformat.validate(node)
    return node


def test_streams_when_a_secret_is_in_several_then_it_is_gone_from_all():
    display = v4.new_output("display_data", data={"text/plain": "between"})
    outputs = masked(
        stream(f"a {VALUE[:4]}"), display, stream("warning ", "stderr"), stream(VALUE[4:9]), stream(f"{VALUE[9:]} b"),
        stream(VALUE[:7], "stderr"), stream(VALUE[7:]),
    ).cells[0].outputs  # fmt: skip
    assert [output.get("text") for output in outputs] == ["a ***", None, "warning ", "", " b", "***", ""]


def test_outputs_when_they_are_of_any_kind_then_everything_that_is_read_is_masked():
    data = {
        "text/plain": [VALUE[:5], VALUE[5:]], "text/html": f"<b>{VALUE}</b>", "application/json": {VALUE: [VALUE, 1]},
        "application/vnd.own+json": [VALUE], "image/svg+xml": f"<svg>{VALUE}</svg>",
        "image/png": base64.b64encode(b"x" + VALUE.encode() + b"xx").decode(),
    }  # fmt: skip
    error = v4.new_output("error", ename=VALUE, evalue=VALUE, traceback=["Traceback", VALUE[:3], VALUE[3:]])
    node = masked(
        v4.new_output("display_data", data=data, metadata={"shown": VALUE}),
        v4.new_output("execute_result", data={"text/plain": repr(VALUE)}, execution_count=1),
        error, source=f"print('{VALUE}')", note={"of": VALUE},
    )  # fmt: skip
    assert leaks(json.dumps(node), VALUE) == []
    assert node.cells[0].source == "print('***')"
    assert node.cells[0].outputs[2].traceback == ["Traceback", "***", ""]


def test_notebook_when_a_secret_is_a_word_of_its_format_then_it_is_still_one():
    node = masked(stream("python3"))
    assert (node.metadata.kernelspec.name, node.cells[0].outputs[0].text) == ("python3", "***")


def test_binary_when_it_has_the_letters_of_a_secret_by_chance_then_it_stays():
    node = v4.new_notebook(
        cells=[v4.new_code_cell(outputs=[v4.new_output("display_data", data={"image/png": "iVBORw0KGgoA"})])]
    )
    mask(node, Redactor([Secret("A", "BORw0K")]))
    assert node.cells[0].outputs[0].data["image/png"] == "iVBORw0KGgoA"


def test_mask_when_there_are_no_secrets_then_nothing_is_touched():
    node = v4.new_notebook(cells=[v4.new_markdown_cell("text")])
    before = node.cells[0]
    mask(node, Redactor())
    assert node.cells[0] is before
