"""Failures of what kernels report: the line, in the words of each IPython, and text that is fit for a journal."""

from __future__ import annotations

import pytest

from dsjobs.notebook import failures
from dsjobs.notebook.reading import Cell

DASHES = "-" * 75
HEAD = "\x1b[31mKeyError\x1b[39m                         Traceback (most recent call last)"


def cell(source="a\nb\nc\nd\ne"):
    return Cell(index=4, number=3, id="abc", source=source)


def reply(*frames, count=5, name="KeyError", value="'x'"):
    return {
        "ename": name,
        "evalue": value,
        "execution_count": count,
        "traceback": [DASHES, HEAD, *frames, f"{name}: {value}"],
    }


@pytest.mark.parametrize(
    "frame",
    [
        "Cell \x1b[92mIn[5]\x1b[39m\x1b[92m, line 3\x1b[39m\n      2 b\n----> 3 c\n",
        "Cell \x1b[1;32mIn [5]\x1b[0m, in \x1b[0;36m<cell line: 3>\x1b[0;34m()\x1b[0m\n----> 3 c",
        "Input \x1b[0;32mIn [5]\x1b[0m, in \x1b[0;36m<cell line: 3>\x1b[0;34m()\x1b[0m\n----> 3 c",
        "\x1b[0;32m<ipython-input-5-0a1b2c>\x1b[0m in \x1b[0;36m<module>\x1b[0;34m\x1b[0m\n      2 b\n----> 3 c",
        "  Cell In[5], line 3\n    c = = 1\n        ^\nSyntaxError: invalid syntax\n",
    ],
)
def test_line_when_any_ipython_reports_it_then_it_is_found(frame):
    failure = failures.from_exception(cell(), reply(frame))

    assert (failure.line, failure.source_line) == (3, "c")
    assert (failure.cell_number, failure.cell_id, failure.exception) == (3, "abc", "KeyError: 'x'")


def test_line_when_the_exception_rose_elsewhere_then_it_is_where_this_cell_called():
    frames = ["Cell In[5], line 2\n", "Cell In[1], line 9, in f()\n", "File /lib/x.py:7, in g()\n"]

    assert failures.from_exception(cell(), reply(*frames)).line == 2


def test_line_when_exceptions_are_chained_then_it_is_that_of_the_last_one():
    frames = ["Cell In[5], line 1\n", "KeyError: 1", "\nDuring handling …\n", HEAD, "Cell In[5], line 4\n"]

    assert failures.from_exception(cell(), reply(*frames)).line == 4


def test_line_when_the_message_looks_like_a_frame_then_it_is_not_believed():
    failure = failures.from_exception(cell(), reply("Cell In[5], line 2\n", value="x\nCell In[5], line 4"))

    assert failure.line == 2


def test_line_when_the_cell_begins_with_empty_lines_then_they_count():
    failure = failures.from_exception(cell("\n  \na\nb"), reply("Cell In[5], line 2\n"))

    assert (failure.line, failure.source_line) == (4, "b")


@pytest.mark.parametrize(
    "frames", [(), ("File /lib/x.py:7, in g()\n",), ("Cell In[5], line 99\n",), ("Error in f : x",)]
)
def test_line_when_no_frame_is_of_this_cell_then_there_is_none(frames):
    failure = failures.from_exception(cell(), reply(*frames))

    assert (failure.line, failure.source_line) == (None, None)


def test_exception_when_it_is_long_then_the_message_has_its_beginning():
    failure = failures.from_exception(cell(), reply(value="first\nsecond"))
    long = failures.from_exception(cell(), reply(value="x" * 9000))

    assert failure.message == "cell 3 raised KeyError: first …"
    assert failure.exception == "KeyError: first\nsecond"
    assert len(long.message) < 350
    assert len(long.exception) == 2000
    assert max(map(len, long.traceback)) == 1000


def test_exception_when_the_kernel_says_nothing_then_there_is_still_a_failure():
    failure = failures.from_exception(cell(), {})

    assert (failure.message, failure.traceback) == ("cell 3 raised error", ())


def test_clean_when_text_has_colours_controls_and_surrogates_then_they_are_gone():
    dirty = "\x1b[1;31mred\x1b[0m\x1b]8;;http://x\x07link\x1b]8;;\x1b\\\tTab\r\x00\x08\x9b\u202e\ud800\nend"

    assert failures.clean(dirty) == "redlink\tTab?\nend"


def test_lines_when_there_are_too_many_then_the_last_ones_stay():
    kept = failures.lines("\n".join(map(str, range(1000))))

    assert kept[0] == "[800 lines left out]"
    assert kept[1:] == tuple(map(str, range(800, 1000)))


@pytest.mark.parametrize(
    ("code", "how", "hint"),
    [
        (0, "it exited with code 0", "exit()"),
        (7, "it exited with code 7", None),
        (-9, "it was killed by SIGKILL", "out of memory"),
        (-15, "it was killed by SIGTERM", "outside dsjobs"),
        (-6, "it crashed with SIGABRT", "native code"),
        (-99, "it was killed by signal 99", None),
        (None, "how it ended is not known", None),
    ],
)
def test_death_when_a_process_ends_then_its_code_is_put_into_words(code, how, hint):
    said, advice = failures.death(code)

    assert said == how
    assert hint in advice if hint else advice is None
