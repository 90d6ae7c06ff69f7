"""The values of a run's secrets: read just before a submit, known to nothing but the attempt that takes them and the redactor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NoReturn

from dsjobs.errors import BackendError
from dsjobs.model import Request, SecretSource
from dsjobs.secrets import Redactor, Secret

Read = Callable[[SecretSource], str]
"""The value at a source. Raises BackendError, with a message that goes on after `the secret 'NAME'`, where there is none."""


def _no_reader(source: SecretSource) -> NoReturn:
    raise BackendError("cannot be read here", retryable=False)


class SecretValues:
    """Reads the secrets at `sources`; each value that was read is masked by `redactor` from then on. Any thread may use it."""

    def __init__(
        self,
        sources: Mapping[str, SecretSource] | None = None,
        read: Read = _no_reader,
        *,
        redactor: Redactor | None = None,
        learned: Callable[[Secret], None] | None = None,
    ) -> None:
        """`learned` is told of each new value."""
        self.redactor = redactor if redactor is not None else Redactor()
        self._sources = sources or {}
        self._read = read
        self._learned = learned
        self._given: dict[str, Mapping[str, Secret]] = {}
        self._lock = threading.Lock()

    def value(self, name: str) -> Secret:
        """The secret as it is now. Raises BackendError where it cannot be had."""
        source = self._sources.get(name)
        try:
            if source is None:
                raise BackendError("is not defined in the job file", retryable=False)
            secret = Secret(name, self._read(source))
        except BackendError as error:
            raise BackendError(f"the secret '{name}' {error}", retryable=False, hint=error.hint) from None
        with self._lock:
            is_new = self.redactor.learn(secret)
        if is_new and self._learned is not None:
            self._learned(secret)
        return secret

    def unknown(self, request: Request) -> list[str]:
        """The secrets that a request takes and of which no value is known, so that none can be masked."""
        return sorted({name for name in request.secrets.values() if not self.redactor.knows(name)})

    def given(self, request: Request, key: str) -> Mapping[str, Secret]:
        """What the inputs of an attempt get that are secrets. The same key gets the same, because the same key may be sent
        again and has to be the same request."""
        if request.secrets and key not in self._given:
            self._given[key] = {name: self.value(secret) for name, secret in request.secrets.items()}
        return self._given.get(key, {})
