"""The yc command: whoever is signed in there, or in one of its profiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsjobs.backends.datasphere.credentials import given
from dsjobs.backends.datasphere.credentials.source import Surroundings, Token
from dsjobs.backends.datasphere.scrubbing import scrub
from dsjobs.errors import BackendError

VARIABLE = "DSJOBS_PROFILE"
TIME_LIMIT = 60.0
"""Seconds. A federated user's yc opens a browser and waits for it, which in CI nobody answers."""
REUSE = 900.0
"""Seconds. yc does not say when its token expires, and it may have kept the token for a while already."""


@dataclass(frozen=True, slots=True)
class YcCommand:
    """`yc iam create-token`, with `--profile` where one was named."""

    program: str
    profile: str | None
    environ: Mapping[str, str] = field(repr=False)
    time_limit: float = TIME_LIMIT
    kind: str = "yc command"
    note: None = None
    renewal: None = None

    @property
    def where(self) -> str:
        return f"{self.program} (profile {self.profile})" if self.profile else self.program

    def token(self) -> Token:
        profile = ["--profile", self.profile] if self.profile else []
        command = [self.program, "iam", "create-token", "--no-user-output", *profile]
        try:
            ended = subprocess.run(  # noqa: S603 (the program was found on PATH; no shell)
                command,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"`yc iam create-token` did not end within {self.time_limit:.0f} s; is it waiting for a browser?"
            raise BackendError(message, retryable=False, hint="sign in with `yc init` first") from error
        except OSError as error:
            raise BackendError(f"{self.program} cannot be run: {error.strerror}", retryable=False) from error
        if ended.returncode != 0:
            raise self._failed(f"ended with exit code {ended.returncode}: {_last_line(ended.stderr) or 'no message'}")
        value = _last_line(ended.stdout)
        given.check_token("the output of `yc iam create-token`", value)
        if len(value) < 20:
            raise self._failed("printed no token")
        return Token(value, None, REUSE)

    def _failed(self, what: str) -> BackendError:
        hint = "sign in with `yc init`, or name a profile with --profile; dsjobs needs no yc where other credentials are set"
        return BackendError(f"`yc iam create-token` {scrub(what)[:500]}", retryable=False, hint=hint)


def find(around: Surroundings) -> YcCommand | None:
    """The command, where PATH has it. YC_IAM_TOKEN, had it been set, would have been found before."""
    program = shutil.which("yc", path=around.environ.get("PATH", ""))
    if program is None:
        return None
    profile = around.profile or around.environ.get(VARIABLE, "").strip() or around.settings.profile
    return YcCommand(program, profile, around.environ)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
