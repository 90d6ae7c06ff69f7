"""Which jobs run, as --select, --exclude and --from say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsjobs.cli.earlier import EarlierRun
from dsjobs.cli.fingerprints import latest, read_code
from dsjobs.cli.loading import Choice
from dsjobs.model import EarlierManifest, Environment, Job, Plan, PlannedJob, Status
from dsjobs.plan.caching import changed
from dsjobs.plan.fingerprint import fingerprinted
from dsjobs.plan.graph import start_order
from dsjobs.plan.reuse import reused
from dsjobs.plan.selectors import Earlier, asks_an_earlier_run
from dsjobs.run import store


@dataclass(frozen=True, slots=True)
class Selection:
    """The flags. `earlier`: the run that --from names; `state`: where runs are kept, None for beside the job file."""

    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    earlier: EarlierRun | None = None
    state: Path | None = None

    def choice(self, name: str, environment: Environment, base: Path) -> Choice:
        """The choice among the jobs of the file called `name`, which lies in `base`.

        `result:` and `state:` ask the run that --from names, else the latest one of this file and environment. What jobs that are
        not selected gave in that run stands.
        """
        if self.earlier is not None:
            return _by_run(self, base, self.earlier.id, self.earlier.manifest)
        if asks_an_earlier_run((*self.select, *self.exclude)):
            found = latest(self.state or base / store.STATE_FOLDER, name, environment.name)
            if found is not None:
                return _by_run(self, base, *found)
        return Choice(self.select, self.exclude)


ALL = Selection()


def _by_run(selection: Selection, base: Path, run: str, manifest: Mapping[str, Any]) -> Choice:
    def earlier(jobs: Sequence[Job], environment: Environment) -> Earlier:
        results = {job["name"]: job["status"] for job in manifest["jobs"]}
        plan = _plan(jobs, environment)
        return Earlier(results, changed(fingerprinted(plan, read_code(base, plan)), manifest))

    stand = {job["name"]: reused(job, run) for job in manifest["jobs"] if job["status"] == Status.SUCCEEDED}
    against = EarlierManifest(run, manifest["digest"])
    return Choice(selection.select, selection.exclude, earlier, stand, against)


def _plan(jobs: Sequence[Job], environment: Environment) -> Plan:
    """All of `jobs`, as far as what they are made from matters."""
    by_name = {job.name: job for job in jobs}
    order = start_order({job.name: job.needs for job in jobs})
    return Plan(
        name="",
        file="",
        digest="",
        environment=environment.name,
        backend=environment.backend,
        settings=environment.settings,
        variables={},
        max_parallel=1,
        jobs=tuple(PlannedJob(by_name[name], "run", ("",)) for name in order),
    )
