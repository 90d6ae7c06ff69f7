"""The reports that a bug leaves, which users are asked to send: without the token that the command line had."""

from __future__ import annotations

import pytest
from as_user import REPOSITORY, Ended, run

TOKEN = "a-token-of-no-known-shape"
IAM_TOKEN = "t1.of-the-variable." + "v" * 86


@pytest.fixture
def breaks(project, tmp_path):
    """Runs dsjobs where a package that it needs breaks when it is imported, as one does that does not suit the others. What it
    came to, and its report."""

    def call(package: str, *arguments: str, **variables: str) -> tuple[Ended, str]:
        stub = tmp_path / "packages" / f"{package}.py"
        stub.parent.mkdir()
        said = "'nothing here knows what to do with ' + ' '.join([*sys.argv, os.environ.get('YC_IAM_TOKEN', '')])"
        stub.write_text(f"import os, sys\nraise AttributeError({said})\n")
        (tmp_path / "reports").mkdir()
        paths = f"{stub.parent}:{REPOSITORY}"
        ended = run(
            *arguments,
            cwd=project,
            PYTHONPATH=paths,
            TMPDIR=str(tmp_path / "reports"),
            YC_METADATA_ADDR="127.0.0.1:9",
            **variables,
        )
        (report,) = (tmp_path / "reports").glob("dsjobs-bug-*.txt")
        return ended, report.read_text()

    return call


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("boto3", ["--iam-token", TOKEN]),
        ("boto3", [f"--iam-token={TOKEN}"]),
        ("yaml", ["--iam-token", TOKEN]),  # before any option is read
    ],
)
def test_report_when_the_command_line_had_a_token_then_it_is_nowhere(breaks, package, arguments):
    ended, report = breaks(package, "doctor", "-e", "prod", *arguments)

    assert ended.code == 5
    assert "this is a bug in dsjobs: AttributeError: nothing here knows" in ended.err
    assert TOKEN not in ended.out + ended.err + report
    assert f"doctor -e prod {arguments[0].replace(TOKEN, '***')}" in report


def test_report_when_a_message_quotes_a_token_of_the_service_then_it_is_taken_out(breaks):
    ended, report = breaks("yaml", "validate", YC_IAM_TOKEN=IAM_TOKEN)

    assert ended.code == 5
    assert IAM_TOKEN not in ended.err + report
    assert "AttributeError: nothing here knows" in report


def test_report_when_the_flag_has_no_value_then_there_is_nothing_to_take_out(breaks):
    _, report = breaks("yaml", "doctor", "--iam-token", "")

    assert "AttributeError: nothing here knows" in report
