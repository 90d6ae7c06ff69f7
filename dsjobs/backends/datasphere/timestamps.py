"""RFC 3339 as the API writes it: 0 to 9 digits for fractions of a second, years 0001 to 9999 (page: Operation, createdAt)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def seconds(text: Any) -> float | None:
    """Seconds since the epoch; digits past the microsecond are cut off. None for what is not such a time."""
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    micro = int((fraction or "").ljust(6, "0")[:6])
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, UTC)
    except ValueError:
        return None
    return moment.timestamp() + (offset.total_seconds() if sign == "-" else -offset.total_seconds())
