"""`dsjobs open`, `dsjobs doctor`, and now and then `dsjobs apply` and its kin, against a service on loopback."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from loopback import (
    EXECUTE,
    OPERATION,
    OPERATIONS,
    PROJECT,
    TOKEN,
    Reply,
    operation,
    publish_as_a_notebook,
    refused,
    succeeded,
)
from processes import started
from s3_server import BUCKET, KEYS, s3_server

from dsjobs import cli
from dsjobs.backends.datasphere import opening
from dsjobs.backends.datasphere.endpoints import PUBLISHED

REPOSITORY = Path(__file__).parents[2]
OPEN = r"/datasphere/v2/projects/[^/]+:open"
OPEN_PATH = r"/datasphere/v2/projects/[^/]+/open"
GET_PROJECT = r"/datasphere/v2/projects/[^/:]+"
URL = "https://ds.example/open/bt1?x=1&y=2"
SESSION = 'session-secret-<&">'


@pytest.fixture
def dsjobs(capsys):
    """Calls the command in a folder and with an environment of its own: its exit code, stdout and stderr."""

    def call(folder, *arguments, **environ):
        around = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "NO_COLOR": "1",
            "YC_METADATA_ADDR": "127.0.0.1:9",
            **environ,
        }
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(around):
                patch.delenv(name)
            for name, value in around.items():
                patch.setenv(name, value)
            patch.chdir(folder)
            with pytest.raises(SystemExit) as ended:
                cli.main(arguments)
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def process(folder, *arguments, **environ):
    """The same as a process of its own."""
    around = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **environ}
    command = [sys.executable, "-m", "dsjobs", *arguments]
    ended = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def folder(tmp_path, server):
    """A folder with a job file whose environment is the server."""
    (tmp_path / "jobs.yaml").write_text(
        f"""version: 1
environments:
  local: {{backend: local}}
  prod:
    backend: datasphere
    projects: {{analytics: {PROJECT}, other: bt1other}}
    settings: {{endpoints: {{datasphere: "{server.url}", operation: "{server.url}", iam: "{server.url}"}}}}
