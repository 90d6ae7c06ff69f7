"""Output for every reader: colours, encodings, pipes that close, and streams that are not there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from as_user import TIMEOUT, Ended, command, environment, manifest_of, run
from processes import started

ESCAPE = "\x1b["


@pytest.fixture
def failed(failed_run: tuple[Path, Ended]) -> Path:
    """A project with a run of which jobs failed."""
    return failed_run[0]


@pytest.mark.parametrize(
    ("arguments", "variables", "is_coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ([], {"NO_COLOR": "", "FORCE_COLOR": "1"}, True),
        ([], {"DSJOBS_COLOR": "always"}, True),
        (["-o", "json"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_when_chosen_then_is_there_or_not(failed, arguments, variables, is_coloured):
    ended = run("status", *arguments, cwd=failed, **variables)
    assert ended.code == 0
    assert (ESCAPE in ended.out) == is_coloured
    plain = run("status", *arguments, "--color", "never", cwd=failed).out
    assert all(symbol in plain for symbol in ("failed", "succeeded", "skipped"))


def test_error_when_colour_is_forced_then_the_word_is_still_there(failed):
    ended = run("status", "nothing", cwd=failed, FORCE_COLOR="1")
    assert ESCAPE in ended.err and "error" in ended.err


def test_text_when_the_terminal_is_ascii_then_is_readable(failed):
    ended = run("status", cwd=failed, PYTHONIOENCODING="ascii")
    assert ended.code == 0 and ended.out.isascii()
    assert ended.out.startswith("small - run ")
    assert "+ succeeded" in ended.out and "x failed" in ended.out and "- skipped" in ended.out
    assert "h\\xe4llo" in ended.out


@pytest.mark.parametrize("arguments", [["status", "-o", "json"], ["plan", "-o", "json"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_when_the_terminal_is_not_utf_8_then_is_json_all_the_same(failed, arguments, encoding):
    done = subprocess.run(
        command(*arguments), cwd=failed, env=environment(PYTHONIOENCODING=encoding), capture_output=True, timeout=60
    )
    wide = subprocess.run(command(*arguments), cwd=failed, env=environment(), capture_output=True, timeout=60)
    assert json.loads(done.stdout.decode(encoding)) == json.loads(wide.stdout.decode())


@pytest.mark.parametrize("arguments", [["plan"], ["status"], ["schema"]])
def test_pipe_when_its_reader_leaves_at_once_then_nothing_is_said(failed, arguments):
    with started(
        command(*arguments), cwd=failed, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_pipe_when_only_errors_go_there_then_the_exit_code_stays(failed):
    with started(
        command("status", "nothing"), cwd=failed, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.close()
        assert process.stdout.read() == b""
        assert process.wait(60) == 2


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
def test_stream_when_closed_from_the_start_then_is_left_alone(failed, closing):
    shell = f'exec "$@" {closing}'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *command("plan")], cwd=failed, env=environment(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


def test_stdout_when_the_disk_is_full_then_says_so(failed):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("plan"), cwd=failed, env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 4
    assert done.stderr.decode() == "error: No space left on device\n"


@pytest.mark.parametrize(("flags", "streams", "code"), [(["-o", "jsonl"], {"stdout"}, 4), ([], {"stderr"}, 0)])
def test_run_when_what_it_prints_finds_a_full_disk_then_goes_on_to_its_end(project, flags, streams, code):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("apply", *flags), cwd=project, env=environment(), timeout=TIMEOUT,
            **{name: full if name in streams else subprocess.PIPE for name in ("stdout", "stderr")},
        )  # fmt: skip
    assert done.returncode == code
    assert manifest_of(project)["run"]["status"] == "succeeded"
    if code:
        assert done.stderr.decode().count("stdout: the events cannot be written: No space left on device") == 2
        assert "hint: the journal has everything: `dsjobs status " in done.stderr.decode()
