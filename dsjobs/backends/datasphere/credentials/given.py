"""Tokens that somebody gave: `--iam-token`, DSJOBS_IAM_TOKEN, YC_IAM_TOKEN; and YC_TOKEN, YC_OAUTH_TOKEN, which hold either
an IAM token or an OAuth token, told apart by how they begin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsjobs.backends.datasphere.credentials import exchange
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token, unusable, variable

OAUTH_NOTE = "OAuth tokens are deprecated in Yandex Cloud and stop working at the end of 2026: use a service account"
SESSION_HINT = "run `yc iam create-token` and give what it prints"
_OAUTH = re.compile(r"y[0-3]_")


@dataclass(frozen=True, slots=True)
class GivenToken:
    """An IAM token as it is. Nobody knows when it expires, and there is no other."""

    where: str
    value: str = field(repr=False)
    kind: str = "IAM token"
    note: str | None = "a given token lives at most 12 hours and cannot be renewed"

    @property
    def renewal(self) -> str:
        if _OAUTH.match(self.value):
            return "it begins like an OAuth token, not like an IAM token: put it into YC_TOKEN"
        return "give a new one, e.g. `export YC_IAM_TOKEN=$(yc iam create-token)`; what was submitted goes on meanwhile"

    def token(self) -> Token:
        return Token(self.value, None, reuse=float("inf"))


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """A user's OAuth token, exchanged for IAM tokens (page: IamToken.Create, yandexPassportOauthToken)."""

    where: str
    value: str = field(repr=False)
    around: Surroundings = field(repr=False)
    kind: str = "OAuth token"
    note: str | None = OAUTH_NOTE
    renewal: None = None

    def token(self) -> Token:
        return exchange.iam_token(self.around, {"yandexPassportOauthToken": self.value})


def find_iam(around: Surroundings) -> GivenToken | None:
    """The flag, then DSJOBS_IAM_TOKEN, then YC_IAM_TOKEN."""
    given = around.iam_token.strip() if around.iam_token else ""
    found = ("--iam-token", given) if given else variable(around.environ, "DSJOBS_IAM_TOKEN", "YC_IAM_TOKEN")
    if found is None:
        return None
    where, value = found
    check_token(where, value)
    return GivenToken(where, value)


def find_either(around: Surroundings) -> GivenToken | OAuthToken | None:
    """YC_TOKEN, then YC_OAUTH_TOKEN."""
    found = variable(around.environ, "YC_TOKEN", "YC_OAUTH_TOKEN")
    if found is None:
        return None
    where, value = found
    check_token(where, value)
    if value.startswith("t1.") and value.count(".") == 2:
        return GivenToken(where, value)
    return OAuthToken(where, value, around)


def check_token(where: str, value: str) -> None:
    """Raises BackendError for what cannot be a token, and for the `yctk…` tokens that yc keeps for itself."""
    if value.startswith("yctk"):
        what = "it begins with `yctk`: a session token of the yc command, which the API does not take"
        raise unusable(where, what, SESSION_HINT)
    if len(value) > 8000 or not re.fullmatch(r"[!-~]+", value):
        raise unusable(where, "a token is one line of letters, digits and signs", SESSION_HINT)


def uses_oauth(environ: Mapping[str, str]) -> bool:
    """Whether an OAuth token is what would be used, as far as the variables tell."""
    if variable(environ, "DSJOBS_IAM_TOKEN", "YC_IAM_TOKEN", "YC_SERVICE_ACCOUNT_KEY_FILE"):
        return False
    found = variable(environ, "YC_TOKEN", "YC_OAUTH_TOKEN")
    return found is not None and _OAUTH.match(found[1]) is not None