default_environment: local
jobs: [{{name: a, project: x, notebook: a.ipynb}}]
"""
    )
    return tmp_path


def until(is_so):
    """Wait for something in another process, a minute at most."""
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)


def opening_reply(status=None, *, done=False, **fields):
    metadata = {"projectId": PROJECT, **({"status": status} if status is not None else {})}
    return Reply(body={"id": OPERATION, "done": done, "metadata": metadata, **fields})


OPENED = {"projectUrl": URL, "sessionToken": SESSION}


@pytest.fixture
def opens(server):
    server.on("POST", OPEN, opening_reply("OPEN_PROJECT_STATUS_CLOSING_IDE"))
    server.on(
        "GET",
        OPERATIONS,
        refused(404, 5),
        opening_reply("OPEN_PROJECT_STATUS_ALLOCATING_VM"),
        opening_reply("OPEN_PROJECT_STATUS_STARTING_IDE", done=True, response=OPENED),
    )


@pytest.fixture
def is_open(server):
    server.on("POST", OPEN, opening_reply(done=True, response=OPENED))


def lists_itself(server):
    """Makes a discovery root of the server: everything is there."""
    addresses = [{"id": name, "address": server.url} for name in ("datasphere", "operation", "iam")]
    server.on("GET", "/endpoints", Reply(body={"endpoints": addresses}))


# --- open ---


def test_open_when_the_project_opens_then_each_status_is_shown_and_the_address_is_the_answer(
    dsjobs, folder, server, opens
):
    code, out, err = dsjobs(folder, "open", "analytics", YC_IAM_TOKEN=TOKEN)

    assert (code, out) == (0, URL + "\n"), err
    assert err.splitlines() == [
        f"analytics: opening (operation {OPERATION})",
        "analytics: closing the previous instance of the interface",
        "analytics: allocating a virtual machine",
        "analytics: starting the interface",
    ]
    asked = server.calls("POST", OPEN)[0]
    assert (asked.path, asked.json, asked.token) == (f"/datasphere/v2/projects/{PROJECT}:open", {}, TOKEN)
    assert re.fullmatch(r"[0-9a-f-]{36}", asked.headers["idempotency-key"])


def test_open_when_the_token_is_asked_for_then_it_is_the_second_line(dsjobs, folder, is_open):
    assert dsjobs(folder, "open", "analytics", "--show-token", "-q", YC_IAM_TOKEN=TOKEN) == (
        0,
        f"{URL}\n{SESSION}\n",
        "",
    )


def test_open_when_json_is_asked_for_then_it_has_both(dsjobs, folder, is_open):
    code, out, _ = dsjobs(folder, "open", PROJECT, "-e", "prod", "-o", "json", YC_IAM_TOKEN=TOKEN)

    assert code == 0
    assert json.loads(out) == {
        "project_id": PROJECT,
        "operation_id": OPERATION,
        "project_url": URL,
        "session_token": SESSION,
    }


def test_open_when_there_is_no_job_file_then_an_id_and_an_endpoint_are_enough(dsjobs, tmp_path, server, is_open):
    lists_itself(server)

    code, out, err = dsjobs(tmp_path, "open", PROJECT, "--endpoint", server.url, "--iam-token", TOKEN)

    assert (code, out) == (0, URL + "\n"), err


@pytest.mark.parametrize("answer", [Reply(404, b"", {"Content-Type": "text/plain"}), Reply(405), refused(501, 12)])
def test_open_when_the_path_is_not_known_then_the_other_one_is_tried(dsjobs, folder, server, opens, answer):
    server.on("POST", OPEN, answer)
    server.on("POST", OPEN_PATH, opening_reply(done=True, response=OPENED))

    assert dsjobs(folder, "open", "analytics", YC_IAM_TOKEN=TOKEN)[:2] == (0, URL + "\n")
    assert len(server.calls("POST", OPEN)) == len(server.calls("POST", OPEN_PATH)) == 1


def test_open_when_the_project_is_unknown_to_the_service_then_its_own_words_are_shown(dsjobs, folder, server):
    server.on("POST", OPEN, refused(404, 5, "Project not found"))

    code, out, err = dsjobs(folder, "open", "analytics", YC_IAM_TOKEN=TOKEN)

    assert (code, out) == (4, "")
    assert "NOT_FOUND: Project not found" in err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"error": {"code": 8, "message": "no machines"}}, "was not opened: .*RESOURCE_EXHAUSTED: no machines"),
        ({"error": {"code": 1, "message": "x"}}, "opening the project was cancelled"),
        ({}, "its response has no projectUrl"),
        ({"response": {"projectUrl": "javascript:alert(1)"}}, "its response has no projectUrl"),
        ({"response": {"projectUrl": "https://[abc"}}, "its response has no projectUrl"),
    ],
)
def test_open_when_the_operation_fails_then_the_exit_code_is_4(dsjobs, folder, server, fields, message):
    server.on("POST", OPEN, Reply(200, opening_reply(done=True, **fields).body, {"x-request-id": "r-7"}))

    code, out, err = dsjobs(folder, "open", "analytics", YC_IAM_TOKEN=TOKEN)

    assert (code, out) == (4, "")
    assert re.search(message, err)
    assert "(request r-7, client request " in err


def test_open_when_it_takes_too_long_then_the_exit_code_is_124(dsjobs, folder, server):
    server.on("POST", OPEN, opening_reply())

    code, _, err = dsjobs(folder, "open", "analytics", "--timeout", "0.1s", YC_IAM_TOKEN=TOKEN)

    assert code == 124
    assert f"operation {OPERATION} goes on" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["analitics"], 2, "did you mean 'analytics'?"),
        (["no/such"], 2, "it is not a project's ID"),
        (["analytics", "-e", "local"], 2, "environments on DataSphere: prod"),
        (["analytics", "-e", "nope"], 2, "there is no environment 'nope'"),
        (["analytics", "-f", "nope.yaml"], 3, "cannot be read"),
    ],
)
def test_open_when_the_call_makes_no_sense_then_nothing_is_asked(dsjobs, folder, server, arguments, code, message):
    found, out, err = dsjobs(folder, "open", *arguments, YC_IAM_TOKEN=TOKEN)

    assert (found, out) == (code, "")
    assert message in err
    assert server.asked == []


def browser(folder):
    """A program that does what a browser does: asks for the page once more than it may, and keeps what it got."""
    program = folder / "browser"
    program.write_text(
        f"""#!{sys.executable}
