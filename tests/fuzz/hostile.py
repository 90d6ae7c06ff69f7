"""Job files of one shape, as large as a small file can make it: each multiplies something with something else."""

from __future__ import annotations

import random
from collections.abc import Callable

from expressions import deep, template

HEAD = "version: 1\n"
JOB = "jobs: [{name: a, notebook: a.ipynb}]\n"


def _jobs(number: int, rest: Callable[[int], str]) -> str:
    return "jobs:\n" + "".join(f"- {{name: j{i}, notebook: a.ipynb{rest(i)}}}\n" for i in range(number))


def _deep(chance: random.Random) -> str:
    opening, closing = chance.choice(
        (("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("!!seq [", "]"), ("&a [", "]"))
    )
    number = chance.choice((10, 98, 99, 100, 101, 5000))
    return HEAD + "variables: {a: " + opening * number + "1" + closing * number + "}\n" + JOB


def _aliases(chance: random.Random) -> str:
    width, levels = chance.choice(((2, 30), (10, 9), (100, 3), (9, 6)))
    lines = ["variables:", "  v0: &v0 [x, x]"]
    lines += [f"  v{i}: &v{i} [{', '.join([f'*v{i - 1}'] * width)}]" for i in range(1, levels)]
    return HEAD + "\n".join(lines) + "\n" + _jobs(3, lambda i: f", inputs: {{A: *v{levels - 1}}}")


def _merges(chance: random.Random) -> str:
    number = chance.choice((10, 200, 1000))
    lines = ["variables:"] + [f"  v{i}: &v{i} {{k{i}: 1{f', <<: *v{i - 1}' if i else ''}}}" for i in range(number)]
    return HEAD + "\n".join(lines) + "\n" + JOB


def _scalars(chance: random.Random) -> str:
    number = chance.choice((1000, 60_000, 400_000))
    kind = chance.choice(("x", "9", "{{ vars.a }}", "{{", "{% if ", "é", "a b ", "\\\\", "(" * 50, "0", "-", "{#"))
    text = (kind * (number // len(kind) + 1))[:number]
    place = chance.choice(("name", "notebook", "spec", "timeout", "when", "description", "project", "pool", "run_if"))
    return HEAD + f"jobs: [{{name: a, notebook: a.ipynb}}, {{name: b, notebook: b.ipynb, {place}: '{text}'}}]\n"


def _matrix(chance: random.Random) -> str:
    keys = chance.choice((2, 8, 32))
    size = {2: 100, 8: 3, 32: 1}[keys] if chance.random() < 0.8 else 2
    value = chance.choice(("{i}", "'" + "x" * chance.choice((3, 900)) + "{i}'", "[{i}]", "{{a: {i}}}"))
    lists = ", ".join(f"k{key}: [{', '.join(value.format(i=i) for i in range(size))}]" for key in range(keys))
    names = [f"k{key}" for key in range(keys)]

    def entry(i: int) -> str:
        some = chance.sample(names, chance.randrange(1, keys + 1))
        more = f", n{i}: {i}" if chance.random() < 0.5 else ""
        return "{" + ", ".join(f"{key}: {value.format(i=chance.randrange(size))}" for key in some)[:3000] + more + "}"

    number = chance.choice((3, 200, 1000))
    exclude = ", ".join(entry(i).split(", n")[0].rstrip("}") + "}" for i in range(number))
    include = ", ".join(
        "{" + ", ".join(f"m{i}_{n}: {i}" for n in range(chance.choice((1, 30)))) + "}" for i in range(number)
    )
    parts = [lists, *(chance.sample([f"exclude: [{exclude}]", f"include: [{include}]"], chance.randrange(3)))]
    jobs = chance.choice((1, 1, 30))
    return (
        HEAD
        + f"defaults: {{matrix: {{{', '.join(parts)}}}}}\n"
        + _jobs(jobs, lambda i: f", needs: [j{i - 1}]" if i else ", inputs: {A: '{{ matrix.k0 }}'}")
    )


def _cells(chance: random.Random) -> str:
    jobs, cells = chance.choice(((1, 1000), (5, 1000), (49, 1000), (51, 1000), (300, 100)))
    values = ", ".join(map(str, range(cells)))
    inputs = chance.choice(("", ", inputs: {A: '{{ matrix.a }}', B: '{{ vars.v }}-{{ matrix.a }}'}"))
    needs = chance.choice(("", "all", "one"))
    environments = "".join(f"  e{i}: {{backend: local}}\n" for i in range(chance.choice((1, 3, 40))))
    first = f"- {{name: j0, notebook: a.ipynb, matrix: &m {{a: [{values}]}}{inputs}}}\n"
    rest = "".join(
        f"- {{name: j{i}, notebook: a.ipynb, matrix: {'{b: [1, 2, 3]}' if needs == 'all' else '*m'}"
        f"{inputs if needs != 'all' else ''}{f', needs: [j{i - 1}]' if needs else ''}}}\n"
        for i in range(1, jobs)
    )
    return HEAD + "variables: {v: 1}\nenvironments:\n" + environments + "jobs:\n" + first + rest


def _environments(chance: random.Random) -> str:
    number, jobs = chance.choice(((1, 500), (30, 300), (300, 300), (1000, 100)))
    lines = "".join(f"  e{i}: {{backend: {chance.choice(('local', 'datasphere', 'dask'))}}}\n" for i in range(number))
    return HEAD + "variables: {v: 1}\nenvironments:\n" + lines + _jobs(jobs, lambda i: ", inputs: {A: '{{ vars.v }}'}")


def _mistakes(chance: random.Random) -> str:
    number = chance.choice((100, 500, 1000))
    rest = chance.choice(
        (
            lambda i: f", needs: [jx{i}]",
            lambda i: f", nedes: {i}",
            lambda i: f", inputs: {{A: '{{{{ vars.w{i} }}}}'}}",
            lambda i: f", run_if: x{i}",
            lambda i: f", outputs: {{x: {{tpye: {i}}}}}",
            lambda i: f", pool: p{i}",
            lambda i: f", timeout: {i}x",
            lambda i: f", project: 'p {i}'",
            lambda i: f", needs: [j{(i + 1) % number}]",
            lambda i: f", inputs: {{A: '{{{{ needs.j{i}.outputs.o }}}}'}}",
            lambda i: f", 'a{i}': {i}",
            lambda i: f", needs: [j0], inputs: {{A: '{{{{ needs.j0.outputs.o{i} }}}}'}}",
        )
    )
    outputs = ", ".join(f"o_{i}" for i in range(300))
    variables = ", ".join(f"v{i}: {i}" for i in range(chance.choice((1, 400))))
    made = _jobs(number, lambda i: rest(i) if i else f", outputs: [{outputs}]")
    return HEAD + f"variables: {{{variables}}}\n" + made


def _templates(chance: random.Random) -> str:
    number = chance.choice((1, 50, 400))
    text = chance.choice(
        (template(chance), "{{ " + deep(chance) + " }}", "{{ vars.big }}" * 200, "{{ range(99999) | list | length }}")
    )
    quoted = text.replace("'", "''").replace("\n", " ")[: 60_000 // number]
    return (
        HEAD
        + "variables: {region: eu, big: '"
        + "x" * 10_000
        + "'}\n"
        + _jobs(number, lambda i: f", inputs: {{A: '{quoted}'}}")
    )


EXPENSIVE = (
    "{{ range(3000) | map('string') | sort | join(',') | length + KEY }}",
    "{% for i in range(9000) %}{{ i }}{% endfor %}{{ KEY }}",
    "{{ (vars.big * 90) | upper | lower | title | length + KEY }}",
    "{{ vars.big }}{{ vars.big }}{{ KEY }}",
    "{% for a in range(100) %}{% for b in vars.list %}{% if a == b %}x{% endif %}{% endfor %}{% endfor %}{{ KEY }}",
    "{{ vars.list | map('string') | map('upper') | unique | list }}{{ KEY }}",
    "{{ [vars.list] * 20 }}",
    "{{ vars.list }}",
    "{{ KEY * 2 }}",
    "{{ 3 ** 2000 % 7 + KEY }}",
    "{{ vars.list[9999] }}{{ KEY }}",
    "{{ vars.list | sum }}{{ run.id }}{{ KEY }}",
    "{{ git.commit }}{{ KEY }}",
)


def _multiplied(chance: random.Random) -> str:
    """Many cells, jobs, inputs or environments, times a template that does much."""
    cells, jobs, inputs, environments = chance.choice(
        ((300, 1, 1, 1), (1000, 1, 1, 1), (1000, 9, 1, 1), (1, 1, 300, 1), (1, 200, 1, 1), (1, 1000, 1, 3), (1, 1, 1, 300),
         (100, 10, 5, 2), (1000, 1, 30, 1))
    )  # fmt: skip
    matrix = f", matrix: {{k: [{', '.join(map(str, range(cells)))}]}}" if cells > 1 else ""
    key = "matrix.k" if matrix else "vars.one"
    texts = [chance.choice(EXPENSIVE).replace("KEY", key) for _ in range(inputs)]
    place = chance.choice(("inputs", "inputs", "inputs", "spec", "when", "nested"))
    if place == "inputs" or inputs > 1:
        rest = ", inputs: {" + ", ".join(f'A{i}: "{text}"' for i, text in enumerate(texts)) + "}"
    elif place == "nested":
        parts = [f'a: "{texts[0]}"', f"b: [{', '.join('1' * chance.choice((5000, 40_000)))}]"]
        chance.shuffle(parts)
        rest = f", inputs: {{A: {{{', '.join(parts)}}}}}"
    else:
        rest = f', {place}: "{texts[0]}"'
    head = f"variables: {{one: 1, big: {'x' * 10_000}, list: [{', '.join(map(str, range(3000)))}]}}\nenvironments:\n"
    head += "".join(f"  e{i}: {{backend: local}}\n" for i in range(environments))
    shared = f"defaults: {{notebook: a.ipynb{matrix}{rest}}}\njobs:\n"
    return HEAD + head + shared + "".join(f"- {{name: j{i}}}\n" for i in range(jobs))


def _contracts(chance: random.Random) -> str:
    number = chance.choice((10, 300))
    contract = chance.choice(
        (
            "{pattern: '(a+)+$'}",
            "{pattern: '(((((a*)*)*)*)*)*b'}",
            "{$ref: '#'}",
            "{$ref: '#/properties/a'}",
            "{pattern: '" + "(" * 2000 + "'}",
            "{" + "anyOf: [{" * 30 + "type: string" + "}]" * 30 + "}",
            "{enum: [" + ", ".join(map(str, range(2000))) + "]}",
            "{multipleOf: 0}",
            "{type: integer, minimum: 1e400}",
            "{pattern: '[" + "a-z" * 3000 + "]'}",
            "{properties: {a: {$ref: '#/$defs/a'}}, $defs: {a: {$ref: '#/$defs/a'}}}",
        )
    )
    variable = contract[:-1] + ", default: '" + "a" * 40 + "!'}" if contract.endswith("}") else contract
    return HEAD + f"variables: {{v: {variable}}}\n" + _jobs(number, lambda i: f", outputs: {{x: {contract}}}")


def _selection(chance: random.Random) -> str:
    number = chance.choice((100, 800))
    return HEAD + _jobs(
        number, lambda i: f", tags: [t{i % 7}], needs: [{', '.join(f'j{n}' for n in range(max(0, i - 20), i))}]"
    )


SHAPES = (
    _deep,
    _aliases,
    _merges,
    _scalars,
    _matrix,
    _matrix,
    _cells,
    _environments,
    _mistakes,
    _templates,
    _multiplied,
    _multiplied,
    _contracts,
    _selection,
)


LARGEST = 200_000
"""Characters: a file of megabytes takes its time as of right."""


def hostile(chance: random.Random) -> str:
    """A job file of some shape."""
    while True:
        made = chance.choice(SHAPES)(chance)
        if len(made) <= LARGEST:
            return made
