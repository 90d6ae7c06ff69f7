"""A file with thousands of mistakes has thousands of diagnostics, in a time that grows no faster than the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsjobs.cli import loading

NUMBER = 4_000


def jobs(rest: Callable[[int], str]) -> str:
    return "jobs:\n" + "".join(f"  - {{name: job_{i}, notebook: a.ipynb, {rest(i)}}}\n" for i in range(NUMBER))


def variables(name: str, indent: str) -> str:
    return "".join(f"{indent}{name}{i}: {i}\n" for i in range(NUMBER))


FILES = {
    "unknown needs": (jobs(lambda i: f"needs: [jop_{i}]"), "DSJ302", NUMBER),
    "one unknown need": (jobs(lambda i: "needs: [jub_1]"), "DSJ302", NUMBER),
    "needs that are not in needs": (jobs(lambda i: f"inputs: {{A: '{{{{ needs.jop_{i}.status }}}}'}}"), "DSJ203", NUMBER),
    "cycles": (jobs(lambda i: f"needs: [job_{i ^ 1}]"), "DSJ303", NUMBER // 2),
    "one cycle": (jobs(lambda i: f"needs: [job_{(i + 1) % NUMBER}]"), "DSJ303", 1),
    "unknown variables": (
        f"variables:\n{variables('v', '  ')}" + jobs(lambda i: f"inputs: {{A: '{{{{ vars.w{i} }}}}'}}"), "DSJ202", NUMBER
    ),
    "undeclared variables": (
        f"variables:\n{variables('v', '  ')}environments:\n  local:\n    backend: local\n    variables:\n"
        f"{variables('w', '      ')}jobs: [{{name: a, notebook: a.ipynb}}]\n",
        "DSJ207",
        NUMBER,
    ),
    "long templates": (jobs(lambda i: "inputs: {A: '" + "{{ vars.x }} " * 200 + "'}"), "DSJ202", NUMBER),
    "one broken template": (jobs(lambda i: "inputs: {A: '{{ vars" + ".x" * 100 + "'}"), "DSJ201", NUMBER),
    "broken contracts": (jobs(lambda i: f"outputs: {{x: {{properties: {{a{i % 9}: {{typ: 1}}}}}}}}"), "DSJ108", NUMBER),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_file_when_it_has_thousands_of_mistakes_is_read_in_time(name: str, tmp_path: Path) -> None:
    body, code, number = FILES[name]
    path = tmp_path / "jobs.yaml"
    path.write_text("version: 1\n" + body, encoding="utf-8")
    start = time.process_time()
    found = loading.load(path).diagnostics
    assert [one.code for one in found] == [code] * number
    assert time.process_time() - start < 10


def test_file_when_it_has_hundreds_of_environments_then_not_all_are_checked_and_it_says_so(tmp_path: Path) -> None:
    environments = "environments:\n" + "".join(f"  e{i}: {{backend: local}}\n" for i in range(300))
    path = tmp_path / "jobs.yaml"
    few = "".join(
        f"  - {{name: job_{i}, notebook: a.ipynb, inputs: {{A: '{{{{ environment }}}}'}}}}\n" for i in range(300)
    )
    path.write_text(f"version: 1\n{environments}jobs:\n{few}", encoding="utf-8")
    start = time.process_time()
    spec = loading.load(path).spec
    assert spec is not None
    found = loading.check_everywhere(spec, list(spec.environments.values()))
    assert time.process_time() - start < 4
    message = "only the first 33 of 300 environments were checked: they have more than 10,000 jobs"
    assert [(one.severity, one.message) for one in found] == [("warning", message)]
    assert "--env e33" in str(found[0].hint)
