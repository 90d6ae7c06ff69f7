"""Which calls are made again, and when: a few quick tries here; whatever takes longer is left to the executor's own timers.

Rules. A call that is not safe to repeat is made once; the submit is safe because of its Idempotency-Key. Between tries passes a
random part of a growing interval (full jitter), and at least what the service asked for; when that is long, the error says how
long, and the lane (`pace.py`) lets no other call through meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dsjobs.backends.datasphere.status import ServiceError

T = TypeVar("T")

WORTH_WAITING = 10.0
"""Seconds of quiet, asked for by the service, that a call waits here; for longer ones it comes back later."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is tried, and the growing bound of the random time (seconds) between two tries."""

    tries: int
    base: float = 0.5
    longest: float = 4.0

    def delay(self, failures: int, spread: Callable[[], float]) -> float:
        """Seconds after so many failures; `spread` gives a number from 0 to 1."""
        return spread() * min(self.longest, self.base * 2.0 ** (failures - 1))


SUBMIT = Patience(4)
LOOK = Patience(2, base=0.2)  # a connection that broke while idle; everything else comes with the next look
ASK = Patience(3)


def repeat(
    once: Callable[[], T],
    patience: Patience,
    *,
    is_safe: bool,
    sleep: Callable[[float], None],
    spread: Callable[[], float],
) -> T:
    """The result of `once`, called again while it raises a retryable ServiceError and patience lasts."""
    failures = 0
    while True:
        try:
            return once()
        except ServiceError as error:
            failures += 1
            wish = error.retry_after or 0.0
            if not error.retryable or not is_safe or wish > WORTH_WAITING or failures >= patience.tries:
                raise
        sleep(max(wish, patience.delay(failures, spread)))
