"""The selectors that `docs/job-file.md` lists are understood; that its files are valid is held by `tests/docs`."""

from __future__ import annotations

import re
from pathlib import Path

from dsjobs.cli import loading
from dsjobs.plan.selectors import selected_jobs
from dsjobs.spec.expand import expand
from dsjobs.spec.variables import resolve

PAGE = (Path(__file__).parents[1] / "docs" / "job-file.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


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
