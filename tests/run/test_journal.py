"""The journal survives a crash at any byte, and says where it is damaged; a fold refuses what cannot have happened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from memory_backend import MemoryBackend, Script
from runs import Running, make_plan

from dsjobs.errors import InvalidFileError
from dsjobs.model import Failure
from dsjobs.reports import text
from dsjobs.run import journal, manifest_file, store
from dsjobs.run.journal import Journal
from dsjobs.run.manifest import Fold, fold


@pytest.fixture
def content(tmp_path) -> bytes:
    """The bytes of a journal: `a` succeeded, `b` failed, and `c` was skipped for it."""
    backend = MemoryBackend({"a": Script(outputs={"x": "é"}), "b": Script(failure=Failure("notebook", "no"))})
    running = Running(make_plan({"a": [], "b": ["a"], "c": ["b"]}), backend, tmp_path).start()
    running.result()
    return running.folder.journal.read_bytes()


def records_of(content: bytes) -> list[Mapping[str, Any]]:
    return list(journal.parse(content, "journal.jsonl"))


def test_journal_when_its_last_line_is_torn_anywhere_then_the_others_are_read(content):
    whole = records_of(content)
    start = content.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        assert records_of(content[:end]) == whole[:-1]


def test_journal_when_it_is_torn_at_any_byte_then_status_can_show_what_it_has(content):
    header = content.index(b"\n") + 1
    for end in range(header, len(content) + 1):
        manifest = fold(records_of(content[:end]))
        if content[end - 1 : end] == b"\n":
            assert text.table(manifest).startswith("made · run run-1")


@pytest.mark.parametrize("end", [0, 1, 100])
def test_journal_when_it_has_no_header_then_is_refused(content, end):
    with pytest.raises(InvalidFileError, match="has no header"):
        records_of(content[:end])


@pytest.mark.parametrize("damage", [b"{", b"", b"\xff\xfe", b"null", b'{"record": "job_eaten"}', b"[1]", b'"x"'])
@pytest.mark.parametrize("line", [1, 2, 5, 9])
def test_journal_when_a_line_in_it_is_damaged_then_its_number_is_named(content, line, damage):
    lines = content.split(b"\n")
    lines[line - 1] = damage
    with pytest.raises(InvalidFileError, match=rf"^journal\.jsonl:{line}: "):
        records_of(b"\n".join(lines))


def test_journal_when_nested_a_thousand_times_then_the_line_is_named(content):
    with pytest.raises(InvalidFileError, match=r"^journal\.jsonl:\d+: "):
        records_of(content + b"[" * 100_000 + b"\n")


def test_journal_when_it_has_another_version_then_says_which(content):
    with pytest.raises(InvalidFileError, match="the journal has version 2, not 1") as refused:
        records_of(content.replace(b'"schema_version":1', b'"schema_version":2'))
    assert refused.value.hint == "use the version of dsjobs that wrote it"


def test_journal_when_it_begins_with_another_record_then_is_refused(content):
    with pytest.raises(InvalidFileError, match="a journal begins with 'run_started', not 'job_planned'"):
        records_of(content[content.index(b"\n") + 1 :])


def test_journal_when_any_byte_is_damaged_then_is_refused_with_its_line(content):
    for place in range(len(content)):
        for change in (0x01, 0x20, 0x80):
            damaged = bytearray(content)
            damaged[place] ^= change
            with pytest.raises(InvalidFileError, match=rf"journal:{content[:place].count(10) + 1}: "):
                fold(journal.parse(bytes(damaged), "journal"))


def test_manifest_when_any_byte_is_damaged_then_is_refused_or_read_as_it_was(content, tmp_path):
    state = Fold()
    for record in records_of(content):
        state.apply(record)
    written = manifest_file.text(state).encode()
    path = tmp_path / "kept.json"
    path.write_bytes(written)
    right = store.read_manifest(path)
    for place in range(len(written)):
        damaged = bytearray(written)
        damaged[place] ^= 0x01
        path.write_bytes(damaged)
        try:
            assert store.read_manifest(path) == right
        except InvalidFileError as error:
            assert str(path) in str(error)


def test_journal_when_there_is_no_file_then_says_so(tmp_path):
    with pytest.raises(InvalidFileError, match=r"the journal cannot be read: No such file"):
        journal.read(tmp_path / "journal.jsonl")


def test_journal_when_its_file_exists_then_has_a_writer_already(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(FileExistsError):
        Journal(tmp_path / "j")


def test_journal_when_a_number_is_not_json_then_nothing_is_written(tmp_path):
    with Journal(tmp_path / "j") as log:
        with pytest.raises(ValueError, match="JSON"):
            log.append([{"record": "x"}, {"record": "y", "value": float("nan")}])
        assert (tmp_path / "j").read_bytes() == b""


def kinds(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [record["record"] for record in records]


def test_fold_when_each_prefix_is_taken_then_is_a_manifest(content):
    records = records_of(content)
    for end in range(1, len(records) + 1):
        assert fold(records[:end])["journal_records"] == end


def edited(records: Sequence[Mapping[str, Any]], index: int, **changes: Any) -> list[Mapping[str, Any]]:
    return [*records[:index], {**records[index], **changes}, *records[index + 1 :]]


IMPOSSIBLE = {
    "a second header": lambda r: [r[0], *r],
    "a record before the header": lambda r: r[1:],
    "a job planned twice": lambda r: [*r[:2], *r[1:]],
    "a submit of an unknown job": lambda r: edited(r, 4, job="z"),
    "a submit that is not the next attempt": lambda r: edited(r, 4, attempt=2),
    "a submit without a request": lambda r: [*r[:4], {k: v for k, v in r[4].items() if k != "request"}],
    "an answer to no submit": lambda r: [*r[:4], r[5]],
    "an answer to another attempt": lambda r: edited(r, 5, attempt=0),
    "a second answer": lambda r: [*r[:6], *r[5:]],
    "a second submit of an attempt": lambda r: [*r[:5], *r[4:]],
    "a second outcome": lambda r: [*r[:7], *r[6:]],
    "an outcome of an earlier attempt": lambda r: edited(r, 6, attempt=0),
    "an outcome with an unknown status": lambda r: edited(r, 6, status="fine"),
    "an outcome that is not one": lambda r: edited(r, 6, status="running"),
    "an outcome at no time": lambda r: edited(r, 6, at="yesterday"),
    "a skip of a job that runs": lambda r: [*r[:5], {**r[10], "job": "a"}],
    "a submit of a skipped job": lambda r: [*r[:11], {**r[4], "job": "c"}],
    "an end while jobs are open": lambda r: [*r[:10], r[-1]],
    "something after the end": lambda r: [*r, r[-1]],
    "a planned job after the end": lambda r: [*r, {**r[1], "name": "z"}],
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_fold_when_a_record_cannot_follow_then_its_line_is_named(content, name):
    records = records_of(content)
    assert kinds(records) == [
        "run_started", "job_planned", "job_planned", "job_planned", "job_submitting", "job_submitted", "job_finished",
        "job_submitting", "job_submitted", "job_finished", "job_skipped", "run_finished",
    ]  # fmt: skip
    with pytest.raises(InvalidFileError, match=r"^line \d+ of the journal does not fit what stands before it"):
        fold(IMPOSSIBLE[name](records))


def test_fold_when_read_from_a_file_then_the_file_is_named(tmp_path, content, damaged):
    from dsjobs.run import store

    lines = content.splitlines(keepends=True)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join([*lines[:5], *lines[4:]]))
    with pytest.raises(InvalidFileError, match=rf"^{path}:6: this record does not fit"):
        store.load(store.RunFolder(tmp_path))


def test_fold_when_a_second_attempt_follows_a_failed_one_then_both_are_kept(content):
    records = records_of(content)[:10]
    retrying = {key: records[9][key] for key in ("at", "job", "attempt", "failure")}
    records[9] = {"record": "job_retrying", **retrying, "retry_in": 2.5}
    second = [{**record, "attempt": 2} for record in records_of(content)[7:10]]
    second[2] |= {"status": "succeeded"}
    second[2].pop("failure")
    job = next(job for job in fold([*records, *second])["jobs"] if job["name"] == "b")
    assert (job["status"], job["failure"]) == ("succeeded", None)
    assert [attempt["status"] for attempt in job["attempts"]] == ["failed", "succeeded"]


def test_fold_when_the_plan_skips_a_job_then_it_is_skipped(content):
    records = edited(records_of(content)[:4], 1, action="skip", reasons=["not changed"])
    job = fold(records)["jobs"][0]
    assert (job["status"], job["reasons"]) == ("skipped", ["not changed"])


def test_records_when_written_then_are_json_in_one_line_each(content):
    for line in content.splitlines():
        assert json.loads(line)["record"] in journal.KINDS


def test_journal_when_a_test_writes_one_then_the_schema_is_held(tmp_path, content, damaged):
    from held_schemas import problems_below

    path = tmp_path / "journal.jsonl"
    assert problems_below(tmp_path) == []
    path.write_bytes(content.replace(b'"attempt":1', b'"attempt":0', 1))
    assert len(problems_below(tmp_path)) == 1
    damaged.add(path)
    assert problems_below(tmp_path, damaged) == []


def test_header_when_what_follows_is_damaged_then_is_there_all_the_same(tmp_path, content):
    path = tmp_path / "damaged"
    first, rest = content.split(b"\n", 1)
    path.write_bytes(first + b"\nnot a record" + rest)
    assert journal.header(path) == records_of(content)[0]
    path.write_bytes(first[:-9])
    with pytest.raises(InvalidFileError, match="has no header"):
        journal.header(path)