import json, sys, urllib.error, urllib.request
seen = []
for url in (sys.argv[1] + "x", sys.argv[1], sys.argv[1]):
    try:
        with urllib.request.urlopen(url) as page:
            seen.append([page.status, page.read().decode(), dict(page.headers), url])
    except (urllib.error.HTTPError, OSError) as error:
        seen.append([getattr(error, "code", 0)])
with open({str(folder / "seen.json")!r}, "w") as file:
    json.dump(seen, file)
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{program} %s"


def test_open_when_a_browser_is_asked_for_then_it_gets_a_form_that_keeps_the_token_out_of_addresses(folder, is_open):
    code, out, err = process(folder, "open", "analytics", "--browser", YC_IAM_TOKEN=TOKEN, BROWSER=browser(folder))

    assert (code, out) == (0, URL + "\n"), err
    assert SESSION not in err
    for _ in range(200):
        if (folder / "seen.json").exists() and (folder / "seen.json").read_text().endswith("]]"):
            break
        time.sleep(0.05)
    wrong, right, again = json.loads((folder / "seen.json").read_text())
    status, page, headers, url = right
    assert (wrong[0], status, again[0]) == (404, 200, again[0])
    assert again[0] in (0, 404)  # the page is given once, and then nobody listens
    assert '<form method="post" action="https://ds.example/open/bt1?x=1&amp;y=2">' in page
    assert '<input type="hidden" name="sessionToken" value="session-secret-&lt;&amp;&quot;&gt;">' in page
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{40,}", url)
    assert "secret" not in url


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("OPEN_PROJECT_STATUS_UNZIPPING_PROJECT", "unzipping the project"),
        ("OPEN_PROJECT_STATUS_ALLOCATING_RESOURCES", "allocating resources"),
        ("OPEN_PROJECT_STATUS_UNKNOWN", "status unknown to the service itself"),
        ("OPEN_PROJECT_STATUS_SOMETHING_NEW", "something new"),
        ("ALLOCATING_VM", "allocating a virtual machine"),
        (5, "starting the interface"),
        ("OPEN_PROJECT_STATUS_UNSPECIFIED", None),
        (0, None),
        (None, None),
    ],
)
def test_status_text_when_the_service_gives_a_status_then_it_is_in_words(status, expected):
    assert opening.status_text({"status": status}) == expected


# --- doctor ---


def checks_of(out):
    return {(check["topic"], check["name"]): check for check in json.loads(out)["checks"]}


