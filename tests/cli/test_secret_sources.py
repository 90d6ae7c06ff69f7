"""Where secrets come from, and what is said before anything starts where one cannot be had."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from as_user import write_notebook
from disguises import leaks

from dsjobs.cli import failing, main
from dsjobs.cli.console import KNOWN
from dsjobs.cli.secret_sources import MAX_BYTES, read
from dsjobs.errors import BackendError
from dsjobs.model import SecretSource
from dsjobs.secrets import Secret

VALUE = "swordfish/é"

FILE = """\
version: 1
variables: {region: eu}
secrets:
  DB_PASSWORD: {env: TEST_PASSWORD}
  KEY: {file: keys/key.pem}
  UNUSED: {env: TEST_UNUSED}
jobs:
  - name: load
    notebook: load.ipynb
    inputs: {DB_PASSWORD: {secret: DB_PASSWORD}, KEY: {secret: KEY}, REGION: "{{ vars.region }}"}
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("DSJOBS_", "TEST_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    yield
    KNOWN.forget()


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "jobs.yaml").write_text(FILE)
    reading = 'import os\nwanted = [os.environ.get(name) for name in ("DB_PASSWORD", "KEY", "REGION", "T", "R")]'
    write_notebook(tmp_path / "load.ipynb", reading)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dsjobs(capsys):
    """Runs a command in this process: its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--color", "never"])
        KNOWN.forget()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def value_of(folder: Path, content: bytes) -> str:
    (folder / "file").write_bytes(content)
    return read(SecretSource("A", None, "file"), base=folder, environ={})


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"swordfish", "swordfish"), (b"swordfish\n", "swordfish"), (b"swordfish\r\n", "swordfish"), (b"a\nb\n\n", "a\nb\n"),
        (b" swordfish \n", " swordfish "), (b"\xef\xbb\xbfswordfish", "swordfish"), (b"x" * MAX_BYTES, "x" * MAX_BYTES),
    ],
)  # fmt: skip
def test_file_when_it_is_read_then_one_newline_at_its_end_is_left_out(tmp_path, content, value):
    assert value_of(tmp_path, content) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"), (b"\n", "is empty"), (b" \t\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text"),
        (b"a\0b", "has a NUL character, which cannot be in an environment variable"),
        (b"x" * (MAX_BYTES + 1), "has more than 64 KiB"), (b"\xed\xa0\x80", "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_file_when_its_value_cannot_be_used_then_says_why(tmp_path, content, message):
    with pytest.raises(BackendError) as raised:
        value_of(tmp_path, content)
    assert str(raised.value) == f"cannot be used: the file {tmp_path / 'file'} {message}"


def test_file_when_it_cannot_be_read_then_says_why(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")

    def message(name: str) -> str:
        with pytest.raises(BackendError) as raised:
            read(SecretSource("A", None, name), base=tmp_path, environ={})
        return str(raised.value).replace(f"{tmp_path}/", "")

    assert message("none") == "has no value: the file none cannot be read: No such file or directory"
    assert message("folder") == "cannot be used: the file folder is a folder"
    assert message("pipe") == "cannot be used: the file pipe is not a regular file"
    assert message("loop").startswith("has no value: the file loop cannot be read: Too many")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "has no value: the environment variable A is not set"),
        ({"A": ""}, "cannot be used: the environment variable A is empty"),
        ({"A": "a\udcff"}, "cannot be used: the environment variable A is not UTF-8 text"),
    ],
)
def test_variable_when_it_has_no_value_to_use_then_says_why(tmp_path, environ, message):
    with pytest.raises(BackendError) as raised:
        read(SecretSource("A", "A", None), base=tmp_path, environ=environ)
    assert str(raised.value) == message


def test_apply_when_secrets_are_missing_then_nothing_starts_and_each_is_named(project, dsjobs):
    code, out, err = dsjobs("apply")
    assert (code, out) == (4, "")
    assert (
        "jobs.yaml:4:16: error: the secret 'DB_PASSWORD' has no value: the environment variable TEST_PASSWORD is not set"
        in err
    )
    assert (
        "    DB_PASSWORD: {env: TEST_PASSWORD}\n                 ^\n  hint: set TEST_PASSWORD where dsjobs runs" in err
    )
    assert f"jobs.yaml:5:8: error: the secret 'KEY' has no value: the file {project}/keys/key.pem cannot be read" in err
    assert "UNUSED" not in err and err.endswith("\n2 errors\n")
    assert not (project / ".dsjobs").exists()


def test_plan_when_secrets_are_missing_then_it_warns_and_shows_them_as_stars(project, dsjobs):
    code, out, err = dsjobs("plan")
    assert code == 0
    assert "     DB_PASSWORD = ***   (secret DB_PASSWORD)\n     KEY = ***   (secret KEY)" in out
    assert err.count(": warning: the secret") == 2
    assert dsjobs("validate")[0] == 0


def test_plan_when_secrets_are_there_then_nobody_can_tell(project, dsjobs, monkeypatch):
    (project / "keys").mkdir()
    (project / "keys" / "key.pem").write_text("a key of some length\n")
    monkeypatch.setenv("TEST_PASSWORD", VALUE)
    code, out, err = dsjobs("plan", "--out", "plan.json", "-o", "json")
    assert (code, err) == (0, "saved: `dsjobs apply plan.json` runs this plan\n")
    first = json.loads(out)
    assert first["jobs"][0]["request"]["inputVariables"]["KEY"] == {"secret": "KEY"}
    assert first["secrets"]["KEY"] == {"file": "keys/key.pem"}
    monkeypatch.setenv("TEST_PASSWORD", "another")
    assert json.loads(dsjobs("plan", "-o", "json")[1]) == first
    monkeypatch.delenv("TEST_PASSWORD")
    code, _, err = dsjobs("apply", "plan.json")
    assert code == 4
    assert (
        "error: the secret 'DB_PASSWORD' has no value: the environment variable TEST_PASSWORD is not set [DSJ410]"
        in err
    )


@pytest.mark.parametrize("command", [("apply",), ("plan",), ("plan", "-o", "json"), ("plan", "--out", "plan.json")])
def test_plan_when_a_value_in_it_holds_a_secret_then_it_is_refused(project, dsjobs, monkeypatch, command):
    (project / "keys").mkdir()
    (project / "keys" / "key.pem").write_text("a key of some length\n")
    monkeypatch.setenv("TEST_PASSWORD", VALUE)
    code, out, err = dsjobs(*command, "--var", f"region=db://user:{VALUE}@host")
    assert (code, out) == (3, "")
    assert (
        "error: the variable 'region' (--var) holds the value of the secret 'DB_PASSWORD', and would be written down"
        in err
    )
    assert "jobs.yaml:10:78: error: the input 'REGION' of job 'load' holds the value of the secret" in err
    assert err.count("[DSJ411]") == 2
    assert leaks(err, VALUE) == []
    assert sorted(path.name for path in project.iterdir()) == ["jobs.yaml", "keys", "load.ipynb"]


def test_plan_when_a_secret_is_short_then_it_warns(project, dsjobs, monkeypatch):
    monkeypatch.setenv("TEST_PASSWORD", "abc")
    code, _, err = dsjobs("plan")
    assert code == 0
    assert (
        "warning: the secret 'DB_PASSWORD' has fewer than 4 characters: it is masked only where it stands alone [DSJ403]"
        in err
    )


def test_file_when_an_included_file_names_it_then_it_is_relative_to_that_one(project, dsjobs):
    (project / "parts").mkdir()
    (project / "parts" / "secrets.yaml").write_text(
        "version: 1\nsecrets: {TOKEN: {file: token}, ROOT: {file: /etc/token}}\n"
    )
    jobs = "jobs: [{name: a, notebook: load.ipynb, inputs: {T: {secret: TOKEN}, R: {secret: ROOT}}}]\n"
    (project / "jobs.yaml").write_text("version: 1\ninclude: [parts/secrets.yaml]\n" + jobs)
    code, out, err = dsjobs("plan", "-o", "json")
    assert code == 0
    assert json.loads(out)["secrets"] == {"TOKEN": {"file": "parts/token"}, "ROOT": {"file": "/etc/token"}}
    assert (
        f"parts/secrets.yaml:2:18: warning: the secret 'TOKEN' has no value: the file {project}/parts/token cannot"
        in err
    )


def test_github_when_it_runs_dsjobs_then_it_is_told_what_to_mask(project, dsjobs, monkeypatch):
    monkeypatch.setenv("TEST_PASSWORD", "50%\nof it")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, out, err = dsjobs("plan", "-o", "json")
    assert err.startswith("::add-mask::50%25%0Aof it\n")
    json.loads(out)


def test_bug_when_its_report_quotes_a_secret_then_it_is_masked(capsys):
    KNOWN.learn(Secret("A", VALUE))
    try:
        raise RuntimeError(f"no connection with {VALUE!r}")
    except RuntimeError as error:
        assert failing.report(error) == 5
    printed = capsys.readouterr().err
    report = Path(printed.partition("report it with ")[2].strip())
    text = report.read_text()
    report.unlink()
    assert "no connection with '***'" in printed and "no connection with '***'" in text
