"""The sandbox is closed and bounded, and gives for dotted names what the fast path gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dsjobs.spec import sandbox, templates
from dsjobs.spec.templates import MAX_CHARACTERS, TemplateError, compile_template

sys.path.insert(0, str(Path(__file__).parent))
from hostile_templates import HOSTILE

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[str, str, float]]:
    """What every hostile template came to, in a process with one GiB of address space."""
    program = Path(__file__).with_name("hostile_templates.py")
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, str(program)], env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers: dict[str, tuple[str, str, float]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("name", HOSTILE)
def test_template_when_it_is_hostile_is_refused_in_time(
    name: str, outcomes: Mapping[str, tuple[str, str, float]]
) -> None:
    kind, said, seconds = outcomes[name]
    assert kind == "refused", said
    assert seconds < 2


def evaluate(text: str, **names: Any) -> Any:
    return compile_template(text).render(names)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ 2 ** 10 * 3 }}", 3072),
        ("{{ 7 // 2 }}{{ 7 % 2 }}", "31"),
        ("{{ 5 | replace(5, 6) }}", "6"),
        ("{{ 12.345 | round(1) }}", 12.3),
        ("{{ 1234 | round(-2) }}", 1200),
        ("{{ [3, 1, 2] | sort(reverse=true) }}", [3, 2, 1]),
        ("{{ [1, 2, 3] | select('odd') | map('string') | join('+') }}", "1+3"),
        ("{{ [{'a': 2}, {'a': 1}] | map(attribute='a') | max }}", 2),
        ("{{ [{'a': 1}, {'a': 1}] | groupby('a') | length }}", 1),
        ("{% for a, b in [[1, 2], [3, 4]] if a > 1 %}{{ a + b }}{% else %}none{% endfor %}", "7"),
        ("{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none"),
        ("{% for x in range(2000) %}{% if loop.last %}{{ x }}{% endif %}{% endfor %}", "1999"),
        ("{{ {'a': 1, 2: 'b'} }}", {"a": 1, "2": "b"}),
        ("{{ (1, 'x') }}", [1, "x"]),
        ("{{ 1 < 2 < 3 }}", True),
        ("{{ 'a' in ['a', 'b'] and 3 not in [1, 2] }}", True),
        ("{{ 'abc'[1:] ~ [1, 2, 3][:2] }}", "bc[1,2]"),
        ("{{ 'x' * 3 }}", "xxx"),
        ("{{ [0] * 3 }}", [0, 0, 0]),
        ("{{ 'A b'.lower().split(' ') | last }}", "b"),
        ("{{ {'a': 1}.get('b', 5) }}", 5),
        ("{{ none }}", None),
        ("{{ nope | default('x') }}", "x"),
        ("{{ nope is defined }}", False),
        ("{{ 1.0 }}|{{ 0.1 }}|{{ true }}", "1.0|0.1|true"),
        ("{{ '<&>' }}", "<&>"),
        ("{% if 1 is odd and 'A' is upper %}yes{% endif %}", "yes"),
    ],
)
def test_expression_when_it_is_allowed_has_its_value(text: str, value: Any) -> None:
    result = evaluate(text)
    assert result == value
    assert type(result) is type(value)


def test_text_when_it_is_longer_than_allowed_is_refused_by_both_ways() -> None:
    names = {"vars": {"x": "a" * (MAX_CHARACTERS // 2)}}
    for compiled in (compile_template, sandbox.compile_text):
        assert len(compiled("{{ vars.x }}{{ vars.x }}").render(names)) == MAX_CHARACTERS
        with pytest.raises(TemplateError, match="more than 1000000 characters"):
            compiled("{{ vars.x }}{{ vars.x }}!").render(names)


def test_template_when_it_is_too_long_is_refused() -> None:
    with pytest.raises(TemplateError, match="more than 65536 characters"):
        compile_template("{{ vars.x }}" * 6000)


@pytest.mark.parametrize("text", ["{{ vars.x", "{{ 1 | nope }}", "{{ vars.x }}" * 6000])
def test_template_when_it_is_refused_again_says_the_same_in_an_error_of_its_own(text: str) -> None:
    errors = []
    for _ in range(3):
        with pytest.raises(TemplateError) as caught:
            compile_template(text)
        errors.append(caught.value)
    assert len({(error.code, str(error), error.hint, error.at) for error in errors}) == 1
    assert len(set(map(id, errors))) == 3


def test_references_when_names_are_bound_by_loops_are_those_from_outside() -> None:
    text = (
        "{% for x in vars.list if x > vars.least %}{{ x.y }}{{ loop.index }}{{ needs['my-job'].outputs.z }}"
        "{% else %}{{ vars.none }}{% endfor %}{{ vars.a.upper() }}{{ vars.items() }}{{ range(vars.n) }}{{ vars[vars.key].q }}"
    )
    found = [str(reference) for reference in compile_template(text).references]
    assert sorted(found) == sorted(
        [
            "vars.list",
            "vars.least",
            "needs.my-job.outputs.z",
            "vars.none",
            "vars.a",
            "vars",
            "vars.n",
            "vars",
            "vars.key",
        ]
    )


@pytest.mark.parametrize("text", ["{{ x }}", "{% for x in [1] %}{% endfor %}{{ x }}", "{% for x in x %}{% endfor %}"])
def test_references_when_a_name_is_used_outside_its_loop_has_it(text: str) -> None:
    assert [str(reference) for reference in compile_template(text).references] == ["x"]


NAME = st.sampled_from(
    ["vars", "a", "b", "list", "items", "upper", "loop", "true", "none", "self", "not", "range", "x1", "n_"]
)
LITERAL = st.text(alphabet="{}%#-_ab.\n\r\t '\"\\é🚀", max_size=6)
SPACE = st.sampled_from(["", " ", "  ", "\t"])
EXPRESSION = st.builds(
    lambda before, path, after: "{{" + before + ".".join(path) + after + "}}",
    SPACE,
    st.lists(NAME, min_size=1, max_size=4),
    SPACE,
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=4),
    max_leaves=8,
)


def result(compiled: Any, text: str, names: Mapping[str, Any]) -> tuple[Any, ...]:
    try:
        template = compiled(text)
    except TemplateError as error:
        return ("refused", error.code)
    references = tuple(map(str, template.references))
    try:
        value = template.render(names)
    except TemplateError as error:
        return ("failed", references, error.code)
    return ("rendered", references, type(value).__name__, repr(value))


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(EXPRESSION | LITERAL, min_size=1, max_size=4).map("".join),
    names=st.dictionaries(NAME, DATA, max_size=5),
)
@example(text="{{ a.b }}", names={"a": {"b": None}})
@example(text="{{ a.b }}\r\n", names={"a": {"b": 1}})
@example(text="x{{ a }}", names={"a": 0.1})
@example(text="{{ a.items }}", names={"a": {"items": 1}})
@example(text="{{ a.upper }}", names={"a": "text"})
@example(text="{{{a}}", names={"a": 1})
@example(text="{{ a }} }}", names={"a": [1, {"b": None}]})
def test_dotted_names_when_read_by_both_ways_give_the_same(text: str, names: dict[str, Any]) -> None:
    assume(templates._dotted_parts(text) is not None and "{{" in text)
    assert result(compile_template, text, names) == result(sandbox.compile_text, text, names)


def test_template_when_python_would_warn_of_its_code_then_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TemplateError, match="without a value"):
            sandbox.compile_text("{{ true[0] }}").render({})