def test_doctor_when_all_is_well_then_it_says_so_and_shows_no_secret(dsjobs, folder, server):
    server.on("GET", GET_PROJECT, lambda asked: Reply(body={"id": asked.path.rsplit("/", 1)[1], "name": "churn"}))

    code, out, err = dsjobs(folder, "doctor", "-o", "json", YC_IAM_TOKEN=TOKEN)

    found = checks_of(out)
    assert (code, err, json.loads(out)["environment"]) == (0, "", "prod")
    assert found["credentials", "IAM token"]["text"] == "IAM token in YC_IAM_TOKEN"
    assert found["credentials", "token"]["text"] == "from IAM token; it cannot be renewed"
    assert found["projects", "analytics"]["text"] == f"{PROJECT}, named churn"
    assert found["service", "iam"]["text"] == f"{server.url} (not encrypted)"
    assert found["output store", "store"]["state"] == "missing"
    assert found["kernels", "python3"]["state"] == "ok"
    assert found["packages", "auth"]["state"] == "ok"
    assert TOKEN not in out + err
    assert [asked.path.rsplit("/", 1)[1] for asked in server.asked] == [PROJECT, "bt1other"]


def test_doctor_when_a_project_is_out_of_reach_then_the_exit_code_is_4(dsjobs, folder, server):
    server.on("GET", GET_PROJECT, Reply(body={"id": PROJECT}), refused(403, 7, "Permission denied"))

    code, out, _ = dsjobs(folder, "doctor", YC_IAM_TOKEN=TOKEN)

    assert code == 4
    assert re.search(r"✓ ok  analytics: bt1abc", out)
    assert re.search(r"✗ failed  other: GET .* answered 403, PERMISSION_DENIED: Permission denied", out)
    assert "must be a member of the project" in out


def test_doctor_when_there_are_no_credentials_then_it_lists_where_it_looked(dsjobs, folder, server):
    server.on("GET", "/computeMetadata/.*", Reply(404))

    code, out, _ = dsjobs(folder, "doctor", "-o", "json", YC_METADATA_ADDR=server.url)

    found = checks_of(out)
    states = [check["state"] for (topic, _), check in found.items() if topic == "credentials"]
    assert (code, states) == (4, ["missing"] * 6 + ["failed"])
    assert found["projects", "analytics"]["state"] == "missing"


def test_doctor_when_credentials_are_broken_then_it_says_which_and_why(dsjobs, folder):
    code, out, _ = dsjobs(folder, "doctor", YC_SERVICE_ACCOUNT_KEY_FILE="/nowhere/key.json")

    assert code == 4
    assert "✗ failed  service account key: the credentials in YC_SERVICE_ACCOUNT_KEY_FILE (/nowhere/key.json)" in out


def test_doctor_when_the_issuer_refuses_then_the_token_is_what_failed(dsjobs, folder, server):
    server.on("POST", "/iam/v1/tokens", refused(401, 16, "OAuth token is invalid"))

    code, out, _ = dsjobs(folder, "doctor", "-o", "json", YC_TOKEN="y0_secret_oauth_token")

    found = checks_of(out)
    assert code == 4
    assert found["credentials", "OAuth or IAM token"]["state"] == "ok"
    assert "deprecated" in found["credentials", "OAuth or IAM token"]["hint"]
    assert "UNAUTHENTICATED: OAuth token is invalid" in found["credentials", "token"]["text"]
    assert "y0_secret" not in out


def test_doctor_when_the_environment_is_local_then_the_service_is_not_looked_at(dsjobs, folder, server):
    code, out, _ = dsjobs(folder, "doctor", "-e", "local", "-o", "json")

    assert code == 0
    assert {topic for topic, _ in checks_of(out)} == {"dsjobs", "kernels", "packages"}
    assert server.asked == []


def test_doctor_when_there_is_no_job_file_then_nothing_is_required(dsjobs, tmp_path, server):
    server.on("GET", "/computeMetadata/.*", Reply(404))

    code, out, _ = dsjobs(tmp_path, "doctor", "-o", "json", YC_METADATA_ADDR=server.url)

    assert (code, json.loads(out)["environment"]) == (0, None)
    assert checks_of(out)["credentials", "token"]["state"] == "missing"


