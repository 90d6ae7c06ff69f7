"""Templates that try to get out of the sandbox, or to cost time or memory without end, by what they try.

Run as a program it renders them all, and prints as JSON what each came to and how much CPU time it took: for a process of
its own with little memory."""

from __future__ import annotations

import json
import resource
import sys
import time

MEMORY = 1 << 30
"""Bytes of address space that all of them together may take."""

BIG = "x" * 900_000

NAMES = {
    "vars": {
        "region": "eu",
        "list": list(range(50_000)),
        "big": BIG,
        "same": BIG[:-1] + "y",
        "map": {"a": 1, "b": [1, 2]},
        "data": {"upper": "x"},
    },
    "environment": "prod",
    "needs": {"a": {"outputs": {"x": "1"}, "status": "succeeded"}},
}


def loops(rounds: int, body: str) -> str:
    return f"{{% for a in range({rounds}) %}}{body}{{% endfor %}}"


def doubled(levels: int, body: str, width: int = 2, opening: str = "[", closing: str = "]") -> str:
    """A value v of `width ** levels` items in nested lists that share their parts, made by nested loops."""
    for level in range(levels, 0, -1):
        inner = ",".join([f"v{level - 1}" if level > 1 else "1"] * width)
        body = f"{{% for v{level} in [{opening}{inner}{closing}] %}}{body}{{% endfor %}}"
    return body


def grown(levels: int) -> str:
    """A text that four times itself replaces in each of nested loops."""
    head = "{% for v0 in ['xxxxxxxxxx'] %}"
    for level in range(1, levels):
        before = "~".join([f"v{level - 1}"] * 4)
        head += f"{{% for v{level} in [{before}] %}}"
    return head + f"{{{{ v{levels - 1} }}}}" + "{% endfor %}" * levels


ESCAPES = {
    "class": "{{ vars.__class__ }}",
    "class of a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class in brackets": "{{ vars['__class__'] }}",
    "class from two texts": "{{ vars['__cl' ~ 'ass__'] }}",
    "class from a sum": "{{ vars.region['__cl' + 'ass__'] }}",
    "class from a join": "{{ vars.region[['__', 'class', '__'] | join] }}",
    "class from a replacement": "{{ vars.region['xxclassxx' | replace('x', '_')] }}",
    "class from a slice": "{{ vars.region['a__class__b'[1:-1]] }}",
    "class in escapes": r"{{ vars['\x5f\x5fclass\x5f\x5f'] }}",
    "class in unicode escapes": r"{{ vars['\u005f_class__'] }}",
    "class reversed": "{{ vars.region['__ssalc__' | reverse] }}",
    "format": "{{ '{0.__class__}'.format(vars) }}",
    "format_map": "{{ '{a}'.format_map(vars) }}",
    "format as a filter": "{{ '%s' | format(1) }}",
    "format through map": "{{ ['%s'] | map('format', 1) | list }}",
    "percent": "{{ '%s' % vars }}",
    "percent from two texts": "{{ ('%' ~ 's') % vars }}",
    "attr": "{{ vars | attr('__class__') }}",
    "attr through map": "{{ ['x'] | map('attr', '__class__') | list }}",
    "attr through select": "{{ [vars] | select('attr') | list }}",
    "attribute of map": "{{ [vars] | map(attribute='__class__') | list }}",
    "path of map": "{{ [vars] | map(attribute='__class__.__mro__') | list }}",
    "attribute of sort": "{{ ['a', 'b'] | sort(attribute='__class__') | list }}",
    "attribute of groupby": "{{ ['a', 'b'] | groupby('__class__') | list }}",
    "attribute of unique": "{{ ['x', 'y'] | unique(attribute='__class__') | list }}",
    "attribute of max": "{{ ['x', 'y'] | max(attribute='__class__') }}",
    "attribute of sum": "{{ ['x'] | sum(attribute='__class__') }}",
    "attribute of join": "{{ ['x'] | join(attribute='__class__') }}",
    "globals": "{{ range.__globals__ }}",
    "self": "{{ self }}",
    "context of self": "{{ self._TemplateReference__context }}",
    "self in brackets": "{{ self['_TemplateReference__context'] }}",
    "cycler": "{{ cycler.__init__.__globals__ }}",
    "cycler itself": "{{ cycler }}",
    "joiner": "{{ joiner('x') }}",
    "lipsum": "{{ lipsum.__globals__['os'] }}",
    "lipsum called": "{{ lipsum(5) }}",
    "namespace": "{{ namespace(x=1) }}",
    "dict": "{{ dict(a=1) }}",
    "super": "{{ super() }}",
    "caller": "{{ caller() }}",
    "method": "{{ vars.region.upper }}",
    "object of a method": "{{ vars.region.upper.__self__ }}",
    "object of a method in brackets": "{{ vars.region.upper['__self__'] }}",
    "frame of a generator": "{{ ([1] | map('string')).gi_frame }}",
    "class of a loop": "{% for x in [1] %}{{ loop['__class__'] }}{% endfor %}",
    "loop itself": "{% for x in [1, 2, 3] %}{{ loop }}{% endfor %}",
    "cycle of a loop": "{% for x in [1] %}{{ loop.cycle(1, 2) }}{% endfor %}",
    "changed of a loop": "{% for x in [1] %}{{ loop.changed(1) }}{% endfor %}",
    "range itself": "{{ range }}",
    "default of a function": "{{ nope | default(range) }}",
    "method of data": "{{ vars.data.upper() }}",
    "text called": "{{ 'x'() }}",
    "method of round": "{{ 5 | round(1, 'factorial') }}",
    "hidden filter": "{{ [1] | _counted }}",
    "set": "{% set x = 1 %}",
    "set of a block": "{% set x %}y{% endset %}",
    "macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "include": "{% include 'x' %}",
    "import": "{% import 'x' as y %}",
    "from import": "{% from 'x' import y %}",
    "extends": "{% extends 'x' %}",
    "block": "{% block x %}{% endblock %}",
    "call block": "{% call x() %}{% endcall %}",
    "filter block": "{% filter upper %}x{% endfilter %}",
    "with": "{% with x = 1 %}{% endwith %}",
    "do": "{% do vars.list.append(1) %}",
    "autoescape": "{% autoescape true %}{% endautoescape %}",
    "recursion": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "append": "{{ vars.list.append(1) }}",
    "pop": "{{ vars.map.pop('a') }}",
    "update": "{{ vars.map.update({}) }}",
    "clear": "{{ vars.map.clear() }}",
    "setdefault": "{{ vars.map.setdefault('z', 1) }}",
    "random": "{{ [1, 2] | random }}",
    "pprint": "{{ vars | pprint }}",
    "encode": "{{ 'x'.encode() }}",
    "translate": "{{ 'x'.translate({}) }}",
}

