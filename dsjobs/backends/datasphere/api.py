"""The methods of the service that dsjobs uses, each as one function: addresses, bodies, and what to try where pages disagree.

Pages: Project.Execute, Project.Open, Project.Get, Operation.Get, Operation.Cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from dsjobs.backends.datasphere import answers, retries, status
from dsjobs.backends.datasphere.answer import Answer, Call
from dsjobs.backends.datasphere.answers import RawOperation
from dsjobs.backends.datasphere.client import Client, json_call
from dsjobs.backends.datasphere.status import ServiceError
from dsjobs.model import Request
from dsjobs.secrets import Redactor

T = TypeVar("T")

_NOT_HERE = frozenset({404, 405, 501})
"""What a gateway answers to a path or a method that it does not have."""

_HINTS = {
    403: "the account needs the role datasphere.community-projects.editor and must be a member of the project",
    401: "`dsjobs doctor` shows which credentials are used, and where they were found",
}


class Api:
    """DataSphere through `client`; `url` gives the address of a service by its name."""

    def __init__(self, client: Client, url: Callable[[str], str]) -> None:
        self._client = client
        self._url = url
        self._cancels_by_post = False
        self._opens_by_path = False

    def execute(
        self, request: Request, variables: Mapping[str, str], *, key: str, redactor: Redactor | None = None
    ) -> RawOperation:
        """Project.Execute with `variables` as its inputVariables. `key` makes it safe to repeat. A refusal may quote what it
        refuses: `redactor` masks it before it is shortened."""

        def read(answer: Answer) -> RawOperation:
            return answers.read(_masked(answer, redactor) if redactor and answer.status >= 300 else answer)

        body = {**request.as_json(), "inputVariables": dict(variables) or None}
        project = body.pop("projectId")
        body = {name: value for name, value in body.items() if value is not None}
        call = json_call("POST", f"{self._project(project)}:execute", body, key=key)
        try:
            return self._call(call, read, lane="datasphere", patience=retries.SUBMIT)
        except ServiceError as error:
            if error.status == 404 and error.hint is None:
                error.hint = (
                    "check the project's ID and the notebook's path; a project may also be hidden from an account"
                )
            raise

    def operation(self, operation_id: str) -> RawOperation:
        """Operation.Get."""
        return self._call(
            Call("GET", self._operation(operation_id)), answers.read, lane="operation", patience=retries.LOOK
        )

    def cancel(self, operation_id: str) -> None:
        """Operation.Cancel: GET in the reference, POST in the design guide. Asking twice does no harm."""
        url = f"{self._operation(operation_id)}:cancel"

        def ask(method: str) -> None:
            call = Call("GET", url) if method == "GET" else json_call("POST", url, {}, is_safe=True)
            self._call(call, _accepted, lane="operation", patience=retries.ASK)

        if not self._cancels_by_post:
            try:
                ask("GET")
                return
            except ServiceError as error:
                if error.status not in _NOT_HERE:
                    raise
        ask("POST")
        self._cancels_by_post = True

    def open(self, project: str, *, key: str) -> RawOperation:
        """Project.Open: `:open` in the documentation, `/open` in the proto since April 2026."""
        paths = ("/open", ":open") if self._opens_by_path else (":open", "/open")

        def ask(path: str) -> RawOperation:
            call = json_call("POST", f"{self._project(project)}{path}", {}, key=key)
            return self._call(call, answers.read, lane="datasphere", patience=retries.SUBMIT)

        try:
            return ask(paths[0])
        except ServiceError as error:
            if error.status not in _NOT_HERE:
                raise
            first = error
        try:
            found = ask(paths[1])
        except ServiceError as error:
            # Neither: the answer that speaks of the project says more than the one that does not know the path.
            raise (first if error.code is None else error) from None
        self._opens_by_path = not self._opens_by_path
        return found

    def project(self, project: str) -> Mapping[str, Any]:
        """Project.Get: whether the credentials reach a project, and its name."""
        call = Call("GET", self._project(project))
        return self._call(call, _document, lane="datasphere", patience=retries.ASK)

    def _call(self, call: Call, read: Callable[[Answer], T], *, lane: str, patience: retries.Patience) -> T:
        try:
            return self._client.call(call, read, lane=lane, patience=patience)
        except ServiceError as error:
            if error.hint is None and error.status is not None:
                error.hint = _HINTS.get(error.status)
            raise

    def _project(self, project: str) -> str:
        return f"{self._url('datasphere')}/datasphere/v2/projects/{quote(project, safe='')}"

    def _operation(self, operation_id: str) -> str:
        return f"{self._url('operation')}/operations/{quote(operation_id, safe='')}"


def _masked(answer: Answer, redactor: Redactor) -> Answer:
    text = answer.body.decode("utf-8", "surrogateescape")
    return replace(answer, body=redactor.mask(text).encode("utf-8", "surrogateescape"))


def _accepted(answer: Answer) -> None:
    refused = status.refusal(answer)
    if refused is not None:
        raise refused


def _document(answer: Answer) -> Mapping[str, Any]:
    _accepted(answer)
    return answers.document(answer)
