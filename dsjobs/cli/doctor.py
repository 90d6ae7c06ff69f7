"""`dsjobs doctor`: what is there and what is missing, as a list: credentials, projects, output store, kernels, packages."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dsjobs import __version__
from dsjobs.backends.access import Access
from dsjobs.cli import loading, open, options
from dsjobs.cli.console import Console
from dsjobs.errors import BackendError, ExitCode, UsageError
from dsjobs.model import Environment

if TYPE_CHECKING:
    from dsjobs.backends.datasphere.connection import Connection
    from dsjobs.backends.datasphere.credentials.search import Finding
    from dsjobs.notebook.forkserver.survey import Survey

State = Literal["ok", "failed", "missing"]
_STATUS = {"ok": "succeeded", "failed": "failed", "missing": "skipped"}

_EXTRAS = {
    "local": ("ipykernel", "jupyter_client", "nbclient", "nbformat"),
    "auth": ("jwt", "cryptography"),
    "s3": ("boto3",),
}
_PACKAGES = ("requests", "urllib3", "click", "PyYAML", "Jinja2", "jsonschema")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. `failed`: it is needed and does not work; `missing`: it is not there, and need not be."""

    topic: str
    name: str
    state: State
    text: str
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"topic": self.topic, "name": self.name, "state": self.state, "text": self.text, "hint": self.hint}


@click.command("doctor", short_help="Show which credentials, projects, kernels and packages are there.")
@options.environment
@open.job_file
@options.access
@options.output("text", "json")
@options.chdir
@options.color
def command(
    env: str | None,
    file: str | None,
    access: Access,
    output: str,
    color: str,
) -> int:
    """Show what is there and what is missing: credentials and where they were found (never their values), access to each
    project of the environment, its output store, kernels, packages.

    Exit code 0 when all that is needed works, 4 when something does not.
    """
    console = Console(color=color)
    environment = _environment(console, file, env)
    lines = []
    for line in _lines(environment, access):
        lines.append(line)
        if output == "text":
            _show(console, line, None if len(lines) == 1 else lines[-2])
    code = ExitCode.BACKEND if any(line.state == "failed" for line in lines) else ExitCode.OK
    if output == "json":
        name = environment.name if environment else None
        console.answer_json({"ok": code == ExitCode.OK, "environment": name, "checks": [x.as_json() for x in lines]})
    return code


def _environment(console: Console, file: str | None, env: str | None) -> Environment | None:
    """The environment named; else the one that `dsjobs open` would mean, else the file's default."""
    if env is None:
        found = open.choose(console, file, None)
        if found is not None:
            return found
    try:
        spec = loading.load(loading.find_file(file)).spec
        return loading.choose_environment(spec, env) if spec is not None else None
    except UsageError:
        if file is not None or env is not None:
            raise
        return None


def _lines(environment: Environment | None, access: Access) -> Iterator[Line]:
    yield Line("dsjobs", "version", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()}")
    yield Line("dsjobs", "interpreter", "ok", sys.executable)
    if environment is not None:
        yield Line("dsjobs", "environment", "ok", f"'{environment.name}', backend {environment.backend}")
    if environment is None or environment.backend == "datasphere":
        yield from _service(environment, access)
    yield from _kernels(environment)
    yield from _packages()


def _service(environment: Environment | None, access: Access) -> Iterator[Line]:
    """Credentials, a token, projects, the store. Without an environment nothing of it is needed."""
    from dsjobs.backends.datasphere import settings
    from dsjobs.backends.datasphere.connection import connect

    parsed = settings.parse(environment.settings if environment else {})
    try:
        connection = connect(parsed, os.environ, access)
    except BackendError as error:
        yield Line("service", "endpoints", "failed", str(error), error.hint)
        return
    try:
        yield from _endpoints(connection)
        has_token = False
        for line in _credentials(connection, is_needed=environment is not None):
            has_token = has_token or (line.name == "token" and line.state == "ok")
            yield line
        if environment is not None:
            yield from _projects(connection, environment.projects, has_token=has_token)
            yield from _store(parsed)
    finally:
        connection.close()


def _endpoints(connection: Connection) -> Iterator[Line]:
    for service in ("datasphere", "operation", "iam"):
        try:
            url = connection.endpoints.url(service)
        except BackendError as error:
            yield Line("service", service, "failed", str(error), error.hint)
            continue
        plain = url.startswith("http://")
        yield Line("service", service, "ok", url + (" (not encrypted)" if plain else ""))


