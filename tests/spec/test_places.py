"""A name in a template is found where it stands in the file, however its value is written."""

from __future__ import annotations

import pytest

from dsjobs.marks import MarkedMap, Source
from dsjobs.spec import source
from dsjobs.spec.places import place_inside

NAME = "vars.x"


@pytest.mark.parametrize(
    "written",
    [
        "a: ab {{ vars.x }} {{ vars.xy }}\n",
        "a: vars.x {{ vars.xy }} {{ a.vars.x }} {{ HERE }}",
        "a: '{{ vars.xy }} ''{{ HERE }}'''",
        'a: "\\"\\\\\\t\\u00e9\\x41\\U0001F680{{ HERE }}"',
        'a: "one\\\n  two {{ HERE }}"',
        'a: "one\n\n\n  two {{ HERE }}"',
        "a: 'one\n\n  two {{ HERE }}'",
        "a: one\n  two {{ HERE }}",
        "a: |\n  one\n\n    two {{ HERE }}\n",
        "a: |2-\n    one\n  two {{ HERE }}\n",
        "a: >+\n  one\n  two\n\n  {{ HERE }}\n",
        "a: &anchor !!str '{{ HERE }}'",
        "a: &anchor |\n  {{ HERE }}\n",
        "a: '{% if HERE %}{% endif %}'",
        "a: 日本🚀 {{ HERE }}",
        "{a: '{{ HERE }}', b: 1}",
        "a: '{{ vars.x }}'\nb: '{{ vars.x }}'",
        "a: '{{HERE}}'",
        "a: '{{ f(HERE.y) }}'",
    ],
)
def test_name_when_it_is_in_the_file_is_found(written: str) -> None:
    place = written.find("HERE") if "HERE" in written else written.index(NAME)
    found = Source("f", written.replace("HERE", NAME))
    data = source.parse(found).data
    assert isinstance(data, MarkedMap)
    position = place_inside(found, data.value_position("a"), data["a"], NAME)
    lines = written[:place].split("\n")
    assert (position.line, position.column) == (len(lines), len(lines[-1]) + 1)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("a: '{{ vars[\"x\"] }}'", (1, 14)),
        ("a: '{{ nothing }}'\nb: '{{ vars.x }}'", (1, 4)),
        ('a: "{{ vars\\x2ex }}"', (1, 8)),
        ("b: &b '{{ vars.x }}'\na: *b", (2, 4)),
    ],
)
def test_name_when_it_is_written_otherwise_has_the_nearest_place(written: str, place: tuple[int, int]) -> None:
    found = Source("f", written)
    data = source.parse(found).data
    position = place_inside(found, data.value_position("a"), data["a"], NAME)
    assert (position.line, position.column) == place
