"""YAML as people read it, with the place of every key and value; whatever the bytes are, an answer and never an exception."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsjobs.cli import loading
from dsjobs.diagnostics import Diagnostic, text
from dsjobs.marks import MarkedList, MarkedMap, Position, Source, position_at
from dsjobs.spec import source

REPOSITORY = Path(__file__).parents[2]


def parse(written: str) -> source.Document:
    return source.parse(Source("f", written))


def data_of(written: str) -> Any:
    document = parse(written)
    assert not document.diagnostics
    return document.data


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-0", 0),
        ("+1", 1),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("none", "none"),
        ("2025-01-31", "2025-01-31"),
        ("2025-01-31T10:00:00Z", "2025-01-31T10:00:00Z"),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int '1'", 1),
        ("!!float 1", 1),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("9" * 400, int("9" * 400)),
        ("9" * 401, "9" * 401),
        ("<<", "<<"),
    ],
)
def test_scalar_when_read_has_the_value_of_yaml_1_2(written: str, value: Any) -> None:
    found = data_of(f"[{written}]" if written else "[a, ]")
    assert found[-1:] == ([value] if written else ["a"])
    assert type(found[-1]) is type(value if written else "a")


def test_scalar_when_it_is_not_a_number_is_nan() -> None:
    assert math.isnan(data_of("[.nan]")[0])


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("007", 'write "007" for text, or 7 for the number'),
        ("-07", 'write "-07" for text, or -7 for the number'),
        ("+00", 'write "+00" for text, or 0 for the number'),
        ("0" * 5000, "quote it, or remove the zeros"),
    ],
)
def test_number_when_it_has_leading_zeros_is_text_with_a_warning(written: str, hint: str) -> None:
    document = parse(f"[{written}]")
    assert document.data == [written]
    assert [(one.code, one.hint, one.severity) for one in document.diagnostics] == [("DSJ007", hint, "warning")]


def test_number_when_one_anchor_brings_it_twice_is_warned_of_once() -> None:
    assert len(parse("[&a 007, *a]").diagnostics) == 1


def test_key_when_it_is_not_text_becomes_text() -> None:
    assert data_of("{1: a, true: b, null: c, 2025-01-01: d, 'x': e, ? y : f}") == {
        "1": "a", "true": "b", "null": "c", "2025-01-01": "d", "x": "e", "y": "f",
    }  # fmt: skip


def test_key_when_it_has_an_anchor_or_a_tag_is_read() -> None:
    assert data_of("{&k a: 1, b: *k, !!str c: 2}") == {"a": 1, "b": "a", "c": 2}


def test_merge_key_when_there_are_several_maps_takes_the_first_and_keeps_what_is_written() -> None:
    data = data_of("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 0}\nd: {z: 0, <<: *b}\ne: {'<<': 1}\n")
    assert data["c"] == {"x": 0, "y": 1, "z": 2}
    assert data["d"] == {"z": 0, "y": 2}
    assert data["e"] == {"<<": 1}


TEXT = """\
a: &anchor
  key: value
  list: [one, {two: 2}]
b:
  <<: *anchor
  key: other
  block: |
    text
