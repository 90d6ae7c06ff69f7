"""Where the values of secrets come from: environment variables and files, read when a run begins and again at each submit."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dsjobs.cli.console import KNOWN, Console
from dsjobs.cli.failing import UnprovidedError, refuse
from dsjobs.diagnostics import Diagnostic, has_errors, in_order
from dsjobs.errors import BackendError
from dsjobs.marks import Position, Source
from dsjobs.model import Plan, SecretSource
from dsjobs.plan.saved import plain
from dsjobs.run.secret_values import SecretValues
from dsjobs.secrets import SHORTEST

MAX_BYTES = 64 * 1024
"""What a file with a secret may have: a mistaken path, of a data file, is refused."""


def from_base(sources: Mapping[str, SecretSource], base: Path) -> dict[str, SecretSource]:
    """Where the secrets of a job file are, as a plan says it: files from the folder `base`, in which the job file is."""
    return {name: _from_base(source, base) for name, source in sources.items()}


def needed_by(plan: Plan, ended: Collection[str] = ()) -> frozenset[str]:
    """The secrets that jobs of a plan take which run, and have not `ended`."""
    running = (planned.job for planned in plan.jobs if planned.action == "run" and planned.job.name not in ended)
    return frozenset(name for job in running for name in job.request.secrets.values())


def provided(
    console: Console,
    plan: Plan,
    base: Path,
    needed: Collection[str],
    *,
    sources: Sequence[Source] = (),
    is_required: bool = True,
) -> SecretValues:
    """The secrets of a plan, once each of those that are `needed` has been read, and the others where they are there: these are
    masked as well. Warns of doubtful ones.

    Raises UnprovidedError where one cannot be had, RefusedError where the plan has the value of one in it; where it is not
    required that all is well, these too are warnings.
    """
    values = _values(console, plan, base)
    found = [*_problems(plan, values, needed)]
    if is_required and has_errors(found):
        raise refuse(console, in_order(found), sources, UnprovidedError)
    found += written_down(plan, values)
    if is_required and has_errors(found):
        raise refuse(console, in_order(found), sources)
    found = [replace(problem, severity="warning") for problem in found]
    console.diagnostics(in_order(found), sources)
    return values


def outlook(console: Console, plan: Plan, base: Path) -> list[Diagnostic]:
    """What `apply` would say of the secrets of a plan here and now, where it would refuse as a warning: values are not needed
    to plan. That the plan has the value of one in it is an error nevertheless."""
    values = _values(console, plan, base)
    missing = [replace(problem, severity="warning") for problem in _problems(plan, values, needed_by(plan))]
    return in_order([*missing, *written_down(plan, values)])


def read(source: SecretSource, *, base: Path, environ: Mapping[str, str]) -> str:
    """The value at a source. Raises BackendError where there is none, or none that can be an environment variable."""
    if source.env is not None:
        what = f"the environment variable {source.env}"
        value = environ.get(source.env)
        if value is None:
            raise _absent(
                f"{what} is not set", f"set {source.env} where dsjobs runs, in CI from the secrets that it keeps"
            )
        _require_text(value, what)
        return value
    path = base / (source.file or "")
    what = f"the file {path}"
    try:
        value = _content(path, what).decode("utf-8-sig")
    except OSError as error:
        hint = (
            "paths are relative to the file that defines the secret" if isinstance(error, FileNotFoundError) else None
        )
        raise _absent(f"{what} cannot be read: {error.strerror or error}", hint) from None
    except ValueError:  # not UTF-8; or a NUL character in the path
        raise _unfit(f"{what} is not UTF-8 text", "write what is binary as base64") from None
    value = value[: -2 if value.endswith("\r\n") else -1] if value.endswith("\n") else value
    _require_text(value, what)
    return value


def written_down(plan: Plan, values: SecretValues) -> Iterator[Diagnostic]:
    """What a plan would write down that holds a secret: variables, inputs and settings that are not secrets."""
    redactor = values.redactor
    texts = [*_texts(plan)] if redactor else []
    # One look at all of it finds nothing nearly always.
    if not redactor.names_in("\n".join(map(str, (value for _, value, _ in texts)))):
        return
    for what, value, position in texts:
        for name in redactor.names_in(value):
            message = f"{what} holds the value of the secret '{name}', and would be written down with it"
            hint = f"only an input can: give it the value {{secret: {name}}}, and nothing else"
            yield Diagnostic("DSJ411", message, position, hint)


def _values(console: Console, plan: Plan, base: Path) -> SecretValues:
    reader = partial(read, base=base, environ=os.environ)
    return SecretValues(plan.secrets, reader, redactor=KNOWN, learned=console.hide_in_ci)


def _problems(plan: Plan, values: SecretValues, needed: Collection[str]) -> Iterator[Diagnostic]:
    for name in sorted({*plan.secrets, *needed}):
        source = plan.secrets.get(name)
        position = source.position if source is not None else None
        try:
            secret = values.value(name)
        except BackendError as error:
            if name in needed:
                yield Diagnostic("DSJ410", str(error), position, error.hint)
            continue
        if secret.is_short:
            message = (
                f"the secret '{name}' has fewer than {SHORTEST} characters: it is masked only where it stands alone"
            )
            yield Diagnostic("DSJ403", message, position, "use a longer one", "warning")


def _texts(plan: Plan) -> Iterator[tuple[str, Any, Position | None]]:
    """What the plan says that users have written, in words, and where: variables, settings, the inputs of each job."""
    for name, variable in plan.variables.items():
        yield f"the variable '{name}' ({variable.layer})", plain(variable.value), None
    for name, setting in plan.settings.items():
        yield f"the setting '{name}'", plain(setting), None
    for planned in plan.jobs:
        job = planned.job
        for name, value in (*job.request.input_variables.items(), *job.deferred_inputs.items()):
            position = job.position("inputs", name) if job.places else None
            yield f"the input '{name}' of job '{job.name}'", plain(value), position


def _from_base(source: SecretSource, base: Path) -> SecretSource:
    if source.file is None or source.position is None or os.path.isabs(source.file):
        return source
    path = os.path.abspath(Path(source.position.file).parent / source.file)
    return replace(source, file=Path(os.path.relpath(path, base)).as_posix())


def _content(path: Path, what: str) -> bytes:
    """The bytes of a file; a pipe is not opened, because that may wait for ever. Raises OSError and BackendError."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _unfit(f"{what} is a folder", "name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise _unfit(f"{what} is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _unfit(f"{what} has more than {MAX_BYTES // 1024} KiB", "is it the right file?")
    return content


def _require_text(value: str, what: str) -> None:
    if not value.strip():
        raise _unfit(
            f"{what} is empty", "in CI a secret that does not exist, or that this job may not have, is an empty text"
        )
    if "\0" in value:
        raise _unfit(f"{what} has a NUL character, which cannot be in an environment variable")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _unfit(f"{what} is not UTF-8 text")
    if len(value.encode()) > MAX_BYTES:
        raise _unfit(f"{what} has more than {MAX_BYTES // 1024} KiB")


def _absent(why: str, hint: str | None = None) -> BackendError:
    return BackendError(f"has no value: {why}", retryable=False, hint=hint)


def _unfit(why: str, hint: str | None = None) -> BackendError:
    return BackendError(f"cannot be used: {why}", retryable=False, hint=hint)
