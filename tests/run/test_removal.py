"""Runs are removed whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from written_runs import LATER, PLANNED, all_records, gone, write

from dsjobs.errors import UsageError
from dsjobs.run import lock, records, removal, runs
from dsjobs.run.lock import Holder
from dsjobs.run.store import RunFolder

ME = Holder("here", os.getpid(), "2027-01-15T08:00:00.000000Z", "clean")


def ids(found):
    return [run.id for run in found]


@pytest.fixture
def state(tmp_path) -> Iterator[Path]:
    """Runs, oldest first: two that ended, one interrupted, one detached, one that goes on, one that ended."""
    lasting = [("1", -1), ("2", -1), ("3", PLANNED + 1), ("4", PLANNED + 1), ("5", PLANNED + 1), ("6", -1)]
    for number, (name, upto) in enumerate(lasting):
        every = all_records(name, at=LATER + number * 100, pid=gone())
        every = every[:upto] if upto > 0 else every
        if name == "4":
            every.append(records.run_detached(LATER + 1, "SIGINT"))
        folder = write(tmp_path, every, every)
        os.utime(folder.journal, (LATER + number * 100,) * 2)
    with lock.acquire(RunFolder(tmp_path / "runs" / "5").lock, ME, "run 5"):
        yield tmp_path


def choose(state, **rule):
    return removal.choose(list(runs.newest_first(state)), **{"keep": 0, "ended_before": None, **rule})


def test_choice_when_nothing_is_kept_then_what_has_not_ended_stays(state):
    choice = choose(state)
    assert [ids(group) for group in (choice.removed, choice.going_on, choice.unfinished)] == [
        ["6", "2", "1"], ["5"], ["4", "3"],
    ]  # fmt: skip


def test_choice_when_unfinished_ones_are_meant_too_then_what_goes_on_stays(state):
    choice = choose(state, with_unfinished=True)
    assert (ids(choice.removed), ids(choice.going_on), choice.unfinished) == (["6", "4", "3", "2", "1"], ["5"], ())


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ({"keep": 1}, ["4", "3", "2", "1"]),
        ({"keep": 5}, ["1"]),
        ({"keep": 9}, []),
        ({"ended_before": LATER + 150}, ["2", "1"]),
        ({"ended_before": LATER + 4}, []),
        ({"ended_before": LATER + 250}, ["3", "2", "1"]),
        ({"ended_before": LATER + 250, "keep": 4}, ["2", "1"]),
    ],
)
def test_choice_when_age_and_number_are_given_then_both_must_allow_it(state, rule, removed):
    assert ids(choose(state, with_unfinished=True, **rule).removed) == removed


def test_removal_when_done_then_only_the_others_are_left(state):
    removed = removal.remove(state, choose(state, keep=4).removed, ME)
    assert ids(removed) == ["2", "1"]
    assert ids(runs.newest_first(state)) == ["6", "5", "4", "3"]
    assert list((state / "removed").iterdir()) == []


def test_removal_when_it_dies_in_between_then_the_rest_goes_next_time(state, monkeypatch):
    def dies(path, **_):
        os.unlink(Path(path) / "journal.jsonl")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            removal.remove(state, choose(state, keep=4).removed, ME)
    assert ids(runs.newest_first(state)) == ["6", "5", "4", "3"]
    assert len(list((state / "removed").iterdir())) == 2
    assert removal.remove(state, [], ME) == []
    assert list((state / "removed").iterdir()) == []


def test_removal_when_there_is_nothing_to_do_then_no_folder_is_made(state):
    assert removal.remove(state, [], ME) == []
    assert not (state / "removed").exists()


def test_removal_when_the_run_is_gone_already_then_it_is_not_counted(state):
    chosen = choose(state, keep=4).removed
    shutil.rmtree(chosen[0].folder.path)
    assert ids(removal.remove(state, chosen, ME)) == ["1"]


def test_removal_when_a_run_is_being_taken_up_then_it_stays(state):
    chosen = [run for run in choose(state, with_unfinished=True).removed if run.id == "3"]
    with lock.acquire(chosen[0].folder.lock, ME, "run 3"):
        assert removal.remove(state, chosen, ME) == []
    assert ids(removal.remove(state, chosen, ME)) == ["3"]


def test_removal_when_a_run_has_ended_meanwhile_then_it_stays(state):
    chosen = [run for run in choose(state, with_unfinished=True).removed if run.id == "3"]
    folder = chosen[0].folder
    shutil.rmtree(folder.path)
    every = all_records("3")
    write(state, every, every)
    assert removal.remove(state, chosen, ME) == []
    assert folder.journal.is_file()


def test_removal_when_the_run_is_a_link_then_only_the_link_goes(state, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "1"
    link = state / "runs" / "1"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    assert ids(removal.remove(state, choose(state, keep=5).removed, ME)) == ["1"]
    assert not link.is_symlink() and (elsewhere / "journal.jsonl").is_file()


def test_removal_when_it_may_not_then_says_where(state):
    (state / "removed").write_text("in the way")
    with pytest.raises(UsageError, match="removed: cannot be removed: File exists"):
        removal.remove(state, choose(state).removed, ME)
    assert len(ids(runs.newest_first(state))) == 6


def test_size_when_a_run_has_files_then_is_what_they_take_up(state):
    run = next(runs.newest_first(state))
    before = removal.size_bytes(run.folder)
    (run.folder.path / "notebooks").mkdir()
    run.folder.notebook("a").write_bytes(os.urandom(100_000))
    assert removal.size_bytes(run.folder) - before >= 100_000


def test_removal_when_an_unfinished_run_was_taken_up_and_left_meanwhile_then_it_stays(state):
    chosen = [run for run in choose(state, with_unfinished=True).removed if run.id == "4"]
    folder = chosen[0].folder
    shutil.rmtree(folder.path)
    resumed = records.run_resumed(LATER + 2, {"host": "there", "pid": 1, "tool_version": "0.1.0"})
    detached = [records.run_detached(LATER + at, "SIGINT") for at in (1, 3)]
    every = [*all_records("4")[: PLANNED + 1], detached[0], resumed, detached[1]]
    write(state, every, every)
    assert removal.remove(state, chosen, ME) == []
    assert folder.journal.is_file()


def test_choice_when_a_run_never_began_then_it_goes_and_is_not_one_of_those_that_are_kept(state):
    write(state, all_records("7", at=LATER + 700, pid=gone())[: PLANNED - 1])
    assert ids(choose(state, keep=4).removed) == ["7", "2", "1"]
    assert ids(choose(state, keep=4, ended_before=0).removed) == []
    assert ids(removal.remove(state, choose(state, keep=4).removed, ME)) == ["7", "2", "1"]