c: *anchor
"""


@pytest.mark.parametrize(
    ("path", "of_key", "place"),
    [
        (("a",), False, (1, 4)),
        (("a",), True, (1, 1)),
        (("a", "key"), False, (2, 8)),
        (("a", "key"), True, (2, 3)),
        (("a", "list", 1, "two"), False, (3, 21)),
        (("a", "list", 1, "two"), True, (3, 16)),
        (("b", "key"), False, (6, 8)),
        (("b", "list", 0), False, (3, 10)),
        (("b", "list"), True, (3, 3)),
        (("b", "block"), False, (7, 10)),
        (("c",), False, (9, 4)),
        (("c", "key"), False, (2, 8)),
        (("c", "missing"), False, (9, 4)),
        (("a", "list", 7), False, (3, 9)),
        (("a", "key", "below"), False, (2, 8)),
        ((), False, (1, 1)),
    ],
)
def test_position_when_asked_is_where_it_was_written(path: Any, of_key: bool, place: tuple[int, int]) -> None:
    assert position_at(data_of(TEXT), path, of_key=of_key) == Position("f", *place)


def test_positions_when_walked_are_those_that_are_asked_for() -> None:
    data = data_of(TEXT)
    merged, listed = data["b"], data["a"]["list"]
    assert [place for _, place in merged.positioned()] == [merged.value_position(key) for key in merged]
    assert [place for _, place in listed.positioned()] == [listed.item_position(index) for index in range(len(listed))]
    assert merged.key_position("nope") == merged.value_position("nope") == merged.position()


def test_position_when_plain_data_is_asked_is_none() -> None:
    assert position_at({"a": 1}, ("a",)) is None


def test_mapping_when_it_loses_a_key_remembers_it() -> None:
    data = data_of("{a: 1, b: 2}")
    assert data.lost == set()
    data.lose("a")
    data.lose_part_of("b")
    data.lose("never")
    assert (data, data.lost, data.value_position("b")) == ({"b": 2}, {"a", "b", "never"}, Position("f", 1, 11))


def problem(content: bytes) -> Diagnostic:
    found, problems = source.decode("f", content)
    diagnostics = problems or source.parse(found).diagnostics
    assert len(diagnostics) == 1
    assert text(diagnostics[0], [found]).isprintable() or "\n" in text(diagnostics[0], [found])
    return diagnostics[0]


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: \xff", (1, 4), "byte 0xff"),
        (b"\xef\xbb\xbfa: \xff", (1, 4), "byte 0xff"),
        ("é: ü\r\nb: ".encode() + b"\xe9", (2, 4), "byte 0xe9"),
        (b"a\rb\r\xff", (3, 1), "byte 0xff"),
        (b"\xff\xfea\0", (1, 1), "UTF-16"),
        (b"\xfe\xff\0a", (1, 1), "UTF-16"),
        (b"a: b\0", (1, 5), "U+0000"),
        (b"a: b\x07", (1, 5), "U+0007"),
        ("a: \x85\x9f".encode(), (2, 1), "U+009F"),
        ("a: \ufffe".encode(), (1, 4), "U+FFFE"),
        (b"a: \xed\xa0\x80", (1, 4), "byte 0xed"),
    ],
)
def test_bytes_when_they_are_not_text_are_refused_at_their_place(
    content: bytes, place: tuple[int, int], words: str
) -> None:
    found = problem(content)
    assert found.code == "DSJ002"
    assert found.position == Position("f", *place)
    assert words in found.message


def test_text_when_it_has_lone_surrogates_is_refused() -> None:
    document = source.parse(Source("f", "a: \udc80"))
    assert [one.code for one in document.diagnostics] == ["DSJ002"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "a:\n "])
def test_nesting_when_it_is_three_thousand_deep_is_one_diagnostic(opening: str) -> None:
    written = opening * 3000
    if opening == "a:\n ":
        written = "".join(" " * depth + "a:\n" for depth in range(3000))
    start = time.process_time()
    document = parse(written)
    assert [one.code for one in document.diagnostics] in (["DSJ006"], ["DSJ003"])
    assert document.data is None
    assert time.process_time() - start < 2


def test_nesting_when_it_is_as_deep_as_allowed_is_read() -> None:
    deep = "[" * source.MAX_DEPTH + "]" * source.MAX_DEPTH
    assert not parse(deep).diagnostics
    assert [one.code for one in parse(f"[{deep}]").diagnostics] == ["DSJ006"]


@pytest.mark.parametrize("written", ["[{}]", "[[{}]]", "{{a: [{}]}}"])
def test_values_when_they_are_more_than_allowed_are_one_diagnostic_at_the_first(written: str) -> None:
    around = written.count("[") + written.count("{{")
    most = ", ".join("x" * (20 - around))
    assert source.parse(Source("f", written.format(most)), most=20).size == 20
    document = source.parse(Source("f", written.format(most + ", y")), most=20)
    (found,) = document.diagnostics
    assert found.code == "DSJ006" and document.data is None
    assert found.position is not None and found.position.line == 1


def test_aliases_when_they_are_many_but_small_are_read() -> None:
    written = "a: &a [1, 2, 3]\nb:\n" + "  - *a\n" * 2000
    assert len(data_of(written)["b"]) == 2000


LARGE = """
import json, os, sys, time
from pathlib import Path
from dsjobs.cli import loading
start = time.process_time()
loaded = loading.load(Path(sys.argv[1]))
seconds = time.process_time() - start
# What getrusage says counts the process from before it became this program: that of the tests, which is larger by itself.
status = dict(line.split(":", 1) for line in open("/proc/self/status")) if os.path.exists("/proc/self/status") else {}
memory = int(status.get("VmHWM", "0 kB").split()[0])
print(json.dumps([[one.as_json() for one in loaded.diagnostics], seconds, memory]))
"""


def test_file_when_it_is_20_mb_with_one_mistake_is_one_diagnostic_in_bounded_time_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    text_of_a_job = "word " * 100
    job = "  - name: job_{}\n    notebook: a.ipynb\n    description: {}\n    inputs:\n      A: |\n        {}\n"
    jobs = [job.format(index, text_of_a_job, text_of_a_job) for index in range(19_000)]
    path.write_text("version: 1\njobs:\n" + "".join(jobs) + "    specs: c1.4\n", encoding="utf-8")
    assert path.stat().st_size > 20_000_000
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(path)],
        env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    diagnostics, seconds, kilobytes = json.loads(done.stdout)
    assert [(one["code"], one["line"], one["column"]) for one in diagnostics] == [("DSJ104", 2 + 6 * 19_000 + 1, 5)]
    assert seconds < 20
    assert kilobytes < 500_000


def mutations(content: bytes, random_: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 5, 20))):
        place = random_.randrange(len(changed) + 1)
        choice = random_.randrange(6)
        if choice == 0:
            del changed[place : place + random_.choice((1, 1, 5, 200))]
        elif choice == 1:
            changed[place : place + 1] = bytes([random_.randrange(256)])
        elif choice == 2:
            changed[place:place] = random_.choice(PIECES)
        elif choice == 3:
            end = place + random_.choice((10, 100, 1000))
            changed[place:place] = changed[place:end]
        elif choice == 4:
            other = random_.randrange(len(changed) + 1)
            changed[place : place + 20] = changed[other : other + 20]
        else:
            del changed[max(place, 200) :]
    return bytes(changed) or b" "


PIECES = [
    *(
        b"{{",
        b"}}",
        b"{%",
        b"%}",
        b"{#",
        b"[",
        b"]",
        b"{",
        b"}",
        b": ",
        b"- ",
        b"\n",
        b"\n\n",
        b"\t",
        b"'",
        b'"',
        b"|",
        b">",
    ),
    *(
        b"&a ",
        b"*a",
        b"*a ",
        b"<<: ",
        b"<<: *a",
        b"!!",
        b"!x ",
        b"%",
        b"---\n",
        b"...\n",
        b"#",
        b"? ",
        b"\\",
        b"\0",
        b"\r",
        b"\xff",
    ),
    *(
        b"null",
        b"~",
        b"007",
        b"1e999",
        b".nan",
        b"true",
        b"9" * 500,
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"needs: ",
    ),
    *(
        b"__class__",
        b" | map",
        b".upper()",
        b"vars.",
        b"needs.load.",
        b"matrix: {a: [1]}",
        b"secret: x",
        b"cell: x",
        b"name: ",
    ),
    "\U0001f680é́日".encode(),
]


def look(path: Path) -> None:
    """All that `validate` does, and the printed form of what it found."""
    loaded = loading.load(path)
    found = list(loaded.diagnostics)
    if loaded.spec is not None:
        found += loading.check_everywhere(loaded.spec, list(loaded.spec.environments.values()))
    assert found or loaded.spec is not None
    for one in found:
        assert text(one, loaded.sources)
        assert one.position is not None


def test_loader_when_the_bytes_of_a_file_are_changed_answers_in_time(tmp_path: Path) -> None:
    random_ = random.Random(42)
    contents = [(REPOSITORY / "jobs.example.yaml").read_bytes()]
    contents += [path.read_bytes() for path in sorted((REPOSITORY / "tests" / "cases" / "valid").glob("*.yaml"))]
    path = tmp_path / "jobs.yaml"
    path.write_bytes(b"jobs: 1")
    look(path)  # loads jsonschema
    for number in range(2000):
        changed = mutations(random_.choice(contents), random_)
        path.write_bytes(changed)
        start = time.process_time()
        try:
            look(path)
        except Exception as error:
            raise AssertionError(f"mutation {number}: {changed!r}") from error
        assert time.process_time() - start < 2, changed


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=" \n\t-:?[]{},#&*!|>'\"%@`abc01.~<\\\r\u0085\u2028é\ufeff", max_size=40))
@example("a: &a [*a]")
@example("? ")
@example("&a ")
@example("- - -")
@example("\ufeff\ufeffa")
def test_parser_when_given_any_text_answers_with_places_in_it(written: str) -> None:
    found = Source("f", written)
    document = source.parse(found)
    for one in document.diagnostics:
        assert one.position is not None
        assert 1 <= one.position.line <= len((written + ".").splitlines()) + 1
        assert text(one, [found])
    _check_marks(document.data)


def _check_marks(data: Any) -> None:
    if isinstance(data, MarkedMap | MarkedList):
        assert len(data.marks) == len(data)
        for item in data.values() if isinstance(data, MarkedMap) else data:
            _check_marks(item)