UNDEFINED = {
    "name": "{{ nope }}",
    "attribute": "{{ nope.x }}",
    "attribute of data": "{{ vars.nope }}",
    "attribute of undefined data": "{{ vars.nope.x }}",
    "item": "{{ vars['nope'] }}",
    "item of a text": "{{ vars.region[10 ** 9] }}",
    "call": "{{ nope() }}",
    "in a text": "a{{ vars.nope }}",
    "in if": "{% if nope %}x{% endif %}",
    "in for": "{% for x in nope %}{% endfor %}",
    "in a list": "{{ [vars.nope] }}",
    "in a comparison": "{{ vars.nope == 1 }}",
    "in json": "{{ [vars.nope] | tojson }}",
    "in a filter": "{{ vars.nope | upper }}",
    "without else": "{{ 1 if false }}",
    "empty first": "{{ [] | first }}",
    "attribute of none": "{{ none.x }}",
}

FAILING = {
    "division": "{{ 1 / 0 }}",
    "remainder": "{{ 1 % 0 }}",
    "complex": "{{ (-2) ** 0.5 }}",
    "comparison of a complex": "{{ ((-2) ** 0.5) > 1 }}",
    "sum of texts": "{{ ['a'] | sum }}",
    "sum from a text": "{{ [1] | sum(start='x') }}",
    "abs of a text": "{{ 'x' | abs }}",
    "items of a number": "{{ 5 | items }}",
    "unsortable": "{{ [1, 'a'] | sort }}",
    "unhashable": "{{ [[1]] | unique | list }}",
    "list as a key": "{{ vars[[1]] }}",
    "list as a key that is written": "{{ {[1]: 2} }}",
    "map of nothing": "{{ [1] | map | list }}",
    "map of a wrong keyword": "{{ [1] | map(nope=1) | list }}",
    "step of zero": "{{ vars.list[::0] }}",
    "range of a keyword": "{{ range(stop=5) }}",
    "infinity": "{{ 1e999 }}",
    "negative infinity in a list": "{{ [-1e999] }}",
    "float overflow": "x{{ 1e300 * 1e300 }}",
    "wrong precision": "{{ 5 | round('x') }}",
    "lambda": "{{ (lambda: 1)() }}",
    "walrus": "{{ (x := 1) }}",
    "ellipsis": "{{ ... }}",
    "index of what is not there": "{{ vars.list.index('x') }}",
}