@pytest.mark.parametrize(("mode", "state"), [(0o755, "ok"), (None, "failed")])
def test_doctor_when_there_is_a_store_then_it_says_whether_it_works(dsjobs, folder, server, mode, state):
    server.on("GET", GET_PROJECT, Reply(body={"id": PROJECT}))
    if mode is None:
        (folder / "outputs").touch()
    text = (
        (folder / "jobs.yaml")
        .read_text()
        .replace("settings: {", f"settings: {{output_store: 'file://{folder}/outputs', ")
    )
    (folder / "jobs.yaml").write_text(text)

    code, out, _ = dsjobs(folder, "doctor", "-o", "json", YC_IAM_TOKEN=TOKEN)

    assert checks_of(out)["output store", "store"]["state"] == state
    assert code == (0 if state == "ok" else 4)


def test_apply_when_a_job_runs_on_the_service_then_it_succeeds_and_no_secret_is_left_behind(folder, server):
    """The whole program, once: plan, submit, poll, outputs through a store, journal and manifest."""

    def execute(asked):
        publish_as_a_notebook(asked, {"auc": 0.75})
        return operation(metadata={"projectId": PROJECT, "notebookId": "a.ipynb"})

    server.on("POST", EXECUTE, execute)
    server.on("GET", OPERATIONS, succeeded())
    text = (folder / "jobs.yaml").read_text()
    text = text.replace("settings: {", f"settings: {{output_store: 'file://{folder}/outputs', ")
    text = text.replace(
        "project: x, notebook: a.ipynb", "project: analytics, notebook: a.ipynb, outputs: {auc: {minimum: 0.5}}"
    )
    (folder / "jobs.yaml").write_text(text)

    code, out, err = process(folder, "apply", "-e", "prod", "-o", "json", YC_IAM_TOKEN=TOKEN)

    assert code == 0, err
    job = json.loads(out)["jobs"][0]
    assert (job["status"], job["outputs"]) == ("succeeded", {"auc": 0.75})
    left = b"".join(path.read_bytes() for path in (folder / ".dsjobs").rglob("*") if path.is_file())
    assert b"DSJOBS_OUTPUTS_URL" not in left
    assert TOKEN.encode() not in left + out.encode() + err.encode()
    assert os.path.exists(folder / "outputs")


def test_resume_when_dsjobs_was_killed_before_it_had_an_answer_then_it_sends_the_same_request(folder, server):
    """The service has accepted the job, and the journal knows of nothing but the intent: the same key must not come again with
    another body. A part of the body is the signed address of a bucket."""
    never = threading.Event()

    def execute(asked):
        address = asked.json["inputVariables"]["DSJOBS_OUTPUTS_URL"]
        assert requests.put(address, b'{"auc": 0.75}', timeout=60).status_code == 200
        return operation(metadata={"projectId": PROJECT, "notebookId": "a.ipynb"})

    server.on("POST", EXECUTE, Reply(wait=never, reset=True), execute)
    server.on("GET", OPERATIONS, succeeded())
    with s3_server() as store:
        place = f"output_store: 's3://{BUCKET}/killed', output_store_endpoint: '{store}'"
        text = (folder / "jobs.yaml").read_text().replace("settings: {", f"settings: {{{place}, ")
        text = text.replace(
            "project: x, notebook: a.ipynb",
            "project: analytics, notebook: a.ipynb, outputs: [auc], inputs: {Z: 1, R: '{{ run.id }}', A: x}",
        )
        (folder / "jobs.yaml").write_text(text)
        around = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(REPOSITORY),
            "YC_IAM_TOKEN": TOKEN,
            **KEYS,
        }
        with started([sys.executable, "-m", "dsjobs", "apply", "-e", "prod"], cwd=folder, env=around) as apply:
            until(lambda: server.calls("POST", EXECUTE))
            apply.kill()
        killed_at = int(time.time())
        until(lambda: int(time.time()) > killed_at)  # what is signed now has another date

        code, out, err = process(folder, "resume", "-o", "json", YC_IAM_TOKEN=TOKEN, **KEYS)

    never.set()
    assert code == 0, err
    assert json.loads(out)["jobs"][0]["outputs"] == {"auc": 0.75}
    first, second = server.calls("POST", EXECUTE)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


