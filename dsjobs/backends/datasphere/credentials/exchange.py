"""The answers of the two services that give out IAM tokens: the IAM API and the OAuth endpoint of workload identity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsjobs.backends.datasphere import answers, status, timestamps
from dsjobs.backends.datasphere.answer import Answer
from dsjobs.backends.datasphere.client import json_call
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.backends.datasphere.status import ServiceError

LONGEST_LIFE = 366 * 24 * 3600.0
"""Seconds: what is said to live longer does not say when it ends."""


def iam_token(around: Surroundings, body: Mapping[str, str]) -> Token:
    """A token of the IAM API for a JWT or an OAuth token (page: IamToken.Create). Asking twice does no harm."""
    call = json_call("POST", f"{around.url('iam')}/iam/v1/tokens", body, is_safe=True)
    answer = around.ask(call)
    refused = status.refusal(answer)
    if refused is not None:
        raise refused
    data = answers.document(answer)
    return Token(_text(answer, data, "iamToken"), timestamps.seconds(data.get("expiresAt")))


def oauth_token(answer: Answer, now: float) -> Token:
    """A token of an OAuth answer: `{"access_token", "expires_in", "token_type"}`; an error is `{"error", …}`."""
    if not 200 <= answer.status < 300:
        raise _oauth_error(answer)
    data = answers.document(answer)
    life = _life(data.get("expires_in"))
    return Token(_text(answer, data, "access_token"), now + life if life is not None else None)


def _life(seconds: Any) -> float | None:
    """Seconds; None where it is not a number of them: JSON knows numbers that no float can hold, and Python's NaN."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if abs(seconds) <= LONGEST_LIFE else None


def _oauth_error(answer: Answer) -> ServiceError:
    refused = status.refusal(answer)
    if refused is None:
        raise AssertionError("an OAuth error has a status of its own")
    try:
        data = answers.document(answer)
    except ServiceError:
        return refused
    if not isinstance(data.get("error"), str):
        return refused
    said = scrub(f"{data['error']}: {data.get('error_description', 'no description')}")[:500]
    message = f"{answer.call} answered {answer.status}, {said}{status.request_ids(answer)}"
    return ServiceError(message, retryable=refused.retryable, status=answer.status)


def _text(answer: Answer, data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):  # it goes into a header
        message = f"{answer.call} answered {answer.status} without {key}{status.request_ids(answer)}"
        raise ServiceError(message, retryable=False, status=answer.status)
    return value
