"""What `dsjobs init` writes is valid, says what the notebooks say, and breaks on no notebook."""

import json
import re
import tomllib
from pathlib import Path

import jinja2
import jsonschema
import pytest
import yaml

from dsjobs import schemas
from dsjobs.cli.drafting import NotebookFile, demo_files, draft, find_notebooks, inputs_read, job_names

REPOSITORY = Path(__file__).parents[2]


def checked(text: str) -> dict:
    """The job file as data, once it holds its schema."""
    data = yaml.safe_load(text)
    jsonschema.Draft202012Validator(schemas.load("jobs")).validate(data)
    return data


def notebook(*cells: str) -> str:
    code = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": cell}
        for i, cell in enumerate(cells)
    ]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def required(*cells: str) -> list[str]:
    return [found.name for found in inputs_read(cells) if not found.is_optional]


def optional(*cells: str) -> list[str]:
    return [found.name for found in inputs_read(cells) if found.is_optional]


def test_draft_when_there_are_no_notebooks_then_is_a_valid_example():
    data = checked(draft("churn", []))
    assert data["name"] == "churn"
    assert [job["name"] for job in data["jobs"]] == ["first"]


def test_draft_when_the_comments_of_its_example_are_taken_in_then_is_still_valid():
    head, jobs = draft("x", []).split("\njobs:\n")
    data = checked(head + "\njobs:\n" + re.sub(r"^( *)# ", r"\1", jobs, flags=re.MULTILINE))
    assert [job["name"] for job in data["jobs"]] == ["first", "second"]
    assert data["jobs"][0]["outputs"] == {"row_count": {"type": "integer", "minimum": 1}}


def test_draft_when_there_are_notebooks_then_has_a_job_for_each():
    files = [
        NotebookFile("01_load.ipynb", ('import os\nregion = os.environ["REGION"]',)),
        NotebookFile("02_train.ipynb", ('import os\nalpha = os.environ.get("ALPHA", "0.1")',)),
    ]
    text = draft("churn", files)
    assert checked(text)["jobs"] == [
        {"name": "load", "notebook": "01_load.ipynb", "inputs": {"REGION": ""}},
        {"name": "train", "notebook": "02_train.ipynb"},
    ]
    assert '    #   ALPHA: "0.1"  # optional' in text
    assert "    # needs: [load]" in text


def test_draft_when_all_its_comments_are_taken_in_then_is_still_valid():
    files = [
        NotebookFile("load.ipynb", ("print(1)",)),
        NotebookFile(
            "train.ipynb", ('os.environ["A"], os.getenv("B", 1), os.getenv("C", f(x)), os.environ["DB_PASSWORD"]',)
        ),
        NotebookFile("score.ipynb", ('os.getenv("B", "{{ x }}")',)),
    ]
    text = draft("churn", files)
    head, jobs = text.split("\njobs:\n")
    data = checked(
        head + "\njobs:\n" + re.sub(r"^    # (?! )", "    ", jobs.replace("    #   ", "      "), flags=re.MULTILINE)
    )
    assert data["jobs"][1]["needs"] == ["load"]
    assert data["jobs"][1]["inputs"] == {"A": "", "B": "1", "C": "", "DB_PASSWORD": ""}
    assert data["jobs"][2]["inputs"] == {"B": "{{ '{{ x }}' }}"}


@pytest.mark.parametrize(
    "name", ["", "on", "007", "a: b", "x" * 300, 'quo"te', "new\nline: 1", "чёрн", "\x00\ud800", "- x", "# x"]
)
def test_draft_when_the_name_is_odd_then_is_valid(name):
    assert isinstance(checked(draft(name, []))["name"], str)


@pytest.mark.parametrize(
    "path", ["on.ipynb", "a b/c: d #e.ipynb", "quo\"te's.ipynb", "{{ x }}.ipynb", "чёрн/данные.ipynb", "7.ipynb"]
)
def test_draft_when_a_path_is_odd_then_it_names_the_notebook(path):
    (job,) = checked(draft("x", [NotebookFile(path, ())]))["jobs"]
    assert jinja2.Template(job["notebook"]).render() == path


def test_draft_when_a_default_is_code_on_many_lines_then_its_comment_is_one_line():
    code = 'os.getenv("A", [\n' + ",\n".join(f"'name {i}'" for i in range(50)) + "])"
    (line,) = [
        line
        for line in draft("x", [NotebookFile("a.ipynb", (code,))]).splitlines()
        if "A:" in line and "default:" in line
    ]
    assert line.endswith("…")
    assert len(line) < 130


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["load.ipynb", "train.ipynb"], ["load", "train"]),
        (["01_load.ipynb", "02-train model.ipynb"], ["load", "train_model"]),
        (["a/train.ipynb", "b/train.ipynb"], ["a_train", "b_train"]),
        (["Train.ipynb", "train.ipynb"], ["Train", "train_2"]),
        (["2024.ipynb", "_.ipynb", "данные.ipynb", "été.ipynb"], ["job_2024", "job", "job_2", "ete"]),
        (["1_a.ipynb", "2_a.ipynb", "a_2.ipynb"], ["a", "a_2", "a_2_2"]),
    ],
)
def test_job_names_when_made_from_paths_then_are_readable_and_unique(paths, names):
    assert job_names(paths) == names