# --- --iam-token, --profile, --endpoint, --endpoint-SERVICE ---

FLAG = "t1.of-the-flag." + "f" * 86


@pytest.fixture
def accepts(folder, server):
    """A job on the service, which takes it; nobody has said what becomes of it."""
    server.on("POST", EXECUTE, operation(metadata={"projectId": PROJECT, "notebookId": "a.ipynb"}))
    text = (folder / "jobs.yaml").read_text().replace("project: x,", "project: analytics,")
    (folder / "jobs.yaml").write_text(text.replace("default_environment: local", "default_environment: prod"))


@pytest.fixture
def elsewhere(accepts, other_server):
    """A service that the job file does not name: it takes the job as well."""
    other_server.on("POST", EXECUTE, operation(metadata={"projectId": PROJECT, "notebookId": "a.ipynb"}))
    lists_itself(other_server)
    return other_server


def addresses_of(server):
    return [word for name in ("datasphere", "operation", "iam") for word in (f"--endpoint-{name}", server.url)]


def leave_behind(folder, server, *flags):
    """A run that was detached with its job in flight."""
    server.on("GET", OPERATIONS, operation())
    server.on("GET", OPERATIONS + ":cancel", operation())
    around = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(REPOSITORY)}
    left = [sys.executable, "-m", "dsjobs", "apply", "--on-interrupt", "detach", *flags]
    with started(left, cwd=folder, env=around, stderr=subprocess.PIPE) as apply:
        deadline = time.monotonic() + 60
        while not server.calls("GET", OPERATIONS) and time.monotonic() < deadline:
            time.sleep(0.02)
        apply.terminate()
        apply.communicate(timeout=60)


def used_only_the_flags(folder, server, elsewhere):
    """Whether every call so far went where the flags say, with their token, and no file has either."""
    left = b"".join(path.read_bytes() for path in (folder / ".dsjobs").rglob("*") if path.is_file())
    kept = [word for word in (FLAG, elsewhere.url) if word.encode() in left]
    tokens = {asked.token for asked in elsewhere.asked if asked.path != "/endpoints"}
    return (server.asked, tokens, kept) == ([], {FLAG}, [])


def test_apply_and_retry_and_reproduce_when_flags_say_where_and_as_whom_then_they_win_and_are_kept_nowhere(
    folder, server, elsewhere
):
    at_once = {"modifiedAt": "2026-11-22T14:10:04Z"}  # a job that takes long is not looked at before its time
    failed = operation(done=True, response={"executionStatus": "ERROR"}, **at_once)
    elsewhere.on("GET", OPERATIONS, failed, succeeded(**at_once))

    codes = [
        process(folder, *arguments, "--iam-token", FLAG, YC_IAM_TOKEN=TOKEN)[0]
        for arguments in (
            ["apply", "--endpoint", elsewhere.url],
            ["retry", *addresses_of(elsewhere)],
            ["reproduce", "latest", *addresses_of(elsewhere)],
        )
    ]

    assert codes[:2] == [1, 0]
    assert len(elsewhere.calls("POST", EXECUTE)) == 3
    assert len(elsewhere.calls("GET", "/endpoints")) == 1
    assert used_only_the_flags(folder, server, elsewhere)


@pytest.mark.parametrize(
    ("command", "end"),
    [("resume", succeeded()), ("cancel", operation(done=True, error={"code": 1, "message": "cancelled"}))],
)
def test_resume_and_cancel_when_flags_say_where_and_as_whom_then_they_win(folder, server, elsewhere, command, end):
    flags = [*addresses_of(elsewhere), "--iam-token", FLAG]
    leave_behind(folder, elsewhere, *flags)
    elsewhere.on("GET", OPERATIONS, end)

    code, _, err = process(folder, command, *flags, YC_IAM_TOKEN=TOKEN)

    assert code == 0, err
    assert used_only_the_flags(folder, server, elsewhere)


