"""The example's notebooks, run in order without dsjobs: what they publish holds what jobs.example.yaml promises."""

import json
import os
import shutil
from pathlib import Path

import jinja2
import jsonschema
import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from dsjobs import schemas
from dsjobs.cli.drafting import inputs_read

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
JOB_FILE = yaml.safe_load((REPOSITORY / "jobs.example.yaml").read_text(encoding="utf-8"))
JOBS = {job["name"]: job for job in JOB_FILE["jobs"]}
TEMPLATES = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)


def templates(job):
    return {**JOB_FILE["defaults"]["inputs"], **job["inputs"]}


def rendered(job, outputs, run_id="first"):
    variables = {
        name: value["default"] if isinstance(value, dict) else value for name, value in JOB_FILE["variables"].items()
    }
    known = {"vars": variables, "run": {"id": run_id}, "needs": {name: {"outputs": o} for name, o in outputs.items()}}
    return {name: TEMPLATES.from_string(text).render(known) for name, text in templates(job).items()}


def execute(path, inputs, names):
    """Runs the notebook as `jupyter execute` does, and gives the values of the variables `names`."""
    notebook = nbformat.read(path, as_version=4)
    source = f"import json\nprint(json.dumps({{name: globals()[name] for name in {names!r}}}))"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env={**os.environ, **inputs})
    return json.loads(notebook.cells[-1].outputs[-1]["text"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the notebooks, so that no test writes into the repository."""
    copy = tmp_path_factory.mktemp("example") / "notebooks"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("output", "__pycache__", ".ipynb_checkpoints"))
    return copy


@pytest.fixture(scope="module")
def outputs(folder):
    """Outputs by job, after one run of the whole pipeline."""
    published = {}
    for name, job in JOBS.items():
        assert set(job.get("needs", [])) <= set(published), "the example lists jobs after what they need"
        published[name] = execute(folder / job["notebook"], rendered(job, published), list(job["outputs"]))
    return published


def test_job_file_when_read_then_holds_its_schema():
    jsonschema.Draft202012Validator(schemas.load("jobs")).validate(JOB_FILE)


def test_job_file_when_read_then_every_notebook_is_run_by_a_job():
    assert sorted(job["notebook"] for job in JOBS.values()) == [path.name for path in NOTEBOOKS]


@each_job
def test_job_when_compared_with_its_notebook_then_gives_the_inputs_that_it_reads(job):
    notebook = nbformat.read(FOLDER / job["notebook"], as_version=4)
    read = inputs_read([cell.source for cell in notebook.cells if cell.cell_type == "code"])
    assert {found.name for found in read if not found.is_optional} <= set(templates(job))
    assert set(templates(job)) <= {found.name for found in read}


@each_notebook
def test_notebook_when_committed_then_is_valid_and_has_no_outputs(path):
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    nbformat.validate(content)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None
        for cell in content["cells"]
        if cell["cell_type"] == "code"
    )
    assert text == json.dumps(content, indent=1, ensure_ascii=False) + "\n"


@each_notebook
def test_notebook_when_it_writes_then_writes_where_git_looks_away(path):
    assert 'Path(os.environ.get("OUTPUT_FOLDER", "output"))' in path.read_text(encoding="utf-8").replace('\\"', '"')
    assert "/output/" in (FOLDER / ".gitignore").read_text().splitlines()


@each_job
def test_job_when_run_then_its_outputs_hold_their_contracts(job, outputs):
    for name, contract in job["outputs"].items():
        jsonschema.Draft202012Validator(contract).validate(outputs[job["name"]][name])


@each_job
def test_job_when_run_then_the_files_that_it_names_are_there(job, outputs, folder):
    files = [folder / value for name, value in outputs[job["name"]].items() if name.endswith("_path")]
    assert files
    assert all(file.stat().st_size > 0 and file.parent == folder / "output" / "first" for file in files)


def test_comparison_when_run_then_the_plot_is_a_picture_and_the_better_model_won(outputs, folder):
    published = outputs["compare"]
    losses = {model: outputs[f"train_{model}"]["validation_log_loss"] for model in ("logistic", "boosted")}
    low, high = published["test_auc_interval"]
    assert (folder / published["plot_path"]).read_bytes().startswith(b"\x89PNG")
    assert published["best_model"] == min(losses, key=losses.get)
    assert low < published["test_auc"] < high


def test_load_when_run_again_then_makes_the_same_table(outputs, folder):
    job = JOBS["load"]
    again = execute(folder / job["notebook"], rendered(job, {}, run_id="second"), list(job["outputs"]))
    first, second = (folder / path for path in (outputs["load"]["table_path"], again["table_path"]))
    assert first != second
    assert first.read_bytes() == second.read_bytes()
