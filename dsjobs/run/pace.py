"""When to look at an operation next: soon enough to lose no time, seldom enough to cost nothing.

Rules. Where jobs of the same kind have ended before, the first look comes just before the shortest of them ended, then a few
come until the longest; else, and after that, each look comes after a share of the time that the operation has taken so far.
Never more often than the backend bears, for one operation and for all in flight together, nor sooner than it hints; no more
seldom than `LONGEST`, where it bears that, so that an early failure is seen. Times are seconds.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dsjobs.backends.protocol import Looks
from dsjobs.model import Request

LONGEST = 15.0
"""Seconds after which an operation is looked at whatever is expected of it."""

SHARE = 0.05
"""The next look comes after this share of the time so far."""

JITTER = 0.2
"""How much an interval varies, so that many operations do not come at once."""

LOOKS = 16
"""Looks between the shortest and the longest time that is expected: an operation is seen done after half of them."""

KEPT = 64
"""Durations remembered of each kind."""

_SMOOTHING = 64
"""Looks over which it is averaged how many are at operations that take longer than expected."""


def kind(request: Request) -> str:
    """What operations must have in common to be expected to take as long as each other: project and notebook."""
    return f"{request.project}/{request.target}"


def earlier_durations(manifest: Mapping[str, Any]) -> dict[str, list[float]]:
    """Kind to how long its jobs took in the run of a manifest, those that succeeded."""
    found: dict[str, list[float]] = {}
    for job in manifest["jobs"]:
        request = job["request"]
        target = request.get("notebookId") or request.get("cellId")
        if job["status"] == "succeeded" and job["duration"] is not None:
            found.setdefault(f"{request['projectId']}/{target}", []).append(job["duration"])
    return found


class Durations:
    """How long operations of each kind took, the latest `KEPT` of them."""

    def __init__(self, earlier: Mapping[str, Iterable[float]] | None = None) -> None:
        """`earlier`: kind to durations known from before, the oldest first."""
        self._latest: dict[str, deque[float]] = {}
        self._sorted: dict[str, list[float]] = {}
        for kind, durations in (earlier or {}).items():
            for duration in durations:
                self.add(kind, duration)

    def add(self, kind: str, duration: float) -> None:
        """Remember that an operation of `kind` took `duration`."""
        latest = self._latest.setdefault(kind, deque())
        ordered = self._sorted.setdefault(kind, [])
        if len(latest) == KEPT:
            ordered.remove(latest.popleft())
        latest.append(duration)
        insort(ordered, duration)

    def expected(self, kind: str) -> tuple[float, float] | None:
        """Between which times an operation of `kind` will probably end; None where nothing is known."""
        ordered = self._sorted.get(kind)
        if not ordered:
            return None
        last = len(ordered) - 1
        # Of few durations the ends say little, so the window is widened.
        slack = 0.1 * ordered[last // 2] / len(ordered) ** 0.5
        return max(0.0, ordered[round(0.05 * last)] - slack), ordered[round(0.95 * last)] + slack


class Pace:
    """The intervals of one run."""

    def __init__(self, looks: Looks, durations: Durations, spread: Callable[[float, float], float]) -> None:
        """`spread(low, high)` gives a random number between the two."""
        self._looks = looks
        self._durations = durations
        self._spread = spread
        self._late = 0.0  # the share of looks, of late, at operations that took longer than expected

    def ended(self, kind: str, duration: float) -> None:
        """Take note of how long an operation took."""
        self._durations.add(kind, duration)

    def seen_ended(self, kind: str, elapsed: float, running_at: float | None) -> None:
        """The same, where only this is known: it was seen to have ended when it had taken `elapsed`, and to run when it had taken
        `running_at`; None where no look came before."""
        if running_at is not None:
            self._durations.add(kind, (running_at + elapsed) / 2)
            return
        # It ended before the first look, so before it was expected. Were it taken for as long as it seems, each first look would
        # come later than the last one.
        window = self._durations.expected(kind)
        self._durations.add(kind, min(elapsed, window[0]) if window is not None else elapsed)

    def next_look(self, kind: str, elapsed: float, in_flight: int, hint: float | None = None) -> float:
        """Seconds until the next look at an operation that has taken `elapsed` so far, with `in_flight` of them in all."""
        before, wanted, crowd = self._wanted(kind, elapsed)
        budget = in_flight / self._looks.a_second
        floor = max(self._looks.shortest, crowd * budget)
        varied = floor * self._spread(1 - JITTER, 1 + JITTER) if wanted <= floor else wanted
        return max(min(before + varied, max(LONGEST, budget)), hint or 0.0)

    def _wanted(self, kind: str, elapsed: float) -> tuple[float, float, float]:
        """Seconds until the operation may end, how long after that a look would be worth its while, and which share of the
        operations want one as often."""
        window = self._durations.expected(kind)
        if window is None:
            return 0.0, SHARE * elapsed, 1.0
        low, high = window
        is_late = elapsed > high
        self._late += (is_late - self._late) / _SMOOTHING
        share = (high - low) / (high + low)
        if is_late:
            return 0.0, SHARE * elapsed, max(share, self._late)
        # Half of those in the window have ended. At its very start none has: a look then would be wasted.
        return max(0.0, low - elapsed), (high - low) / LOOKS, share
