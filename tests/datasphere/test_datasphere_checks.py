"""What is found before anything is sent: in job files, as a user writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dsjobs.backends.datasphere import checks
from dsjobs.backends.datasphere.backend import DataSphereBackend
from dsjobs.backends.datasphere.settings import RATE_LIMIT, Settings, WorkloadIdentity, parse
from dsjobs.cli import loading

REPOSITORY = Path(__file__).parents[2]
HEAD = """version: 1
environments:
  prod:
    backend: datasphere
    projects: {analytics: bt1abcdefghijklmnopq}
    settings:
      endpoint: 127.0.0.1:1
SETTINGS
defaults: {project: analytics}
jobs:
"""


def check(tmp_path, jobs, *, settings="", environ=None):
    """The diagnostics of the backend for the jobs of a file, as `place: severity code message`."""
    path = tmp_path / "jobs.yaml"
    path.write_text(HEAD.replace("SETTINGS", settings) + jobs)
    loaded = loading.load(path)
    assert [d.message for d in loaded.diagnostics if d.is_error] == []
    environment = loaded.spec.environments["prod"]
    planned, problems = loading.expand(loaded.spec, environment, {}, {})
    assert problems == []
    backend = DataSphereBackend(parse(environment.settings), environ or {})
    found = backend.check(planned)
    backend.close()
    return [f"{d.position.line if d.position else '-'}: {d.severity} {d.code} {d.message}" for d in found]


def test_check_when_nothing_is_wrong_then_it_says_nothing(tmp_path):
    assert check(tmp_path, "  - {name: a, notebook: train.ipynb, spec: g1.1, inputs: {A: 1}}\n") == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("~/train.ipynb", "begins with ~, which the service does not expand"),
        (r"'models\train.ipynb'", "has a backslash"),
        ("https://datasphere.yandex.cloud/communities/x/projects/y/train.ipynb", "is the address of a page"),
        ("train.py", "does not end in .ipynb"),
        ("train", "does not end in .ipynb"),
        ("../train.ipynb", "has a part `..`"),
        ("' train.ipynb'", "begins or ends with white space"),
    ],
)
def test_check_when_a_path_is_surely_not_meant_then_it_warns(tmp_path, path, message):
    found = check(tmp_path, f"  - name: a\n    notebook: {path}\n")

    assert len(found) == 1
    assert found[0].startswith("12: warning DSJ403 job 'a': ")
    assert message in found[0]


@pytest.mark.parametrize(
    "path",
    ["train.ipynb", "a/b c/тест.ipynb", "/home/jupyter/datasphere/project/train.ipynb", "./x.ipynb", "a..b.ipynb"],
)
def test_check_when_a_path_is_one_that_people_use_then_it_says_nothing(tmp_path, path):
    assert check(tmp_path, f"  - name: a\n    notebook: {path}\n") == []


def test_check_when_a_configuration_is_unknown_then_it_warns_at_its_place(tmp_path):
    found = check(tmp_path, "  - name: a\n    notebook: a.ipynb\n    spec: c1.5\n")

    assert found == ["13: warning DSJ403 job 'a': the configuration 'c1.5' is not one that dsjobs knows"]


def test_check_when_an_input_has_the_name_of_the_address_then_that_is_an_error(tmp_path):
    found = check(tmp_path, "  - name: a\n    notebook: a.ipynb\n    inputs: {DSJOBS_OUTPUTS_URL: x}\n")

    assert found == ["13: error DSJ208 job 'a': input 'DSJOBS_OUTPUTS_URL': dsjobs itself sets this variable"]


def test_check_when_outputs_have_no_store_then_one_warning_says_so_for_all(tmp_path):
    jobs = "".join(f"  - name: {name}\n    notebook: a.ipynb\n    outputs: [x]\n" for name in "abc")

    assert check(tmp_path, jobs) == [
        "13: warning DSJ404 job 'a' and 2 more: DataSphere returns no outputs, and the environment has no output store"
    ]
    assert check(tmp_path, jobs, settings="      output_store: file:///tmp/x") == []


def test_check_when_an_endpoint_is_no_address_then_that_is_an_error(tmp_path):
    found = check(tmp_path, "  - {name: a, notebook: a.ipynb}\n", settings="      endpoints: {iam: 'ftp://x'}")

    assert found == ["-: error DSJ106 settings.endpoints.iam: 'ftp://x' is not the address of a service"]


@pytest.mark.parametrize(
    ("environ", "warns"),
    [
        ({"YC_TOKEN": "y0_x"}, True),
        ({"YC_OAUTH_TOKEN": "y3_x"}, True),
        ({"YC_TOKEN": "t1.a.b"}, False),
        ({"YC_TOKEN": "y0_x", "YC_IAM_TOKEN": "t1.a.b"}, False),
        ({}, False),
    ],
)
def test_check_when_an_oauth_token_would_be_used_then_its_deprecation_is_said(tmp_path, environ, warns):
    found = check(tmp_path, "  - {name: a, notebook: a.ipynb}\n", environ=environ)

    assert [line.split(":")[1].split()[:2] for line in found] == ([["warning", "DSJ403"]] if warns else [])


@pytest.mark.parametrize(
    ("asked", "told", "same"),
    [
        ("a.ipynb", "a.ipynb", True),
        ("a.ipynb", "/home/jupyter/datasphere/project/a.ipynb", True),
        ("/home/jupyter/project/x/a.ipynb", "./x/a.ipynb", True),
        ("a.ipynb", "b.ipynb", False),
        ("a.ipynb", "x/a.ipynb", False),
    ],
)
def test_same_target_when_paths_are_written_differently_then_their_meaning_counts(asked, told, same):
    assert checks.same_target(asked, told) is same


def test_parse_when_settings_are_read_then_each_has_its_place():
    assert parse({}) == Settings(rate_limit=RATE_LIMIT)
    assert parse(
        {
            "endpoint": "e",
            "endpoints": {"iam": "i"},
            "rate_limit": 5,
            "poll_interval": 2,
            "profile": "p",
            "workload_identity": {"service_account": "s", "audience": "a", "id_token_variable": "V"},
            "output_store": "s3://b/p",
            "output_store_endpoint": "https://h",
            "output_store_region": "r",
        }
    ) == Settings("e", {"iam": "i"}, 5.0, 2.0, "p", WorkloadIdentity("s", "a", "V"), "s3://b/p", "https://h", "r")


def test_settings_when_a_job_file_has_all_of_them_then_it_is_valid(tmp_path):
    settings = """      endpoints: {datasphere: 'http://127.0.0.1:1', operation: x, iam: x, auth: x}
      rate_limit: 0.5
      profile: work
      workload_identity: {service_account: aje1, audience: a, id_token_variable: YC_ID_TOKEN}
      output_store: s3://bucket/prefix
      output_store_endpoint: http://127.0.0.1:9000
      output_store_region: ru-central1"""

    assert check(tmp_path, "  - {name: a, notebook: a.ipynb}\n", settings=settings) == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rate_limit: 0", "a rate is a number of calls a second"),
        ("endpoints: {}", "name at least one service"),
        ("endpoints: {datashpere: x}", "unknown key 'datashpere'"),
        ("output_store_endpoint: 'https://x/path'", "without a path"),
        ("workload_identity: {id_token_variable: 'eyJ.a.b'}", "the name of an environment variable"),
        ("iam_token: t1.a.b", "has no setting 'iam_token'"),
    ],
)
def test_settings_when_one_is_wrong_then_the_job_file_is_invalid(tmp_path, setting, message):
    path = tmp_path / "jobs.yaml"
    path.write_text(HEAD.replace("SETTINGS", f"      {setting}") + "  - {name: a, notebook: a.ipynb}\n")

    found = [diagnostic for diagnostic in loading.load(path).diagnostics if diagnostic.is_error]

    assert len(found) == 1
    assert message in f"{found[0].message}; {found[0].hint}"
    assert found[0].position.line == 8


def test_import_when_only_plans_are_made_then_no_http_client_is_loaded():
    code = (
        "import sys; from dsjobs.backends import registry; from pathlib import Path\n"
        "registry.create('datasphere', Path(), {'output_store': 's3://b/p'}).check([])\n"
        "print(sorted({'requests', 'urllib3', 'boto3', 'jwt', 'cryptography', 'http.client'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)

    assert ended.stdout.strip() == "[]", ended.stderr
