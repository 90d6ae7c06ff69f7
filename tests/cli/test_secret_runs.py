"""The canary: notebooks that write a secret down in every way, run for real, and then nothing that dsjobs kept or said has it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from as_user import by_name, statuses, write_notebook
from disguises import leaks, leaks_below
from live_server import TOKEN, Running, configuration

from dsjobs.cli import main
from dsjobs.cli.console import KNOWN

PASSWORD = 'p@ss "w0rd"/<&>\'é+%~\\ canary'
KEY = "-----BEGIN CANARY-----\nq8Jd/0+Zx1mW4rTn7Yb2\nLk5+Hs9/Qe3Vu6Ga0Pc8\n-----END CANARY-----"
LINE = KEY.splitlines()[1]

FILE = """\
version: 1
secrets:
  PASSWORD: {env: CANARY_PASSWORD}
  KEY: {file: keys/canary.pem}
environments:
  local: {backend: local}
  served:
    backend: datasphere
    projects: {p1: p1}
    settings: {endpoint: "ADDRESS", poll_interval: 0.2, output_store: "file://STORE"}
defaults: {project: PROJECT, inputs: {PASSWORD: {secret: PASSWORD}, KEY: {secret: KEY}}}
jobs:
  - {name: writes, notebook: writes.ipynb, outputs: [digest], retry: 1}
  - {name: raises, notebook: raises.ipynb}
  - {name: dies, notebook: dies.ipynb}
  - {name: publishes, notebook: publishes.ipynb, outputs: [dsn, rows]}
  - {name: below, notebook: below.ipynb, needs: [publishes], run_if: all_done, inputs: {DSN: "{{ needs.publishes.outputs.dsn }}"}}