def test_resume_when_a_variable_is_no_address_then_nothing_is_decided_about_what_is_in_flight(folder, server, accepts):
    leave_behind(folder, server, "--iam-token", FLAG)
    server.on("GET", OPERATIONS, succeeded())

    refused = process(folder, "resume", "--iam-token", FLAG, DSJOBS_ENDPOINT_OPERATION="no address")
    code, _, err = process(folder, "resume", "--iam-token", FLAG)

    assert refused[:2] == (4, "")
    assert "error: DSJOBS_ENDPOINT_OPERATION: 'no address' is not the address of a service" in refused[2]
    assert code == 0, err


def test_apply_when_a_flag_gives_the_token_then_an_oauth_token_that_is_not_used_is_no_warning(folder, server, accepts):
    server.on("GET", OPERATIONS, succeeded())

    warned, *_ = process(folder, "plan", YC_TOKEN="y0_not_used")[2].splitlines()
    code, _, err = process(folder, "apply", "--iam-token", FLAG, YC_TOKEN="y0_not_used")

    assert "OAuth tokens are deprecated" in warned
    assert (code, "OAuth" in err) == (0, False), err


def test_apply_when_variables_say_where_the_service_is_then_the_flags_win_over_them(folder, server, elsewhere):
    """A root in a flag is stronger than the address of a service in a variable, as it is than one in the job file."""
    elsewhere.on("GET", OPERATIONS, succeeded())
    variables = {"DSJOBS_ENDPOINT_DATASPHERE": server.url, "DSJOBS_ENDPOINT": server.url}

    code, _, err = process(folder, "apply", "--endpoint", elsewhere.url, YC_IAM_TOKEN=TOKEN, **variables)

    assert code == 0, err
    assert server.asked == []


@pytest.mark.parametrize("name", ["DSJOBS_ENDPOINT", "YC_ENDPOINT"])
def test_apply_when_a_variable_names_a_root_then_it_is_asked_where_the_job_file_is_weaker(
    folder, server, elsewhere, name
):
    for used in (server, elsewhere):
        used.on("GET", OPERATIONS, succeeded())

    code, _, err = process(folder, "apply", YC_IAM_TOKEN=TOKEN, **{name: elsewhere.url})

    assert code == 0, err
    stronger, weaker = (elsewhere, server) if name == "DSJOBS_ENDPOINT" else (server, elsewhere)
    assert (len(stronger.calls("POST", EXECUTE)), weaker.asked) == (1, [])


def test_apply_when_variables_give_each_address_then_they_win_over_the_job_file(folder, server, elsewhere):
    elsewhere.on("GET", OPERATIONS, succeeded())
    variables = {f"DSJOBS_ENDPOINT_{name}": elsewhere.url for name in ("DATASPHERE", "OPERATION", "IAM")}

    code, _, err = process(folder, "apply", YC_IAM_TOKEN=TOKEN, **variables)

    assert code == 0, err
    assert {asked.path for asked in elsewhere.asked} >= {f"/operations/{OPERATION}"}
    assert server.asked == elsewhere.calls("GET", "/endpoints") == []


def test_apply_when_a_saved_plan_is_run_then_flags_still_say_where(folder, server, elsewhere):
    elsewhere.on("GET", OPERATIONS, succeeded())

    assert process(folder, "plan", "--out", "plan.json")[0] == 0
    flags = [*addresses_of(elsewhere), "--endpoint-auth", elsewhere.url, "--endpoint", elsewhere.url, "--profile", "x"]
    code, _, err = process(folder, "apply", "plan.json", *flags, "--iam-token", TOKEN)

    assert code == 0, err
    assert server.asked == []


