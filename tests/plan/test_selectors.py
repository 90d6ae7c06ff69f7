"""Selection: the grammar, what it says of mistakes, and its agreement with a naive evaluation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsjobs.errors import UsageError
from dsjobs.model import Job, PlannedJob, Request, Reused
from dsjobs.plan.selection import apply_selection
from dsjobs.plan.selectors import Earlier, selected_jobs


def job(name: str, *needs: str, **fields: Any) -> Job:
    project = fields.pop("project", "id-1")
    return Job(name, "", Request(project, f"{name}.ipynb"), fields.pop("deferred", {}), {}, needs, **fields)


def cell(base: str, label: str, *needs: str, **values: Any) -> Job:
    return job(f"{base}[{label}]", *needs, base=base, matrix=values)


JOBS = [
    job("extract", tags=("nightly", "io")),
    job("clean", "extract", tags=("nightly",)),
    cell("train", "seed=1,model=a", "clean", seed=1, model="a"),
    cell("train", "seed=2,model=a", "clean", seed=2, model="a"),
    cell("train", "seed=2,model=b", "clean", seed=2, model="b"),
    job("report", "train[seed=1,model=a]", "train[seed=2,model=a]", "train[seed=2,model=b]", "extract", tags=("io",)),
    job("other", project="id-2"),
]
ALL = frozenset(one.name for one in JOBS)
TRAIN = frozenset(name for name in ALL if name.startswith("train"))
EARLIER = Earlier(
    {"extract": "succeeded", "clean": "failed", "report": "skipped", "gone": "failed"}, {"other": (), "report": ()}
)


def select(*selectors: str, exclude: tuple[str, ...] = (), earlier: Earlier | None = EARLIER) -> frozenset[str]:
    return selected_jobs(JOBS, selectors, exclude, projects={"main": "id-1", "side": "id-2"}, earlier=earlier)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("extract", {"extract"}),
        ("train", TRAIN),
        ("+clean", {"extract", "clean"}),
        ("clean+", {"clean", "report", *TRAIN}),
        ("+clean+", {"extract", "clean", "report", *TRAIN}),
        ("1+clean", {"extract", "clean"}),
        ("1+report", {"report", "extract", *TRAIN}),
        ("2+report", {"report", "extract", "clean", *TRAIN}),
        ("clean+1", {"clean", *TRAIN}),
        ("0+report", {"report"}),
        ("9" * 5000 + "+clean", {"extract", "clean"}),
        ("train[seed=2]", {"train[seed=2,model=a]", "train[seed=2,model=b]"}),
        ("train[model=a,seed=1]", {"train[seed=1,model=a]"}),
        ("train[seed=1,model=a]", {"train[seed=1,model=a]"}),
        ("train[model=?]", TRAIN),
        ("+train[seed=1,model=a]+", {"extract", "clean", "train[seed=1,model=a]", "report"}),
        ("tag:nightly", {"extract", "clean"}),
        ("tag:n*", {"extract", "clean"}),
        ("tag:nightly,tag:io", {"extract"}),
        ("tag:io,clean+", {"report"}),
        ("train[seed=2],train[model=b]", {"train[seed=2,model=b]"}),
        ("project:side", {"other"}),
        ("project:id-1", ALL - {"other"}),
        ("*r*t", {"extract", "report"}),
        ("result:failed", {"clean"}),
        ("result:failed+", {"clean", "report", *TRAIN}),
        ("1+state:changed", {"other", "report", "extract", *TRAIN}),
        ("extract other", {"extract", "other"}),
    ],
)
def test_selector_when_it_is_valid_then_selects(selector: str, expected: set[str]) -> None:
    assert select(selector) == expected


def test_selection_when_there_are_several_then_is_their_union_without_what_is_excluded() -> None:
    assert select() == ALL
    assert select("extract", "other") == {"extract", "other"}
    assert select(exclude=("train",)) == ALL - TRAIN
    assert select("clean+", exclude=("train[seed=2]", "tag:io")) == {"clean", "train[seed=1,model=a]"}


@pytest.mark.parametrize(
    ("selector", "message", "hint"),
    [
        ("trian", "no job is named 'trian'", "did you mean 'train'?"),
        (
            "train[seed=3]",
            "there is no cell 'train[seed=3]'",
            "there are train[seed=1,model=a], train[seed=2,model=a], train[seed=2,model=b]",
        ),
        ("trian[seed=1]", "no job is named 'trian[seed=1]'", None),
        ("x*", "no job is named 'x*'", "known: clean, extract, other, report, train"),
        ("tag:nigthly", "no job has the tag 'nigthly'", "did you mean 'nightly'?"),
        ("project:sid", "no job is in the project 'sid'", "did you mean 'side'?"),
        ("tags:nightly", "'tags:nightly': there is no selection by 'tags'", "did you mean 'tag'?"),
        ("tag:", "'tag:' names no tag", "write tag:NAME"),
        ("result:fail", "'fail' is not a result", "did you mean 'failed'?"),
        ("state:new", "'new' is not a state", "write state:changed"),
        ("++train", "'++train' is not a selector", None),
        ("+", "'+' is not a selector", None),
        ("train,", "'train,' is not a selector", None),
        ("result:cancelled", "nothing is selected: 'result:cancelled' selects no job", None),
        ("extract,other", "nothing is selected: 'extract,other' selects no job", None),
    ],
)
def test_selector_when_it_is_wrong_then_says_what_to_write(selector: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        select(selector)
    assert str(raised.value) == message
    assert hint is None or raised.value.hint == hint
    assert raised.value.exit_code == 2


def test_selection_when_everything_is_excluded_then_is_an_error() -> None:
    with pytest.raises(UsageError, match="the jobs that are selected are excluded as well"):
        select("extract", exclude=("tag:nightly",))


def test_selector_when_it_needs_an_earlier_run_and_there_is_none_then_asks_for_it() -> None:
    with pytest.raises(UsageError) as raised:
        select("result:failed", earlier=None)
    assert "--from" in str(raised.value.hint)


NAMES = [f"j{number}" for number in range(8)]
TERMS = st.builds(
    lambda up, name, down: (up, name, down),
    st.sampled_from([None, "", "0", "1", "2"]),
    st.sampled_from([*NAMES, "tag:a", "tag:b"]),
    st.sampled_from([None, "", "0", "1", "2"]),
)
GRAPHS = st.lists(
    st.tuples(st.sets(st.integers(0, 6), max_size=3), st.sets(st.sampled_from(["a", "b"]))), min_size=8, max_size=8
)


def written(term: tuple[str | None, str, str | None]) -> str:
    up, name, down = term
    return f"{'' if up is None else up + '+'}{name}{'' if down is None else '+' + down}"


def naive(jobs: list[Job], term: tuple[str | None, str, str | None]) -> set[str]:
    """For each job: is it the one, or is there a path of at most so many steps to or from one?"""
    up, name, down = term
    needs = {one.name: set(one.needs) for one in jobs}
    start = {one.name for one in jobs if one.name == name or name.removeprefix("tag:") in one.tags}

    def distance(low: str, high: str) -> float:
        """How many steps `low` is above `high`."""
        return 0 if low == high else 1 + min((distance(low, need) for need in needs[high]), default=float("inf"))

    found = set(start)
    for one in needs:
        for other in start:
            if up is not None and distance(one, other) <= float(up or "inf") and distance(one, other) != float("inf"):
                found.add(one)
            if (
                down is not None
                and distance(other, one) <= float(down or "inf")
                and distance(other, one) != float("inf")
            ):
                found.add(one)
    return found


@settings(max_examples=300, deadline=None)
@given(GRAPHS, st.lists(st.lists(TERMS, min_size=1, max_size=2), max_size=3), st.lists(TERMS, max_size=2))
def test_selection_when_the_graph_is_random_then_equals_a_naive_evaluation(
    rows: list[tuple[set[int], set[str]]], wanted: list[Any], unwanted: list[Any]
) -> None:
    jobs = [
        job(f"j{i}", *[f"j{n}" for n in sorted(needs) if n < i], tags=tuple(sorted(tags)))
        for i, (needs, tags) in enumerate(rows)
    ]
    present = {tag for one in jobs for tag in one.tags}
    all_terms = [term for terms in wanted for term in terms] + unwanted
    if any(name.startswith("tag:") and name[4:] not in present for _, name, _ in all_terms):
        return
    expected = set().union(*(set.intersection(*(naive(jobs, term) for term in terms)) for terms in wanted))
    if not wanted:
        expected = {one.name for one in jobs}
    expected -= set().union(*(naive(jobs, term) for term in unwanted))
    selectors = [",".join(map(written, terms)) for terms in wanted]
    if expected:
        assert selected_jobs(jobs, selectors, list(map(written, unwanted))) == expected
    else:
        with pytest.raises(UsageError, match="nothing is selected"):
            selected_jobs(jobs, selectors, list(map(written, unwanted)))


def planned(*jobs: Job) -> list[PlannedJob]:
    return [PlannedJob(one, "run", ("selected",)) for one in jobs]


def test_selection_when_a_job_is_left_out_then_is_skipped_or_reused() -> None:
    plan = planned(job("a"), job("b", "a"), job("c", "a", "b", deferred={"X": "{{ needs.a.outputs.x }}"}))
    reused = {"a": Reused("run-1", {"x": 1}), "b": Reused("run-1", {})}
    chosen = apply_selection(plan, {"c"}, {"a": reused["a"]})
    assert [(one.job.name, one.action, one.selected) for one in chosen] == [
        ("a", "reuse", True), ("b", "skip", False), ("c", "run", True),
    ]  # fmt: skip
    assert chosen[0].reused == reused["a"]
    assert [one.action for one in apply_selection(plan, {"b"}, reused)] == ["reuse", "run", "skip"]
    assert [one.action for one in apply_selection(plan, {"a"}, reused)] == ["run", "skip", "skip"]


@pytest.mark.parametrize(
    "user",
    [
        job("c", "a", deferred={"X": "{{ needs.a.outputs.x }}"}),
        job("c", "a", when="{{ needs.a.status == 'failed' }}"),
        job(
            "c",
            "a",
            "b",
            deferred={"X": "{{ needs.m | map(attribute='outputs.x') | max }}"},
            bindings={"m": ("b", "a")},
        ),
    ],
)
def test_selection_when_a_template_uses_what_is_left_out_then_says_what_to_do(user: Job) -> None:
    with pytest.raises(UsageError) as raised:
        apply_selection(planned(job("a"), job("b"), user), {"b", "c"}, {})
    assert "'a' is not selected" in str(raised.value)
    assert "`+c`" in str(raised.value.hint)
    assert "--from" in str(raised.value.hint)
