"""Workload identity: the token that GitHub or GitLab gives a CI job, exchanged for one of a service account; no key is kept.

Page: IAM, Workload identity federations. The service account comes from the environment's `settings.workload_identity`, or
from YC_SERVICE_ACCOUNT_ID.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

from dsjobs.backends.datasphere import answers, status
from dsjobs.backends.datasphere.answer import Call
from dsjobs.backends.datasphere.credentials import exchange, given
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token, unusable, variable
from dsjobs.backends.datasphere.status import ServiceError

REQUEST_URL, REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
ACCOUNT_VARIABLE, AUDIENCE_VARIABLE = "YC_SERVICE_ACCOUNT_ID", "DSJOBS_WORKLOAD_AUDIENCE"
TOKEN_VARIABLE = "DSJOBS_ID_TOKEN_VARIABLE"  # noqa: S105 (a name)
_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a type)
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 (a type)


@dataclass(frozen=True, slots=True)
class GitHubIdentity:
    """GitHub Actions makes an ID token for `audience` whenever it is asked."""

    account: str
    audience: str
    request_url: str = field(repr=False)
    request_token: str = field(repr=False)
    around: Surroundings = field(repr=False)
    where: str = REQUEST_URL
    kind: str = "workload identity (GitHub)"
    renewal: None = None

    @property
    def note(self) -> str:
        return f"account {self.account}, audience {self.audience}"

    def token(self) -> Token:
        return _exchanged(self.around, self.account, self._id_token())

    def _id_token(self) -> str:
        sign = "&" if "?" in self.request_url else "?"
        url = f"{self.request_url}{sign}{urlencode({'audience': self.audience})}"
        answer = self.around.ask(Call("GET", url, {"Authorization": f"Bearer {self.request_token}"}))
        refused = status.refusal(answer)
        if refused is not None:
            refused.hint = "GitHub gave no ID token: the workflow needs `permissions: {id-token: write}`"
            raise refused
        value = answers.document(answer).get("value")
        if not isinstance(value, str) or not value:
            message = f"{answer.call} answered without an ID token{status.request_ids(answer)}"
            raise ServiceError(message, retryable=False)
        return value


@dataclass(frozen=True, slots=True)
class VariableIdentity:
    """GitLab puts an ID token into a variable that `.gitlab-ci.yml` names under `id_tokens`. It is made once a job."""

    where: str
    account: str
    id_token: str = field(repr=False)
    around: Surroundings = field(repr=False)
    kind: str = "workload identity (ID token)"
    renewal: None = None

    @property
    def note(self) -> str:
        return f"account {self.account}"

    def token(self) -> Token:
        return _exchanged(self.around, self.account, self.id_token)


def find(around: Surroundings) -> GitHubIdentity | VariableIdentity | None:
    """An ID token in the variable that was named, else GitHub's; None where there is neither, or no service account."""
    identity, environ = around.settings.workload_identity, around.environ
    named = variable(environ, TOKEN_VARIABLE)
    name = named[1] if named else identity.id_token_variable
    account = identity.service_account or environ.get(ACCOUNT_VARIABLE, "").strip()
    if name and environ.get(name, "").strip():
        if not account:
            raise unusable(name, "the service account is not named", _account_hint())
        return VariableIdentity(name, account, environ[name].strip(), around)
    if not account or not environ.get(REQUEST_URL) or not environ.get(REQUEST_TOKEN):
        return None
    owner = environ.get("GITHUB_REPOSITORY_OWNER", "")
    audience = environ.get(AUDIENCE_VARIABLE) or identity.audience or (f"https://github.com/{owner}" if owner else "")
    if not audience:
        raise unusable(
            REQUEST_URL, "the audience is not known", f"set {AUDIENCE_VARIABLE} to the federation's audience"
        )
    request_token = environ[REQUEST_TOKEN].strip()
    given.check_token(REQUEST_TOKEN, request_token)
    return GitHubIdentity(account, audience, environ[REQUEST_URL].strip(), request_token, around)


def half_set(around: Surroundings) -> str | None:
    """Why a job of GitHub Actions that may ask for ID tokens does not use them."""
    if around.environ.get(REQUEST_URL) and find(around) is None:
        return f"this CI job can get an ID token, but no service account is named: {_account_hint()}"
    return None


def _account_hint() -> str:
    return f"set {ACCOUNT_VARIABLE}, or `settings: {{workload_identity: {{service_account: aje…}}}}`"


def _exchanged(around: Surroundings, account: str, id_token: str) -> Token:
    form = {
        "grant_type": _GRANT,
        "requested_token_type": _ACCESS_TOKEN,
        "audience": account,
        "subject_token": id_token,
        "subject_token_type": _ID_TOKEN,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    call = Call("POST", f"{around.url('auth')}/oauth/token", headers, urlencode(form).encode(), is_safe=True)
    return exchange.oauth_token(around.ask(call), around.now())