@pytest.mark.parametrize("variable", [None, "other"])
def test_apply_when_a_profile_is_given_by_a_flag_then_yc_is_asked_for_its_token(
    folder, server, other_server, accepts, variable
):
    server.on("GET", OPERATIONS, succeeded())
    (folder / "yc").write_text(f'#!/bin/sh\ntest "$5" = work && echo {TOKEN}\n')
    (folder / "yc").chmod(0o755)
    around = {"PATH": f"{folder}:/usr/bin:/bin", "YC_METADATA_ADDR": other_server.url}
    if variable is not None:
        around["DSJOBS_PROFILE"] = variable

    code, _, err = process(folder, "apply", "--profile", "work", **around)

    assert code == 0, err
    assert {asked.token for asked in server.asked} == {TOKEN}


def test_open_and_doctor_when_flags_give_addresses_then_the_job_file_s_are_not_used(dsjobs, folder, server, elsewhere):
    elsewhere.on("POST", OPEN, opening_reply(done=True, response=OPENED))
    elsewhere.on("GET", GET_PROJECT, lambda asked: Reply(body={"id": asked.path.rsplit("/", 1)[1], "name": "churn"}))

    opened = dsjobs(folder, "open", "analytics", *addresses_of(elsewhere), YC_IAM_TOKEN=TOKEN)
    code, out, _ = dsjobs(folder, "doctor", "-o", "json", *addresses_of(elsewhere), YC_IAM_TOKEN=TOKEN)

    assert opened[:2] == (0, URL + "\n")
    assert (code, checks_of(out)["service", "datasphere"]["text"]) == (0, f"{elsewhere.url} (not encrypted)")
    assert server.asked == []


TAKE_ACCESS = ["apply", "resume", "retry", "cancel", "reproduce", "open", "doctor"]


@pytest.mark.parametrize("name", TAKE_ACCESS)
@pytest.mark.parametrize("flag", ["--endpoint", "--endpoint-datasphere", "--endpoint-auth"])
def test_command_when_a_flag_is_no_address_then_it_says_so_before_anything_is_done(dsjobs, folder, server, name, flag):
    argument = [PROJECT] if name in ("open", "reproduce") else []

    code, out, err = dsjobs(folder, name, *argument, flag, "https://me:secret@host", YC_IAM_TOKEN=TOKEN)

    assert (code, out) == (2, "")
    assert err.startswith(f"error: {flag}: '***@host' is not the address of a service\n  hint: an address is https://")
    assert not (folder / ".dsjobs").exists()


@pytest.mark.parametrize("name", TAKE_ACCESS)
def test_help_when_a_command_reaches_the_service_then_it_has_the_flags_that_say_how(dsjobs, tmp_path, name):
    _, out, _ = dsjobs(tmp_path, name, "--help")

    for flag in ("--iam-token TOKEN", "--profile NAME", "--endpoint ADDRESS"):
        assert flag in out
    for service in PUBLISHED:
        assert f"--endpoint-{service} ADDRESS" in out
    assert "Safer in the variable DSJOBS_IAM_TOKEN" in " ".join(out.split())


def test_apply_when_nobody_answers_then_it_says_so_long_before_it_gives_up(folder):
    text = re.sub(r'"http://[^"]*"', '"http://127.0.0.1:9"', (folder / "jobs.yaml").read_text())
    (folder / "jobs.yaml").write_text(text.replace("project: x", "project: other"))
    around = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "YC_IAM_TOKEN": TOKEN}
    command = [sys.executable, "-m", "dsjobs", "apply", "-e", "prod"]
    with started(command, cwd=folder, env=around, stderr=subprocess.PIPE, text=True) as run:
        said = next(line for line in run.stderr if "not submitted" in line)
        run.terminate()
        run.stderr.read()
        run.wait(60)

    assert said.startswith("a is not submitted yet, trying again: ") and "Connection refused" in said
    assert run.returncode == 143
