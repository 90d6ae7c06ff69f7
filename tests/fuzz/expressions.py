"""Random template expressions: everything that the sandbox knows, and some of what it must refuse."""

from __future__ import annotations

import random

from dsjobs.spec.grammar import METHODS
from dsjobs.spec.sandbox import _FILTER_NAMES, _TEST_NAMES

FILTERS = sorted(_FILTER_NAMES)
TESTS = sorted(_TEST_NAMES)
CALLS = sorted({name for names in METHODS.values() for name in names})
NAMES = (
    "vars.region vars.alpha vars.list vars.map vars.big vars.nope environment git.commit git.dirty matrix.seed "
    "matrix.model run.id run.started_at needs.first.outputs.x needs.first.status needs.cells needs.nope.outputs.x "
    "loop.index item self range"
).split()
CONSTANTS = (
    "0 1 -1 2 10 1000 1e3 1e308 1e308*10 10**3 '' 'a' 'a b' 'é' '\\ud800' none true false [] [1,2,3] ['a','b'] {} {'a':1} "
    "(1,2)"
).split(" ")
OPERATORS = "+ - * / // % ** ~ and or == != < > <= >= in is".split()
FORBIDDEN = (
    "{% set x = 1 %}",
    "{% macro m() %}x{% endmacro %}",
    "{% include 'x' %}",
    "{{ ''.__class__ }}",
    "{{ vars['__class__'] }}",
    "{{ lipsum() }}",
    "{{ 9**9**9 }}",
    "{{ 'x' * 10**9 }}",
    "{{ range(10**9) | list }}",
    "{% for a in range(10**6) %}{% for b in range(10**6) %}x{% endfor %}{% endfor %}",
    "{{",
    "}}",
    "{%",
    "{#",
    "{{ }}",
    "{{ {{ }} }}",
    "{% if %}",
    "{% for %}",
    "{{ 'x }}",
)


def template(chance: random.Random) -> str:
    """A text with templates in it."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.choice(FORBIDDEN)
    if kind < 6:
        return "{{ " + expression(chance, chance.randrange(5)) + " }}"
    if kind < 7:
        return "".join(template(chance) for _ in range(chance.randrange(4)))
    if kind < 8:
        body = expression(chance, 2)
        return f"{{% if {expression(chance, 2)} %}}{{{{ {body} }}}}{{% else %}}x{{% endif %}}"
    if kind < 9:
        return f"{{% for item in {expression(chance, 2)} %}}{template(chance)}{{% endfor %}}"
    return "{{ " + deep(chance) + " }}"


def expression(chance: random.Random, depth: int) -> str:
    """One expression."""
    if depth <= 0:
        return chance.choice(chance.choice((NAMES, CONSTANTS)))
    one, other = expression(chance, depth - 1), expression(chance, chance.randrange(depth))
    kind = chance.randrange(9)
    if kind < 2:
        return f"{one} {chance.choice(OPERATORS)} {other}"
    if kind < 5:
        argument = chance.choice(
            ("", f"({other})", f"({one}, {other})", "('x')", "(attribute='x')", f"('{chance.choice(FILTERS)}')")
        )
        return f"({one}) | {chance.choice(FILTERS)}{argument}"
    if kind == 5:
        return f"({one}) is {chance.choice(('', 'not '))}{chance.choice(TESTS)}{chance.choice(('', f'({other})'))}"
    if kind == 6:
        return f"({one}).{chance.choice(CALLS)}({chance.choice(('', other))})"
    if kind == 7:
        return f"({one})[{chance.choice((other, ':', '1:', '::-1', f':{other}'))}]"
    return f"({one} if {other} else {chance.choice(CONSTANTS)})"


def deep(chance: random.Random) -> str:
    """An expression of one shape, nested or repeated many times."""
    number = chance.choice((50, 300, 1000, 3000))
    shape = chance.randrange(7)
    if shape == 0:
        return "(" * number + "1" + ")" * number
    if shape == 1:
        return "[" * number + "1" + "]" * number
    if shape == 2:
        return "1" + " + 1" * number
    if shape == 3:
        return "'a'" + f" | {chance.choice(FILTERS)}" * min(number, 500)
    if shape == 4:
        return "-" * number + "1"
    if shape == 5:
        return "not " * number + "true"
    return "vars" + ".a" * number
