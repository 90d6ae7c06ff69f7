"""What all templates of a file may cost together: a small file cannot multiply them into minutes, and a large one has enough."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dsjobs.cli import loading
from dsjobs.diagnostics import Diagnostic
from dsjobs.spec.allowance import PER_JOB, START
from dsjobs.spec.expand import expand
from dsjobs.spec.rendering import Shared
from dsjobs.spec.templates import compile_template
from dsjobs.spec.variables import resolve

SLOW = "{{ range(3000) | map('string') | sort | join(',') | length + %s }}"
ITEMS = ", ".join(["1"] * 20_000)


def found_in(text: str, tmp_path: Path) -> list[Diagnostic]:
    """What is wrong with the values of a file, in all of its environments."""
    path = tmp_path / "jobs.yaml"
    path.write_text("version: 1\n" + text, encoding="utf-8")
    loaded = loading.load(path)
    assert loaded.spec is not None and not loaded.diagnostics
    return loading.check_everywhere(loaded.spec, list(loaded.spec.environments.values()))


ONE = "jobs:\n- name: a\n  notebook: a.ipynb\n"


def matrix(cells: int) -> str:
    return f"  matrix: {{k: [{', '.join(map(str, range(cells)))}]}}\n"


def inputs(number: int, template: str) -> str:
    return "  inputs:\n" + "".join(f'    A{i}: "{template % i}"\n' for i in range(number))


FILES = {
    "a matrix": ONE + matrix(300) + f'  inputs: {{A: "{SLOW % "matrix.k"}"}}\n',
    "inputs": ONE + inputs(300, SLOW),
    "jobs": 'defaults: {inputs: {A: "{% for i in range(9000) %}{{ i }}{% endfor %}"}}\njobs:\n'
    + "".join(f"- {{name: j{i}, notebook: a.ipynb}}\n" for i in range(200)),
    "small templates": ONE + matrix(1000) + inputs(500, "{{ matrix.k * %d }}"),
    "long texts": f"variables: {{v: {'x' * 100_000}}}\n" + ONE + inputs(1000, "{{ vars.v }}%d{{ vars.v }}"),
    "long values": ONE + matrix(1000) + f'  inputs: {{A: {{k: "{{{{ matrix.k }}}}", b: [{ITEMS}]}}}}\n',
    "conditions": ONE
    + matrix(300)
    + "  when: \"{{ range(3000) | map('string') | sort | join(',') | length > matrix.k }}\"\n",
    "specs": ONE + matrix(300) + f'  spec: "c{SLOW % "matrix.k"}"\n',
    "specs of long lists": f"variables: {{v: [{ITEMS}]}}\n" + ONE + matrix(1000) + '  spec: "{{ vars.v }}"\n',
    "environments": "environments:\n"
    + "".join(f"  e{i}: {{backend: local}}\n" for i in range(300))
    + ONE
    + inputs(1, SLOW),
}


@pytest.mark.parametrize("name", FILES)
def test_templates_when_they_are_multiplied_then_the_one_that_goes_over_is_refused_in_time(name, tmp_path):
    compile_template("{{ 1 + 1 }}").render({})  # which imports Jinja
    start = time.process_time()
    found = found_in(FILES[name], tmp_path)
    took = time.process_time() - start
    assert [one.code for one in found] == ["DSJ206"]
    assert "the templates of this file do too much work together" in found[0].message
    assert found[0].position is not None and found[0].hint is not None
    assert took < 4


def test_template_when_it_goes_over_then_is_named_and_what_comes_before_it_is_not(tmp_path):
    first = f'jobs:\n- {{name: a, notebook: a.ipynb, inputs: {{A: "{SLOW % 1}"}}}}\n'
    (found,) = found_in(f"{first}- name: b\n  notebook: b.ipynb\n{inputs(100, SLOW)}", tmp_path)
    assert found.position is not None
    assert 6 < found.position.line < 60


DOTTED = "{A: '{{ vars.alpha }}', B: 's3://{{ vars.region }}/{{ environment }}', C: '{{ vars.tables }}'}"
JINJA = (
    '{A: \'{{ vars.alpha * 2 }}\', B: \'{{ "full" if environment == "prod" else "sample" }}\', '
    "C: 's3://{{ vars.region | upper }}/{{ vars.tables | join(\",\") }}'}"
)


@pytest.mark.parametrize(("three", "most"), [(DOTTED, 0.1), (JINJA, 0.6)])
def test_templates_when_ten_thousand_jobs_have_three_ordinary_ones_then_stay_far_below(three, most, tmp_path):
    head = "version: 1\nvariables: {alpha: 1, region: eu, tables: [a, b, c]}\n"
    jobs = "".join(f"- {{name: j{i}, notebook: a.ipynb}}\n" for i in range(10_000))
    path = tmp_path / "jobs.yaml"
    path.write_text(f"{head}defaults: {{inputs: {three}}}\njobs:\n{jobs}", encoding="utf-8")
    spec = loading.load(path).spec
    assert spec is not None
    (environment,) = spec.environments.values()
    values, _ = resolve(spec, environment, environ={}, given=())
    shared = Shared()
    _, problems = expand(spec, environment, values, None, shared)
    all_of_it = START + 10_000 * PER_JOB
    assert problems == []
    assert all_of_it - shared.allowance.left < most * all_of_it


def test_value_when_it_has_no_templates_then_all_jobs_and_cells_share_its_text(tmp_path):
    cells = ", ".join(map(str, range(1000)))
    jobs = f"jobs:\n- {{name: a, notebook: a.ipynb, matrix: {{k: [{cells}]}}}}\n- {{name: b, notebook: a.ipynb}}\n"
    text = f"variables: {{v: [{ITEMS}]}}\ndefaults: {{inputs: {{A: '{{{{ vars.v }}}}', B: [{ITEMS}]}}}}\n{jobs}"
    start = time.process_time()
    assert found_in(text, tmp_path) == []
    assert time.process_time() - start < 4


BESIDE_MUCH = {
    "waits for the run": ("{{ run.id }}", ""),
    "has no value here": ("{{ git.commit }}", ""),
    "fails": ("{{ vars.none[0] }}", "input 'A': the template uses a name without a value: the list has no 0"),
    "asks for a matrix": ("{{ matrix.k }}", "this default asks for a matrix, which job 'j0' does not have"),
}


@pytest.mark.parametrize("name", BESIDE_MUCH)
@pytest.mark.parametrize("first", [True, False])
def test_value_when_it_has_much_beside_a_template_then_jobs_and_environments_do_not_multiply_that(
    name, first, tmp_path
):
    template, message = BESIDE_MUCH[name]
    much, one = f"b: [{ITEMS}]", f'a: "{template}"'
    value = f"{one}, {much}" if first else f"{much}, {one}"
    jobs = "".join(f"- {{name: j{i}, notebook: a.ipynb}}\n" for i in range(300))
    jobs += "- {name: m, notebook: a.ipynb, matrix: {k: [1]}}\n"
    environments = "".join(f"  e{i}: {{backend: local}}\n" for i in range(10))
    head = f"variables: {{none: {{type: array, default: []}}}}\nenvironments:\n{environments}"
    start = time.process_time()
    found = found_in(f"{head}defaults: {{inputs: {{A: {{{value}}}}}}}\njobs:\n{jobs}", tmp_path)
    assert time.process_time() - start < 4
    assert [one.message for one in found] == ([message] if message else [])


def test_templates_when_the_file_has_few_jobs_then_each_may_do_as_much_as_one_alone(tmp_path):
    text = "{{ range(40000) | list | length }}"
    jobs = "".join(f'- {{name: j{i}, notebook: a.ipynb, inputs: {{A: "{text}"}}}}\n' for i in range(3))
    assert found_in(f"jobs:\n{jobs}", tmp_path) == []
