"""Takes out of texts that others wrote what nobody may read: tokens and signed addresses. An error message may quote them."""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"https?://[^\s\"'<>]*[?&]X-Amz-[^\s\"'<>]*"  # a pre-signed address
    r"|\bt1\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_-]+"  # an IAM token
    r"|\by[0-3]_[A-Za-z0-9_-]{10,}"  # an OAuth token
    r"|\byctk[A-Za-z0-9._-]+"  # a session token of the yc command
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # a JWT
)


def scrub(text: str) -> str:
    """`text` with `***` in the place of each secret."""
    return _SECRETS.sub("***", text)
