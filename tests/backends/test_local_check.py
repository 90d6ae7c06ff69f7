"""What the local backend finds before anything runs, and that it is quick about it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsjobs.backends.registry import create
from dsjobs.errors import BackendError, UsageError
from dsjobs.marks import MarkedMap, Source, pack, pack_pair
from dsjobs.model import Job, Request

ROOT = Path(__file__).parents[2]


def job(name: str = "train", **fields) -> Job:
    """A job written on lines of its own: the job on line 1, its n-th key on line n + 1."""
    request = {"project": "project", **fields}
    written = MarkedMap({"name": name, **request})
    written.source = Source("jobs.yaml", "")
    written.place = pack(0, 0)
    written.marks = [pack_pair(pack(line, 0), pack(line, 8)) for line in range(1, len(written) + 1)]
    outputs = request.pop("outputs", {})
    return Job(name, "", Request(**request, output_variable_names=tuple(outputs)), {}, outputs, (), (written,))


def found(bench, *jobs: Job) -> list[tuple[str, str, int, str | None, str]]:
    """Code, severity, line, hint and message of each finding."""
    diagnostics = bench.backend.check(jobs)
    return [(d.code, d.severity, d.position.line if d.position else 0, d.hint, d.message) for d in diagnostics]


def test_check_when_everything_is_there_then_it_finds_nothing(bench):
    bench.write("train.ipynb", "1")

    assert found(bench, job(notebook="train.ipynb"), job(notebook="/home/jupyter/datasphere/project/train.ipynb")) == []


def test_check_when_the_project_has_no_folder_then_it_says_so_at_the_project(bench):
    [(code, severity, line, _, message)] = found(bench, job(project="gone", notebook="train.ipynb"))

    assert (code, severity, line) == ("DSJ401", "error", 3)
    assert message == "job 'train': the project's folder 'gone' does not exist"


def test_check_when_a_notebook_is_misspelt_then_it_says_so_at_the_notebook_with_the_near_name(bench):
    bench.write("models/train.ipynb", "1")

    [(code, severity, line, hint, _)] = found(bench, job(notebook="models/trian.ipynb"))

    assert (code, severity, line, hint) == ("DSJ401", "error", 4, "did you mean 'models/train.ipynb'?")


def test_check_when_a_file_is_no_notebook_then_it_is_one_that_cannot_run(bench):
    (bench.folder / "train.ipynb").write_text("<html>")

    [(code, _, line, _, message)] = found(bench, job(notebook="train.ipynb"))

    assert (code, line) == ("DSJ402", 4)
    assert "it is not JSON" in message


def test_check_when_the_kernel_is_unknown_then_only_another_language_is_an_error(bench):
    bench.write("r.ipynb", "1", kernelspec={"name": "ir", "display_name": "R", "language": "R"})
    bench.write("p.ipynb", "1", kernelspec={"name": "gone", "display_name": "P", "language": "python"})

    findings = [*found(bench, job("a", notebook="r.ipynb")), *found(bench, job("b", notebook="p.ipynb"))]

    assert [(code, severity, message) for code, severity, _, _, message in findings] == [
        ("DSJ402", "error", "job 'a': kernel 'ir', which 'r.ipynb' asks for, is not installed"),
        ("DSJ402", "warning", "job 'b': kernel 'gone' is not installed; python3 runs the notebook instead"),
    ]


def test_check_when_a_job_has_a_spark_connector_then_it_warns_that_it_is_ignored(bench):
    bench.write("train.ipynb", "1")

    [(code, severity, line, _, _)] = found(bench, job(notebook="train.ipynb", spark_connector="lake"))

    assert (code, severity, line) == ("DSJ404", "warning", 5)


def test_check_when_a_cell_is_not_unique_then_it_says_so_at_the_cell(bench):
    text = bench.write("a.ipynb", "1").read_text()
    (bench.folder / "b.ipynb").write_text(text)
    cell_id = text.split('"id": "')[1].split('"')[0]

    [(code, _, line, hint, message)] = found(bench, job(cell=cell_id))

    assert (code, line) == ("DSJ401", 4)
    assert message == f"job 'train': cell '{cell_id}' is in more than one notebook: a.ipynb, b.ipynb"
    assert hint == f"say which: 'a.ipynb/cell/{cell_id}'"


def test_check_when_ten_thousand_jobs_share_two_notebooks_then_it_takes_a_moment(bench):
    bench.write("train.ipynb", "1")
    jobs = [job(f"j{i}", notebook="train.ipynb" if i % 2 else "gone.ipynb") for i in range(10_000)]
    start = time.perf_counter()

    findings = bench.backend.check(jobs)

    assert len(findings) == 5_000
    assert time.perf_counter() - start < 2


def test_check_when_packages_are_missing_then_it_says_how_to_install_them(bench, tmp_path):
    bench.write("train.ipynb", "1")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from dsjobs.backends.local import LocalBackend\nfrom dsjobs.backends.protocol import Submission\n"
        "from dsjobs.errors import BackendError\nfrom dsjobs.marks import MarkedMap\nfrom dsjobs.model import Job, Request\n"
        "from pathlib import Path\n"
        "request = Request(project='project', notebook='train.ipynb')\n"
        "backend = LocalBackend(Path(sys.argv[1]), {})\n"
        "[found] = backend.check([Job('a', '', request, {}, {}, (), (MarkedMap(),))])\n"
        "print(found.code, found.severity, found.hint)\n"
        "try: backend.submit(Submission('a', 1, request), idempotency_key='k', notify=print)\n"
        "except BackendError as error: print(error.retryable, error.hint)"
    )
    # Isolated and without site-packages: an interpreter that has dsjobs and nothing else.
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert shown.stdout.splitlines() == [
        'DSJ404 error pip install "dsjobs[local]"',
        'False pip install "dsjobs[local]"',
    ]


def test_check_when_it_ran_then_nothing_has_changed(bench):
    bench.write("train.ipynb", "1")
    before = sorted(os.walk(bench.folder))

    bench.backend.check([job(notebook="train.ipynb")])

    assert sorted(os.walk(bench.folder)) == before


def test_create_when_the_name_is_unknown_then_it_lists_those_that_are_known(tmp_path):
    with pytest.raises(UsageError) as caught:
        create("locl", tmp_path, {})

    assert caught.value.hint == "did you mean 'local'?"


@pytest.mark.parametrize("name", ["dask"])
def test_create_when_the_backend_cannot_run_yet_then_trying_again_is_no_use(tmp_path, name):
    with pytest.raises(BackendError) as caught:
        create(name, tmp_path, {})

    assert caught.value.retryable is False
    assert f"'{name}'" in str(caught.value)
