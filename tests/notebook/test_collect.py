"""What becomes of a notebook's variables on their way out, without a kernel: the code that a kernel would run, run here."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import pathlib
import sys

import numpy as np
import pandas as pd
import pytest

from dsjobs.model import Failure
from dsjobs.notebook import outputs
from dsjobs.notebook.collect import collect


def answer(room=outputs.MAX_BYTES, **namespace):
    """The failure, else the values, that `read` makes of the variables, after the same trip through text as a kernel's reply."""
    text = collect(namespace, list(namespace), room)._repr_mimebundle_()["application/x-dsjobs-outputs"]
    data = {"application/x-dsjobs-outputs": text}
    read = outputs.read({"user_expressions": {"outputs": {"status": "ok", "data": data}}})
    return read.failure or read.values


class Level(enum.IntEnum):
    LOW = 1


class Mood(enum.Enum):
    GOOD = 1


Point = collections.namedtuple("Point", "x y")
INDEXED = pd.Series([1, 2], index=["a", "b"])
FRAME = pd.DataFrame({"n": [1, 2], "day": pd.to_datetime(["2025-01-01", "2025-01-02"]), 3: ["a", "b"]})
LOOP = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (2**300, 2**300),
        (-0.5, -0.5),
        ("ä\n", "ä\n"),
        ((1, [2]), [1, [2]]),
        (Point(1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({"a": {"b": ()}}, {"a": {"b": []}}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Level.LOW, 1),
        (pathlib.Path("a") / "b", "a/b"),
        (datetime.date(2025, 1, 2), "2025-01-02"),
        (datetime.datetime(2025, 1, 2, 3, tzinfo=datetime.UTC), "2025-01-02T03:00:00+00:00"),
        (datetime.timedelta(minutes=1.5), 90.0),
        (np.int64(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array(7), 7),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.datetime64("2025-01-02T03:04"), "2025-01-02T03:04"),
        (np.array(["2025-01-02"], dtype="datetime64[ns]"), ["2025-01-02T00:00:00.000000000"]),
        (np.timedelta64(1500, "ms"), 1.5),
        (pd.Timestamp("2025-01-02 03:04"), "2025-01-02T03:04:00"),
        (pd.Timedelta(minutes=2), 120.0),
        (pd.Series([1.5, 2.5]), [1.5, 2.5]),
        (INDEXED, {"a": 1, "b": 2}),
        (INDEXED.index, ["a", "b"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (pd.array([1, 2], dtype="Int64"), [1, 2]),
        (FRAME, [{"n": 1, "day": "2025-01-01T00:00:00", "3": "a"}, {"n": 2, "day": "2025-01-02T00:00:00", "3": "b"}]),
        (INDEXED.rename("n").rename_axis("k").to_frame(), [{"k": "a", "n": 1}, {"k": "b", "n": 2}]),
        ({"table": INDEXED}, {"table": {"a": 1, "b": 2}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_when_it_is_json_or_can_become_it_then_it_arrives(value, plain):
    got = answer(x=value)

    assert got == {"x": plain}
    assert type(got["x"]) is type(plain)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "output 'x' is NaN, which JSON does not have"),
        (np.float64("-inf"), "output 'x' is infinite, which JSON does not have"),
        ([1, {"a": float("nan")}], "output 'x': x[1]['a'] is NaN, which JSON does not have"),
        (np.array([1.0, np.nan]), "output 'x': x[1] is NaN, which JSON does not have"),
        (pd.NaT, "output 'x' is a missing value (NaT)"),
        (pd.NA, "output 'x' is a missing value (<NA>)"),
        (np.datetime64("NaT"), "output 'x' is a missing value (NaT)"),
        (np.ma.masked, "output 'x' has masked values, which are missing"),
        (np.ma.array([1, 2], mask=[0, 1]), "output 'x' has masked values, which are missing"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "output 'x' is a frame with two columns of the same name"),
        (pd.DataFrame({"a": [1.0, None]}), "output 'x': x[1]['a'] is NaN, which JSON does not have"),
        (1j, "output 'x' is of type complex, which is not JSON"),
        (b"x", "output 'x' is of type bytes, which is not JSON"),
        (decimal.Decimal("0.1"), "output 'x' is of type decimal.Decimal, which is not JSON"),
        (Mood.GOOD, "Mood, which is not JSON"),
        (print, "output 'x' is of type builtin_function_or_method, which is not JSON"),
        (sys, "output 'x' is of type module, which is not JSON"),
        ({1: 2}, "output 'x' has the key 1 of type int; keys are text in JSON"),
        ({b"k" * 50: 2}, "output 'x' has the key (a key of 53 characters) of type bytes; keys are text in JSON"),
        ({"k" * 50: float("nan")}, "x[(a key of 52 characters)] is NaN, which JSON does not have"),
        ("\ud800", "half of a surrogate pair"),
        ({"\ud800": 1}, "half of a surrogate pair"),
        (LOOP, "is nested too deeply, or contains itself"),
        (10**5000, "output 'x' cannot be converted: ValueError: Exceeds the limit"),
        ("x" * 9_000_000, "output 'x' is a text of 9000000 characters, which is too long"),
        (range(3), "output 'x' is of type range, which is not JSON"),
        (np.zeros(5_000_000), "output 'x' has 5000000 items, which is too many"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_when_it_cannot_become_json_then_the_failure_names_the_place_and_the_type(value, message):
    got = answer(x=value)

    assert isinstance(got, Failure)
    assert got.kind == "contract"
    assert message in got.message
    assert got.hint


def test_value_when_its_class_misbehaves_then_only_this_output_fails():
    class Odd(dict):
        def items(self):
            raise RuntimeError("no")

    got = answer(x=Odd(a=1), y=1)

    assert got.message == "output 'x' cannot be converted: RuntimeError: no"


def test_missing_when_it_was_not_assigned_then_modules_and_private_names_are_not_offered():
    namespace = {"row_count": 1, "_rowcount": 2, "rows": sys, "In": [], "get_ipython": print}
    text = collect(namespace, ["rowcount"], 1000)._text

    assert json.loads(text)["assigned"] == ["row_count"]


def test_size_when_all_together_is_too_much_then_nothing_is_sent():
    text = collect({"a": "x" * 60, "b": "y" * 60}, ["a", "b"], 100)._text

    assert json.loads(text) == {"values": {}, "size_bytes": 124, "problems": [], "missing": [], "assigned": []}


def test_files_when_they_are_open_then_they_are_flushed(tmp_path):
    with open(tmp_path / "a.txt", "w") as text, open(tmp_path / "b.bin", "wb") as raw:
        text.write("text")
        raw.write(b"raw")
        collect({}, [], 1000)
        assert (tmp_path / "a.txt").read_text() == "text"
        assert (tmp_path / "b.bin").read_bytes() == b"raw"


def test_reply_when_it_has_no_answer_then_the_failure_says_what_the_kernel_said():
    interrupted = {"user_expressions": {"outputs": {"status": "error", "ename": "KeyboardInterrupt", "evalue": "stop"}}}

    assert outputs.read(interrupted).failure.message == "the outputs could not be read: KeyboardInterrupt: stop"
    assert outputs.read({}).failure.message == "the outputs could not be read: error: the kernel did not answer"
