"""A backend that lives in memory and does what a script says: every way in which a real one may behave, without a notebook."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dsjobs.backends.protocol import Capabilities, Notify, Submission
from dsjobs.diagnostics import Diagnostic
from dsjobs.errors import BackendError
from dsjobs.model import ExecutedNotebook, Failure, Job, KernelStart, Operation


@dataclass(frozen=True)
class Script:
    """What becomes of a job.

    `looks`: it is done at this poll; 0 is done when it is submitted, None is not done until somebody says so (`end`, a
    notify, a cancel). `notify`: who says that it is done, `early` in `submit` before it returns, `thread` from a thread of
    its own at some moment. `refusals` are raised by the first submits, `poll_errors` by the first polls, `cancel_errors` by
    the first cancels; `bug` by every submit. `runs_before_refusing`: a refused submit has started the job all the same.
    """

    outputs: Mapping[str, Any] | None = field(default_factory=dict)
    failure: Failure | None = None
    kernel_start: KernelStart | None = None
    is_cancelled: bool = False
    looks: int | None = 0
    notify: Literal["early", "thread"] | None = None
    refusals: tuple[BackendError, ...] = ()
    poll_errors: tuple[BackendError, ...] = ()
    cancel_errors: tuple[BackendError, ...] = ()
    bug: BaseException | None = None
    poll_bug: BaseException | None = None
    runs_before_refusing: bool = False


@dataclass
class _Run:
    job: str
    script: Script
    notify: Notify
    operation: Operation
    looks: int = 0


class MemoryBackend:
    """Runs nothing. `scripts` by job, or by `job#attempt`, `default` for the others; what it was asked is in `submits`,
    `polls`, `cancels`, `forgotten`. What is forgotten it does not know any more.

    With `journal` every submit reads that file first and fails where its intent is not there with the same key.
    `on_submit` is called with the job's name in each submit, in the worker's thread.
    """

    name = "memory"

    def __init__(
        self,
        scripts: Mapping[str, Script] | None = None,
        *,
        default: Script | None = None,
        journal: Path | None = None,
        on_submit: Callable[[str], None] | None = None,
        survives: bool = False,
    ) -> None:
        self.capabilities = Capabilities(outputs=True, logs=False, executed_notebook=False, survives=survives)
        self._scripts = scripts or {}
        self._default = default or Script()
        self._journal = journal
        self._on_submit = on_submit
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._by_key: dict[str, _Run] = {}
        self._by_id: dict[str, _Run] = {}
        self.submits: list[tuple[str, str]] = []
        self.submissions: dict[str, Submission] = {}
        self.polls: Counter[str] = Counter()
        self.cancels: list[str] = []
        self.forgotten: set[str] = set()
        self.most_in_flight = 0
        self.is_closed = False

    def check(self, jobs: Sequence[Job]) -> list[Diagnostic]:
        return []

    def submit(self, submission: Submission, *, idempotency_key: str, notify: Notify) -> Operation:
        if self._on_submit is not None:
            self._on_submit(submission.job)
        if self._journal is not None:
            _require_intent(self._journal, submission, idempotency_key)
        of_job = self._scripts.get(submission.job, self._default)
        script = self._scripts.get(f"{submission.job}#{submission.attempt}", of_job)
        with self._lock:
            tries = sum(job == submission.job for job, _ in self.submits)
            self.submits.append((submission.job, idempotency_key))
            self.submissions[submission.job] = submission
            if script.bug is not None:
                raise script.bug
            if tries < len(script.refusals):
                if script.runs_before_refusing:
                    self._started(submission, script, idempotency_key, notify)
                raise script.refusals[tries]
            run = self._started(submission, script, idempotency_key, notify)
            answer = run.operation
        if script.notify == "early":
            self.end(submission.job)
        elif script.notify == "thread":
            threading.Thread(target=self.end, args=(submission.job,)).start()
        return answer

    def poll(self, operation_id: str) -> Operation:
        with self._lock:
            run = self._by_id.get(operation_id)
            if run is None or operation_id in self.forgotten:
                raise BackendError(f"no operation '{operation_id}'", retryable=False)
            self.polls[run.job] += 1
            if run.script.poll_bug is not None:
                raise run.script.poll_bug
            if self.polls[run.job] <= len(run.script.poll_errors):
                raise run.script.poll_errors[self.polls[run.job] - 1]
            run.looks += 1
            if run.script.looks is not None and run.looks >= run.script.looks:
                self._end(run)
            return run.operation

    def cancel(self, operation_id: str) -> None:
        with self._lock:
            if operation_id not in self._by_id:
                raise BackendError(f"no operation '{operation_id}'", retryable=False)
            run = self._by_id[operation_id]
            self.cancels.append(run.job)
            tries = self.cancels.count(run.job)
            if tries <= len(run.script.cancel_errors):
                raise run.script.cancel_errors[tries - 1]
            if not run.operation.done:
                run.operation = Operation(run.operation.id, done=True, cancelled=True)
        run.notify(operation_id)

    def forget(self, operation_id: str) -> None:
        with self._lock:
            run = self._by_id.get(operation_id)
            if run is not None and run.operation.done:
                self.forgotten.add(operation_id)

    def close(self) -> None:
        self.is_closed = True

    def end(self, job: str) -> None:
        """Bring a job to its scripted end, and notify."""
        with self._lock:
            run = next(run for run in self._by_id.values() if run.job == job)
            self._end(run)
        run.notify(run.operation.id)

    def nudge(self, job: str) -> None:
        """Notify although nothing has changed, as a backend may."""
        run = next(run for run in self._by_id.values() if run.job == job)
        run.notify(run.operation.id)

    def notify_of(self, job: str) -> Notify:
        """What a job's submit was given to notify with."""
        return next(run.notify for run in self._by_id.values() if run.job == job)

    @property
    def jobs_started(self) -> list[str]:
        """The jobs that run or ran, in the order in which they began."""
        return [run.job for run in self._by_key.values()]

    # The lock is held in what follows.

    def _started(self, submission: Submission, script: Script, key: str, notify: Notify) -> _Run:
        run = self._by_key.get(key)
        if run is None:
            run = _Run(submission.job, script, notify, Operation(f"op-{next(self._numbers)}"))
            self._by_key[key] = self._by_id[run.operation.id] = run
            in_flight = sum(not run.operation.done for run in self._by_key.values())
            self.most_in_flight = max(self.most_in_flight, in_flight)
            if script.looks == 0 and script.notify is None:
                self._end(run)
        return run

    def _end(self, run: _Run) -> None:
        if not run.operation.done:
            script = run.script
            run.operation = Operation(
                run.operation.id,
                done=True,
                failure=script.failure,
                cancelled=script.is_cancelled,
                outputs=script.outputs,
                executed=ExecutedNotebook(None, None),
                kernel_start=script.kernel_start,
            )


def _require_intent(journal: Path, submission: Submission, key: str) -> None:
    records = [json.loads(line) for line in journal.read_bytes().splitlines()]
    intents = [record for record in records if record["record"] == "job_submitting" and record["job"] == submission.job]
    if not intents or intents[-1]["idempotency_key"] != key:
        raise AssertionError(f"{submission.job} was submitted, and its intent is not on disk")
    if intents[-1]["request"] != submission.request.as_json():
        raise AssertionError(f"{submission.job} was submitted with another request than its intent says")