def _credentials(connection: Connection, *, is_needed: bool) -> Iterator[Line]:
    from dsjobs.backends.datasphere.credentials import search, workload

    last: Finding | None = None
    for finding in search.look(connection.surroundings):
        last = finding
        yield _credential(finding)
    if last is None or last.error is not None:
        return
    if last.source is None:
        hint = workload.half_set(connection.surroundings) or "set YC_IAM_TOKEN, or YC_SERVICE_ACCOUNT_KEY_FILE"
        yield Line("credentials", "token", "failed" if is_needed else "missing", "there are no credentials", hint)
        return
    try:
        connection.keeper.current()
    except BackendError as error:
        yield Line("credentials", "token", "failed", f"no token could be had: {error}", error.hint)
        return
    can_renew = "; it is renewed as needed" if last.source.renewal is None else "; it cannot be renewed"
    yield Line("credentials", "token", "ok", f"from {last.source.kind}{can_renew}")


def _credential(finding: Finding) -> Line:
    name = finding.kind.name
    if finding.error is not None:
        return Line("credentials", name, "failed", str(finding.error), finding.error.hint)
    if finding.source is None:
        return Line("credentials", name, "missing", f"not in {finding.kind.places}")
    return Line("credentials", name, "ok", f"{finding.source.kind} in {finding.source.where}", finding.source.note)


def _projects(connection: Connection, projects: Mapping[str, str], *, has_token: bool) -> Iterator[Line]:
    """A GET of each project: the cheapest call that needs both a good token and a right."""
    for name, project in projects.items():
        if not has_token:
            yield Line("projects", name, "missing", f"{project}: not asked, for want of a token")
            continue
        try:
            found = connection.api.project(project).get("name")
        except BackendError as error:
            yield Line("projects", name, "failed", str(error), error.hint)
            continue
        yield Line("projects", name, "ok", f"{project}{f', named {found}' if isinstance(found, str) else ''}")


def _store(parsed: Any) -> Iterator[Line]:
    """Whether an address can be signed, or the folder written to. Nothing is left in the store."""
    from dsjobs.backends.datasphere import store

    found = store.open_store(parsed, os.environ)
    if found is None:
        text = "none: DataSphere returns a status only, so jobs here have no outputs"
        yield Line("output store", "store", "missing", text, "`settings: {output_store: s3://bucket/prefix}`")
        return
    try:
        found.address("probe", time.time())
        found.read("probe", 1)
    except (BackendError, store.TooLargeError) as error:
        yield Line("output store", "store", "failed", str(error), getattr(error, "hint", None))
        return
    folder = Path(found.location)
    if found.location.startswith("/") and not os.access(folder, os.W_OK):
        yield Line("output store", "store", "failed", f"{folder} cannot be written to")
        return
    yield Line("output store", "store", "ok", found.location)


def _kernels(environment: Environment | None) -> Iterator[Line]:
    """The kernels, and how they start where notebooks run on this machine."""
    from dsjobs.notebook import kernelspecs

    is_needed = environment is not None and environment.backend == "local"
    missing = kernelspecs.missing_packages()
    if missing:
        text = f"notebooks cannot run on this machine without {', '.join(missing)}"
        yield Line("kernels", "packages", "failed" if is_needed else "missing", text, kernelspecs.INSTALL_HINT)
        return
    from jupyter_client.kernelspec import KernelSpec

    found = _survey(environment) if environment is None or is_needed else None
    for name, entry in sorted(kernelspecs.manager().get_all_specs().items()):
        shown = str(entry["spec"].get("display_name") or name)
        way = found.way(KernelSpec(**entry["spec"])) if found else None
        yield Line("kernels", name, "ok", f"{shown}; starts {way}" if way else shown)
    for module, why in found.failed.items() if found else ():
        hint = "install it where dsjobs runs, or leave it out of settings.preload"
        yield Line("kernels", f"preload {module}", "missing", f"it cannot be imported ahead: {why}", hint)


def _survey(environment: Environment | None) -> Survey:
    from dsjobs.notebook import kernelsettings
    from dsjobs.notebook.forkserver.survey import survey

    return survey(kernelsettings.parse(environment.settings if environment else {}))


def _packages() -> Iterator[Line]:
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    yield Line("packages", "required", "ok", versions)
    for extra, modules in _EXTRAS.items():
        absent = [name for name in modules if find_spec(name) is None]
        if absent:
            hint = f'pip install "dsjobs[{extra}]"'
            yield Line("packages", extra, "missing", f"without {', '.join(absent)}", hint)
        else:
            yield Line("packages", extra, "ok", "installed")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"


def _show(console: Console, line: Line, before: Line | None) -> None:
    if before is None or before.topic != line.topic:
        console.answer(f"{'' if before is None else chr(10)}{line.topic}")
    words = {"ok": "ok", "failed": "failed", "missing": "missing"}
    status = console.status_on_stdout(_STATUS[line.state]).replace(_STATUS[line.state], words[line.state])
    console.answer(f"  {status}  {line.name}: {line.text}")
    if line.hint and line.state != "ok":
        console.answer(f"      hint: {line.hint}")
    elif line.hint:
        console.answer(f"      {line.hint}")