HUGE = {
    "text": "{{ 'x' * 10 ** 9 }}",
    "text from the right": "{{ 10 ** 9 * 'x' }}",
    "list": "{{ [1] * 10 ** 9 }}",
    "range": "{{ range(10 ** 9) | list }}",
    "range that is too long": "{{ range(10 ** 30) }}",
    "range backwards": "{{ range(0, -10 ** 9, -1) | list }}",
    "power": "{{ 2 ** 1000000000 }}",
    "power of powers": "{{ 10 ** (10 ** 10) }}",
    "powers": "{{ 9 ** (9 ** (9 ** 9)) }}",
    "product": "{{ " + " * ".join(["99999999999999999999"] * 400) + " }}",
    "round down": "{{ 5 | round(-999999999) }}",
    "round up": "{{ 5 | round(999999999, 'ceil') }}",
    "integer of digits": "{{ ('f' * 900000) | int(0, 16) }}",
    "integer in the text": "{{ " + "9" * 5000 + " }}",
    "hexadecimal in the text": "{{ 0x" + "f" * 60_000 + " }}",
    "underscores in a number": "{{ " + "1_" * 30_000 + "1 }}",
    "float in the text": "{{ " + "1" * 60_000 + ".0 }}",
    "center": "{{ 'x'.center(10 ** 9) }}",
    "center as a filter": "{{ 'x' | center(10 ** 9) }}",
    "ljust": "{{ 'x'.ljust(10 ** 9) }}",
    "zfill": "{{ 'x'.zfill(10 ** 9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10 ** 9) }}",
    "indent": "{{ 'x' | indent(10 ** 9) }}",
    "batch": "{{ [1] | batch(10 ** 9, 'x') | list }}",
    "slice": "{{ [1] | slice(10 ** 9) | list }}",
    "indented json": "{{ vars.map | tojson(indent=10000000) }}",
    "replace": "{{ ('x' * 1000) | replace('x', 'y' * 100000) }}",
    "replace of nothing": "{{ ('x' * 1000) | replace('', 'y' * 100000) }}",
    "join": "{{ range(1000) | join('x' * 100000) }}",
    "join of texts": "{{ (['x' * 1000] * 1100) | join }}",
    "sum of texts": "{{ vars.big + vars.big }}",
    "text of texts": "{{ vars.big }}{{ vars.big }}!",
    "concatenation": "{{ vars.big ~ vars.big }}",
    "split": "{{ vars.big.split('x') }}",
    "lists of lists": "{{ [[1] * 1000] * 1000 }}",
    "copies in a list": "{{ [vars.big, vars.big] }}",
    "growing text": grown(16),
}

