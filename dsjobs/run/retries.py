"""Whether an attempt that failed is followed by another, and after how long."""

from __future__ import annotations

from collections.abc import Callable

from dsjobs.model import Failure, Retry

JITTER = 0.1
"""How much of a delay may be added to it, up to the longest, so that jobs that failed together are not tried again together."""


def next_delay(
    retry: Retry, attempt: int, failure: Failure | None, spread: Callable[[float, float], float]
) -> float | None:
    """Seconds until the next attempt after this one (from 1), or None where none follows. `spread(low, high)` gives a random
    number between the two."""
    if failure is None or attempt >= retry.max_attempts or failure.kind not in retry.on:
        return None
    # Of a backoff of 2 the thousandth power is no float any more.
    growth = retry.backoff ** min(attempt - 1, 100)
    delay = retry.delay * growth * spread(1.0, 1.0 + JITTER) if retry.delay else 0.0
    return round(min(delay, retry.max_delay), 3)
