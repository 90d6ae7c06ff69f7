"""The files that `docs/job-file.md` shows are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsjobs.cli import loading
from dsjobs.diagnostics import text
from dsjobs.plan.selectors import selected_jobs
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

PAGE = (Path(__file__).parents[1] / "docs" / "job-file.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_job_file_when_the_page_shows_it_then_is_valid(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("teams").mkdir()
    Path("shared").mkdir()
    Path("teams/a.yaml").write_text("jobs: [{name: a, notebook: a.ipynb}]\n", encoding="utf-8")
    Path("shared/variables.yaml").write_text("variables: {region: eu}\n", encoding="utf-8")
    Path("jobs.yaml").write_text(block, encoding="utf-8")
    loaded = loading.load(Path("jobs.yaml"))
    assert loaded.spec is not None
    found = [*loaded.diagnostics, *loading.check_everywhere(loaded.spec, list(loaded.spec.environments.values()))]
    assert [text(one) for one in found] == []


def test_selectors_when_the_page_shows_them_then_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    tagged = BLOCKS[0].replace("outputs: [auc]", "outputs: [auc]\n    tags: [nightly]\n    project: analytics")
    path.write_text(tagged, encoding="utf-8")
    spec = loading.load(path).spec
    assert spec is not None
    environment = spec.environments["local"]
    jobs, _ = expand(spec, environment, resolve(spec, environment, environ={}, given=())[0], None)
    cells = [cell for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for cell in re.findall(r"`(.*?)`", row)]
    assert len(cells) >= 10
    for selector in cells:
        if not selector.startswith(("result:", "state:")):
            assert selected_jobs(jobs, [selector], [])