ENDLESS = {
    "loops": "{% for a in range(10000) %}" + loops(10_000, "") + "{% endfor %}",
    "three loops": loops(1000, loops(1000, loops(1000, "x"))),
    "large bodies": loops(90_000, "{{ '' }}" * 1000),
    "long conditions": loops(90_000, "{% if " + " and ".join(["1"] * 1200) + " %}{% endif %}"),
    "long lists": loops(90_000, "{% if [" + ",".join(["1"] * 4500) + "] %}{% endif %}"),
    **{
        f"{what} in a loop": loops(90_000, f"{{{{ '' if {expression} }}}}" if " if " not in expression else expression)
        for what, expression in {
            "max": "vars.list | max",
            "min of a range": "range(90000) | min",
            "sum": "range(9000) | sum",
            "sort": "vars.list | sort",
            "list": "vars.list | list",
            "upper": "vars.big.upper()",
            "title": "vars.big | title",
            "trim": "vars.big | trim('x')",
            "split": "vars.big.split('y')",
            "count": "vars.big.count('y')",
            "find": "vars.big.find('y')",
            "startswith": "vars.big.startswith(vars.same)",
            "index": "vars.list.index(49999)",
            "count of a list": "vars.list.count(49999)",
            "in a text": "'y' in vars.big",
            "in a list": "'y' in vars.list",
            "equality": "vars.big == vars.same",
            "equality of lists": "[vars.list] == [vars.list[:]]",
            "test in": "5 is in(vars.list)",
            "test eq": "vars.big is eq(vars.same)",
            "test lower": "vars.big is lower",
            "slice": "vars.list[1:]",
            "slice of a text": "vars.big[1:]",
            "reverse": "vars.big | reverse",
            "concatenation": "vars.big ~ vars.big",
            "sum of texts": "vars.big + vars.big",
            "json": "vars.list | tojson",
            "default": "(vars.list | default(vars.list) | list)",
            "map": "vars.list | map('string') | list",
            "select": "vars.list | select('odd') | list",
            "groupby": "vars.list | groupby('x')",
            "dictsort": "vars.map | dictsort | list and vars.list | sort",
        }.items()
    },
    **{
        f"{what} of a tree": doubled(14, f"{{{{ {expression} }}}}", width=20)
        for what, expression in {
            "value": "v14",
            "upper": "v14 | upper",
            "string": "v14 | string",
            "json": "v14 | tojson",
            "join": "v14 | join",
            "trim": "v14 | trim",
            "int": "v14 | int",
            "float": "v14 | float",
            "equality": "v14 == v13",
            "unique": "[v14, v14] | unique | list",
            "sort": "[v14, v14] | sort",
            "max": "[v14, v14] | max",
            "replace": "v14 | replace('1', '2')",
            "concatenation": "v14 ~ v14",
            "dictsort": "{'a': v14} | dictsort",
            "index": "[v14].index(v13)",
            "key": "vars[v14]",
            "attribute": "v14.nope",
            "in a text": "v14 in 'x'",
            "sum with a number": "v14 + 1",
            "name of a filter": "[1] | map(v14) | list",
            "group": "[v14] | groupby(0)",
        }.items()
    },
    "hash of a tree": doubled(14, "{{ vars[v14] }}", 20, "(", ")"),
    "key of a tree": doubled(14, "{{ {v14: 1} }}", 20, "(", ")"),
    "unique of a tree of tuples": doubled(14, "{{ [v14] | unique | list }}", 20, "(", ")"),
    "maps in maps": "{{ range(1000) | " + " | ".join(["map('abs')"] * 700) + " | list }}",
}

DEEP = {
    "parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "some parentheses": "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
    "brackets": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "some brackets": "{{ " + "[" * 150 + "]" * 150 + " }}",
    "nots": "{{ " + "not " * 2400 + "1 }}",
    "signs": "{{ " + "-" * 9900 + "1 }}",
    "sums": "{{ " + "1+" * 4900 + "1 }}",
    "many sums": "{{ " + "1+" * 30_000 + "1 }}",
    "dots": "{{ vars" + ".a" * 4900 + ".__class__ }}",
    "filters": "{{ 1" + " | abs" * 1600 + " }}",
    "ifs": "{% if 1 %}" * 450 + "{% endif %}" * 450,
    "fors": "{% for x in [1] %}" * 300 + "{% endfor %}" * 300,
    "some fors": "{% for x in [1] %}" * 25 + "{% endfor %}" * 25,
    "conditions": "{{ " + "1 if 1 else " * 800 + "1 }}",
    "comparisons": "{{ nope" + "<1" * 4900 + " }}",
    "concatenations": "{{ 1" + "~1" * 4900 + "~ nope" + " }}",
    "calls": "{{ vars.region" + ".upper()" * 1100 + " }}",
    "elifs": "{% if 0 %}" + "{% elif 0 %}" * 800 + "{% elif nope %}{% endif %}",
    "braces": "{{" * 4900,
    "blocks": "{%" * 4900,
    "comments": "{#" * 30_000,
    "quotes": "{{ '" + "\\" * 9900 + " }}",
    "openings in quotes": "{{ '" * 2400,
    "spaces": "{{" + " " * 9900,
}

HOSTILE = {
    f"{group}: {name}": template
    for group, templates in {
        "escape": ESCAPES,
        "undefined": UNDEFINED,
        "failing": FAILING,
        "huge": HUGE,
        "endless": ENDLESS,
        "deep": DEEP,
    }.items()
    for name, template in templates.items()
}


def outcome(template: str) -> tuple[str, str, float]:
    """Refused, with the code and message; rendered, with the value; or the name of another exception; and the seconds of CPU."""
    from dsjobs.spec.sandbox import compile_text
    from dsjobs.spec.templates import TemplateError

    start = time.process_time()
    try:
        said = ("rendered", repr(compile_text(template).render(NAMES))[:200])
    except TemplateError as error:
        said = ("refused", f"{error.code} {error}")
    except BaseException as error:  # noqa: BLE001 - whatever comes out is the answer
        said = (type(error).__name__, str(error)[:200])
    return (*said, time.process_time() - start)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    json.dump({name: outcome(template) for name, template in HOSTILE.items()}, sys.stdout)
