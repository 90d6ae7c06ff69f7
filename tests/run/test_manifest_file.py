"""The manifest on disk while a run goes on: whole and valid after every turn, never half written, at a bounded cost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from held_schemas import problems_of
from memory_backend import MemoryBackend, Script
from runs import STARTED_AT, Running, frozen_clock, leaping_clock, make_plan

from dsjobs.model import Failure, Status
from dsjobs.run import journal, records
from dsjobs.run.manifest import fold
from dsjobs.run.manifest_file import SHARE, ManifestFile, text

SCRIPTS = (
    Script(outputs={"text": 'a "quoted" é\n\u2028', "rows": 7}),
    Script(looks=2, outputs={"deep": {"list": [1, 2.5, None, True]}}),
    Script(notify="thread", looks=None),
    Script(failure=Failure("notebook", "no", cell_number=2, line=1, source_line="1 / 0", traceback=("a", "b"))),
    Script(is_cancelled=True, outputs=None, looks=1),
)


def layers(width: int, depth: int) -> dict[str, list[str]]:
    """`depth` layers of `width` jobs, each of which needs one of the layer before."""
    return {
        f"j{layer}_{column}": [f"j{layer - 1}_{column}"] if layer else []
        for layer in range(depth)
        for column in range(width)
    }


def test_manifest_when_looked_at_after_every_turn_then_is_valid_and_current(tmp_path):
    needs = layers(5, 6)
    ends = {name: SCRIPTS[index % 5] for index, name in enumerate(needs) if name.startswith("j5")}
    backend = MemoryBackend(ends, default=Script(looks=1))
    turns = []

    def look(records) -> None:
        if records:
            content = (tmp_path / "manifest.json").read_bytes()
            assert problems_of("manifest", content) == []
            assert json.loads(content) == fold(journal.read(tmp_path / "journal.jsonl"))
            turns.append(len(records))

    running = Running(
        make_plan(needs, max_parallel=2), backend, tmp_path, clock=leaping_clock(), listeners=[look]
    ).start()
    assert running.result() is Status.FAILED
    assert len(turns) > 30 and sum(turns) == len(running.records)


def test_manifest_when_read_at_any_moment_then_is_whole(tmp_path):
    path = tmp_path / "manifest.json"
    over = threading.Event()
    seen: list[int] = []
    broken: list[str] = []

    def read() -> None:
        while not over.is_set():
            if path.exists():
                try:
                    seen.append(json.loads(path.read_bytes())["journal_records"])
                except ValueError as error:
                    broken.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        running = Running(make_plan(layers(4, 15)), MemoryBackend(), tmp_path).start()
        assert running.result() is Status.SUCCEEDED
    finally:
        over.set()
        reader.join()
    assert broken == []
    assert seen == sorted(seen) and len(set(seen)) > 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["journal.jsonl", "manifest.json"]


def test_manifest_when_there_is_a_copy_then_both_are_the_same(tmp_path):
    folder, copy = tmp_path / "run", tmp_path / "elsewhere" / "manifest.json"
    folder.mkdir()
    copy.parent.mkdir()
    own = ManifestFile([copy], lambda: 0.0)
    Running(make_plan({"a": [], "b": ["a"]}), MemoryBackend(), folder, listeners=[own]).start().result()
    assert copy.read_bytes() == (folder / "manifest.json").read_bytes()


def recorded(tmp_path: Path, jobs: int) -> list[list[dict]]:
    """The turns of a run of `jobs` jobs, one after another."""
    turns: list[list[dict]] = []
    folder = tmp_path / "recorded"
    folder.mkdir()
    needs = {f"j{number}": [f"j{number - 1}"] if number else [] for number in range(jobs)}
    Running(
        make_plan(needs), MemoryBackend(), folder, clock=frozen_clock(), listeners=[lambda r: turns.append(list(r))]
    ).start().result()
    return turns


class Time:
    """Ticks that go on by themselves while a manifest is written: `cost` seconds from one reading in a write to the next."""

    def __init__(self, cost: float) -> None:
        self.now = 0.0
        self.cost = cost
        self.spent = 0.0
        self.writing = False

    def __call__(self) -> float:
        return self.now


class SlowFile(ManifestFile):
    """A manifest file on a disk that needs `time.cost` seconds for each write."""

    def __init__(self, paths, time: Time) -> None:
        super().__init__(paths, time)
        self.time = time
        self.writes = 0

    def _content(self) -> bytes:
        self.time.now += self.time.cost
        self.time.spent += self.time.cost
        self.writes += 1
        return super()._content()


def test_manifest_when_writing_is_slow_then_takes_its_share_and_ends_current(tmp_path):
    path = tmp_path / "manifest.json"
    turns = recorded(tmp_path, 60)
    time = Time(cost=0.5)
    file = SlowFile([path], time)
    wake: float | None = None
    for turn in turns:
        again = file(turn)
        if again is not None:
            assert wake is None, "one call at a time is asked for"
            wake = time.now + again
        assert problems_of("manifest", path.read_bytes()) == []
        if turn is turns[-1]:
            break
        time.now += 1.0
        if wake is not None and wake <= time.now:
            wake = None
            again = file(())
            wake = None if again is None else time.now + again
    assert 2 <= file.writes < len(turns) / 4
    # The first write and the last are not put off.
    assert time.spent - 2 * time.cost <= SHARE * time.now
    assert json.loads(path.read_bytes()) == fold(record for turn in turns for record in turn)


def test_manifest_when_nothing_more_happens_then_the_last_change_is_still_written(tmp_path):
    path = tmp_path / "manifest.json"
    first, second, *_ = recorded(tmp_path, 3)
    time = Time(cost=1.0)
    file = SlowFile([path], time)
    assert file(first) is None
    again = file(second)
    assert again is not None and 0 < again <= 1 / SHARE
    assert json.loads(path.read_bytes()) == fold(first)
    early = file(())
    assert early is not None, "called too soon it asks once more"
    time.now += again
    assert file(()) is None
    assert json.loads(path.read_bytes()) == fold([*first, *second])
    assert file(()) is None
    assert file.writes == 2


def test_manifest_when_the_run_is_left_then_it_is_written_at_once(tmp_path):
    path = tmp_path / "manifest.json"
    first, second, *_ = recorded(tmp_path, 3)
    left = records.run_detached(STARTED_AT, "SIGINT")
    file = SlowFile([path], Time(cost=1.0))
    file(first)
    assert file([*second, left]) is None
    assert json.loads(path.read_bytes()) == fold([*first, *second, left])


def test_manifest_when_writing_costs_nothing_then_each_turn_is_written(tmp_path):
    path = tmp_path / "manifest.json"
    file = ManifestFile([path], lambda: 0.0)
    done: list[dict] = []
    for turn in recorded(tmp_path, 5):
        done += turn
        assert file(turn) is None
        assert json.loads(path.read_bytes()) == fold(done)


def test_manifest_when_a_file_cannot_be_written_then_the_others_are_and_it_is_tried_again(tmp_path):
    path, copy = tmp_path / "manifest.json", tmp_path / "gone" / "manifest.json"
    said: list[str] = []
    file = ManifestFile([copy, path], lambda: 0.0, remark=said.append)
    first, second, *rest = recorded(tmp_path, 3)
    for turn in (first, second):
        file(turn)
    assert json.loads(path.read_bytes()) == fold([*first, *second])
    message = f"{copy}: the manifest cannot be written: No such file or directory"
    assert file.unwritten == [message]
    assert said == [f"{message}; it is tried again when something changes"]
    copy.parent.mkdir()
    for turn in rest:
        file(turn)
    assert file.unwritten == [] and len(said) == 1
    assert copy.read_bytes() == path.read_bytes()


def test_text_when_a_manifest_is_made_at_once_then_is_the_file(tmp_path):
    file = ManifestFile([tmp_path / "manifest.json"], lambda: 0.0)
    for turn in recorded(tmp_path, 5):
        file(turn)
    assert (tmp_path / "manifest.json").read_text(encoding="utf-8") == text(file.fold)