"""

HEAD = f"""
import os, sys, json, time
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[1:3]]!r}
from disguises import DISGUISES
password, key = os.environ["PASSWORD"], os.environ["KEY"]
"""

WRITES = [
    HEAD,
    "for name, disguise in DISGUISES.items():\n"
    "    print(name, '|', disguise(password), '|', disguise(key), '|', key.splitlines()[1])",
    "for disguise in DISGUISES.values():\n    print('on stderr:', disguise(password), file=sys.stderr)",
    # In several messages, with something else in between.
    "from IPython.display import HTML, JSON, Markdown, display\n"
    "print('half', password[:9], end='', flush=True)\ntime.sleep(0.3)\ndisplay(HTML('<hr>'))\nprint(password[9:], 'whole')",
    "import html, base64\n"
    "display(HTML(f'<b title=\"{html.escape(password)}\">{html.escape(password)}</b>'))\n"
    "display(JSON({'connection': [{password: {'as': json.dumps(password)}}]}))\n"
    "display({'text/plain': password, 'application/x-own+json': {'a': [password]}, 'image/svg+xml': f'<svg>{password}</svg>',\n"
    "         'image/png': base64.b64encode(b'not one: ' + password.encode() + b'..').decode()},\n"
    "        raw=True, metadata={'shown': password})",
    "os.environ",
    "password",
    "{'a': (password, key.encode())}",
    "import hashlib\ndigest = hashlib.sha256((password + key).encode()).hexdigest()",
]
PUBLISH = "\nimport dsjobs\ndsjobs.publish({})"
NOTEBOOKS = {
    "writes": [*WRITES[:-1], WRITES[-1] + PUBLISH.format("digest=digest")],
    # Longer than what is kept of a message and of a line, and cut in the middle of the secret.
    "raises": [HEAD, "def connect(what):\n    raise ValueError('x' * 280 + what + 'y' * 690 + what)\n\nconnect(password)"],
    # More than is kept of what goes past Jupyter, so that it begins in the middle of one.
    "dies": [HEAD, "os.write(2, ((password + ' ') * 600 + '\\n' + key).encode())\nos._exit(3)"],
    "publishes": [HEAD, "dsn, rows = 'db://user:' + password + '@host', [1, {key: 2}]" + PUBLISH.format("dsn=dsn, rows=rows")],
    "below": ["import os\nassert os.environ['DSN'] == '***'"],
}  # fmt: skip
REMOTE = ("writes", "raises", "publishes", "below")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "canary.pem").write_text(KEY + "\n")
    for name in [name for name in os.environ if name.startswith(("DSJOBS_", "GITHUB_", "YC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CANARY_PASSWORD", PASSWORD)
    monkeypatch.chdir(folder)
    yield folder
    KNOWN.forget()


Dsjobs = Callable[..., tuple[int, str]]


@pytest.fixture
def dsjobs(capfd: pytest.CaptureFixture[str]) -> Dsjobs:
    """Runs a command in this process, and finds no secret in what it said: its exit code and stdout."""

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main([*arguments])
        said = capfd.readouterr()
        for value in (PASSWORD, KEY, LINE):
            assert leaks(said.out, value) == [], arguments
            assert leaks(said.err, value) == [], arguments
        KNOWN.forget()  # as a process of its own would
        return int(stop.value.code or 0), said.out

    return run


def write_project(folder: Path, **words: str) -> None:
    text = FILE
    for word, value in words.items():
        text = text.replace(word, value)
    (folder / "jobs.yaml").write_text(text)


def assert_hidden(state: Path) -> None:
    for value in (PASSWORD, KEY, LINE):
        assert leaks_below(state, value) == {}


def test_run_on_this_machine_when_notebooks_write_secrets_down_then_nothing_that_is_kept_or_said_has_them(
    project, dsjobs, monkeypatch
):
    write_project(project, ADDRESS="http://127.0.0.1:9", STORE="/nowhere", PROJECT=".")
    for name, cells in NOTEBOOKS.items():
        write_notebook(project / f"{name}.ipynb", *cells)

    code, _ = dsjobs("apply", "-o", "jsonl", "-j", "2")

    assert code == 1
    assert_hidden(project / ".dsjobs")
    (manifest_path,) = project.glob(".dsjobs/runs/*/manifest.json")
    jobs = by_name(json.loads(manifest_path.read_text()))
    assert statuses({"jobs": list(jobs.values())}) == {
        "writes": "succeeded", "raises": "failed", "dies": "failed", "publishes": "failed", "below": "succeeded",
    }, jobs  # fmt: skip
    # What is masked was there: the notebook had the values.
    assert jobs["writes"]["outputs"] == {"digest": hashlib.sha256((PASSWORD + KEY).encode()).hexdigest()}
    assert "xxx***yyy" in jobs["raises"]["failure"]["message"]
    assert set("".join(jobs["dies"]["failure"]["traceback"])) == set("* ")
    assert jobs["publishes"]["outputs"] == {"dsn": "***", "rows": "***"}
    assert jobs["publishes"]["failure"]["message"] == (
        "output 'dsn' holds the value of the secret 'PASSWORD'; output 'rows' holds the value of the secret 'KEY', "
        "which must not be written down"
    )
    notebook = json.loads((manifest_path.parent / "notebooks" / "writes.ipynb").read_text())
    assert "half ***" in json.dumps(notebook)
    dsjobs("status", "-o", "json")
    dsjobs("status")
    dsjobs("runs", "-o", "json")
    for name in NOTEBOOKS:
        dsjobs("logs", name)
        dsjobs("logs", name, "-o", "json")
    for arguments in (["plan"], ["plan", "-o", "json", "--out", "plan.json"], ["retry", "--dry-run"]):
        dsjobs(*arguments)
    assert leaks((project / "plan.json").read_bytes(), PASSWORD) == []
    assert dsjobs("retry", "-o", "json")[0] == 1
    dsjobs("diff", manifest_path.parent.name, "-o", "json")
    dsjobs("diff", manifest_path.parent.name)
    assert_hidden(project / ".dsjobs")

    # Without its value nothing starts, whatever names the run.
    monkeypatch.delenv("CANARY_PASSWORD")
    shutil.copytree(project / ".dsjobs", project / "died")
    (died,) = [
        path for path in project.glob("died/runs/*/journal.jsonl") if path.parent.name == manifest_path.parent.name
    ]
    died.write_bytes(b"".join(died.read_bytes().splitlines(keepends=True)[:8]))
    (project / "copied").mkdir()
    shutil.copy(manifest_path, project / "copied" / "manifest.json")
    before = len(list(project.glob(".dsjobs/runs/*")))
    run = manifest_path.parent.name
    for arguments in (["retry"], ["reproduce", run], ["reproduce", "copied/manifest.json"], ["apply", "plan.json"],
                      ["resume", run, "--state-dir", "died"]):  # fmt: skip
        assert dsjobs(*arguments)[0] == 4, arguments
    assert len(list(project.glob(".dsjobs/runs/*"))) == before

    # But what is in flight can be brought to its end.
    code, out = dsjobs("cancel", run, "--state-dir", "died", "-o", "json")
    assert (code, json.loads(out)["run"]["stopped"]) == (1, "dsjobs cancel")
    assert_hidden(project / "died")


def test_run_over_the_api_when_notebooks_get_secrets_then_only_the_request_has_them(
    project, dsjobs, tmp_path, monkeypatch
):
    server = Running(configuration(tmp_path / "server"))
    monkeypatch.setenv("YC_IAM_TOKEN", TOKEN)
    try:
        write_project(project, ADDRESS=server.address, STORE=f"{tmp_path}/store", PROJECT="p1")
        for name in REMOTE:
            server.write(f"{name}.ipynb", *NOTEBOOKS[name])
        select = [f"--select={name}" for name in REMOTE]

        code, out = dsjobs("apply", "-e", "served", "-o", "json", *select)

        jobs = by_name(json.loads(out))
        assert code == 1
        assert jobs["writes"]["outputs"] == {"digest": hashlib.sha256((PASSWORD + KEY).encode()).hexdigest()}, jobs[
            "writes"
        ]["failure"]
        assert (jobs["publishes"]["status"], jobs["publishes"]["outputs"]) == ("failed", {"dsn": "***", "rows": "***"})
        assert jobs["below"]["status"] == "succeeded"
        dsjobs("status")
        assert_hidden(project / ".dsjobs")
        # The server forgets the values of variables; what notebooks print it keeps.
        operation = jobs["below"]["attempts"][0]["operation_id"]
        assert leaks(json.dumps(server.client.inspect(operation)), PASSWORD) == []
        with closing(sqlite3.connect(tmp_path / "server" / "state" / "operations.db")) as database:
            assert database.execute("SELECT inputs FROM operations").fetchall() == [(None,)] * len(REMOTE)
    finally:
        server.stop()