def test_job_names_when_paths_are_long_and_alike_then_fit_and_differ():
    names = job_names([f"{'x' * 90}/{i}/{'long name ' * 10}.ipynb" for i in range(12)])
    assert len({name.casefold() for name in names}) == 12
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", name) for name in names)


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["X"]',
        'os.getenv("X")',
        'os.environ.get("X")',
        'from os import environ\nenviron["X"]',
        'from os import getenv as get\nget("X")',
        'import os as system\nsystem.environ["X"]',
        'def f():\n    return int(os.environ["X"])',
        "f'{os.environ[\"X\"]}'",
        'os.getenv("X", "1")\nos.environ["X"]',
        '%matplotlib inline\n!pip install \\\n  thing\nfiles = !ls\nx = os.environ["X"]\nx?',
        '%%time\nx = os.environ["X"]',
        'await f(os.environ["X"])',
        "query = '''\n%s\n!\n'''\nx = os.environ['X']",
        "if True:\n    %run other.py\n    x = os.environ['X']",
        'os.environ["X"] = os.environ["X"].strip()',
        '"\\d"\nos.environ["X"]',
    ],
)
def test_inputs_read_when_a_variable_is_needed_then_it_is_required(code):
    assert required(code) == ["X"]
    assert optional(code) == []


@pytest.mark.parametrize(
    "code",
    [
        'os.getenv("X", "1")',
        'os.environ.get("X", default="1")',
        'os.environ.get("X", None)',
        'os.environ.setdefault("X", "1")',
        'if "X" in os.environ:\n    os.environ["X"]',
    ],
)
def test_inputs_read_when_a_variable_has_a_default_then_it_is_optional(code):
    assert required(code) == []
    assert optional(code) == ["X"]


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["X"] = "1"\nos.environ["X"]',
        "os.environ[name]",
        'other.environ["X"]',
        'get("X")',
        'os.environ["not a name"]',
        'os.environ["HOME"] + os.environ["DSJOBS_OUTPUTS_URL"]',
        '%%bash\nos.environ["X"]',
        'def broken(:\n  os.environ["X"]',
        "x\0y",
        "(" * 5000,
        "",
        "%%time",
    ],
)
def test_inputs_read_when_there_is_nothing_to_give_then_is_empty(code):
    assert inputs_read([code]) == []


def test_inputs_read_when_an_expression_is_very_deep_then_other_cells_count():
    assert required("x = " + "+".join("a" * 3000), 'os.environ["X"]') == ["X"]


def test_find_notebooks_when_some_cannot_be_read_then_the_others_are_found_with_a_note_on_each(tmp_path):
    for folder in ("sub", ".ipynb_checkpoints", ".dsjobs/runs", "venv/lib"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "inner.ipynb").write_text(notebook("1"))
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "z.ipynb").write_text(notebook('os.environ["X"]', "2"))
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "binary.ipynb").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "nowhere.ipynb").symlink_to(tmp_path / "missing.ipynb")
    (tmp_path / "list.ipynb").write_text("[]")
    (tmp_path / "readme.txt").touch()

    found, notes = find_notebooks(tmp_path)

    assert found == [NotebookFile("sub/inner.ipynb", ("1",)), NotebookFile("z.ipynb", ('os.environ["X"]', "2"))]
    assert [note.split(" ")[0] for note in notes] == ["binary.ipynb", "broken.ipynb", "list.ipynb", "nowhere.ipynb"]
    assert checked(draft("x", found))["jobs"][1]["inputs"] == {"X": ""}


def test_find_notebooks_when_the_path_is_too_long_for_the_service_then_there_is_a_note(tmp_path):
    folder = tmp_path / ("a" * 150) / ("b" * 60)
    folder.mkdir(parents=True)
    (folder / "x.ipynb").write_text(notebook("1"))
    found, notes = find_notebooks(tmp_path)
    assert found == []
    assert "longer than 200 characters" in notes[0]


def test_find_notebooks_when_the_folder_is_empty_then_is_empty(tmp_path):
    assert find_notebooks(tmp_path) == ([], [])


def test_draft_when_made_from_the_example_then_asks_for_what_its_notebooks_need():
    found, notes = find_notebooks(REPOSITORY / "examples" / "notebooks")
    jobs = {job["name"]: job.get("inputs", {}) for job in checked(draft("x", found))["jobs"]}
    assert notes == []
    assert set(jobs["load"]) == {"REGION", "SNAPSHOT_DATE", "CUSTOMERS", "SEED"}
    assert set(jobs["compare"]) == {"LOGISTIC", "BOOSTED", "CONTACT_SHARE", "SEED"}


def test_demo_files_when_written_then_every_job_finds_its_notebook():
    files = demo_files()
    data = checked(files["jobs.yaml"].decode())
    projects = data["environments"]["local"]["projects"]
    assert projects == {"analytics": "notebooks"}
    assert {f"notebooks/{job['notebook']}" for job in data["jobs"]} <= set(files)
    assert {"notebooks/metrics.py", "notebooks/.gitignore"} <= set(files)


def test_demo_files_when_written_then_say_nothing_that_is_true_in_the_repository_only():
    text = demo_files()["jobs.yaml"].decode()
    assert text.startswith("# Which customers")
    assert "jobs.example.yaml" not in text
    assert "examples/" not in text
    assert "$schema" not in text


def test_demo_files_when_the_example_has_been_run_then_leave_its_output_out():
    suffixes = {Path(path).suffix for path in demo_files()}
    assert suffixes <= {".yaml", ".ipynb", ".py", ""}
    assert not any("output" in path for path in demo_files())


def test_demo_files_when_the_wheel_is_built_then_all_of_them_are_in_it():
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["force-include"]
    packaged = {target.removeprefix("dsjobs/_examples/") for target in included.values() if "_examples" in target}
    assert packaged == {path.replace("jobs.yaml", "jobs.example.yaml") for path in demo_files()}
