"""`dsjobs open`: opens a project (Project.Open), shows each status as it changes, and answers with the interface's address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from dsjobs.backends.access import Access
from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.failing import refuse
from dsjobs.diagnostics import did_you_mean
from dsjobs.errors import BackendError, UsageError
from dsjobs.model import Environment

job_file = click.option("-f", "--file", "file", metavar="FILE", help="The job file whose environments are meant.")


@click.command("open", short_help="Open a project's web interface.")
@click.argument("project")
@options.environment
@job_file
@click.option("--show-token", "with_token", is_flag=True, help="Print the session token too. It is a secret.")
@click.option("--browser", is_flag=True, help="Open the interface in a browser; the token stays out of the address.")
@click.option(
    "--timeout", metavar="TIME", default="30m", show_default=True, callback=options.duration, help="Wait at most so long.",
)  # fmt: skip
@options.access
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    project: str,
    env: str | None,
    file: str | None,
    with_token: bool,
    browser: bool,
    timeout: float,
    access: Access,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Open PROJECT, a name from the environment's `projects` or a project's ID, and print the address of its interface.

    Each status is shown as it changes. `-o json` prints the address and the session token. Opening starts a machine, which
    costs money until it is released.
    """
    from dsjobs.backends.datasphere import opening, settings
    from dsjobs.backends.datasphere.connection import connect

    console = Console(color=color, quiet=quiet)
    environment = choose(console, file, env)
    project_id = identify(project, environment)
    connection = connect(settings.parse(environment.settings if environment else {}), os.environ, access)
    try:
        opened = opening.open_project(
            connection.api,
            project_id,
            edge=connection.edge,
            timeout=timeout,
            tell=lambda status: console.progress(f"{project}: {status}"),
            started=lambda operation: console.progress(f"{project}: opening (operation {operation})"),
        )
    finally:
        connection.close()
    _answer(console, project_id, opened, output=output, with_token=with_token)
    if browser:
        _browse(console, opened)
    return 0


def choose(console: Console, file: str | None, env: str | None) -> Environment | None:
    """The environment that a command about DataSphere means: the one named; else the file's default, where its backend is
    datasphere, or the only one that is. None where there is no job file and nothing was asked of one."""
    try:
        path = loading.find_file(file)
    except UsageError:
        if file is not None or env is not None:
            raise
        return None
    loaded = loading.load(path)
    if loaded.spec is None:
        raise refuse(console, loaded.diagnostics, loaded.sources)
    environments = loaded.spec.environments
    if env is not None:
        chosen = loading.choose_environment(loaded.spec, env)
        if chosen.backend != "datasphere":
            known = [name for name, other in environments.items() if other.backend == "datasphere"]
            hint = f"environments on DataSphere: {', '.join(known)}" if known else "the file has none on DataSphere"
            raise UsageError(f"the backend of environment '{env}' is {chosen.backend}", hint=hint)
        return chosen
    candidates = [other for other in environments.values() if other.backend == "datasphere"]
    default = loaded.spec.default_environment
    for other in candidates:
        if other.name == default or len(candidates) == 1:
            return other
    if not candidates:
        return None
    hint = "choose one with --env: " + ", ".join(other.name for other in candidates)
    raise UsageError("the file has several environments on DataSphere, and none is the default", hint=hint)


def identify(project: str, environment: Environment | None) -> str:
    """The ID of a project that is given by its name in the environment, or by its ID. Raises UsageError for neither."""
    from dsjobs.backends.datasphere.checks import is_project_id

    projects: Mapping[str, Any] = environment.projects if environment else {}
    if project in projects:
        return str(projects[project])
    near = did_you_mean(project, projects)
    if not is_project_id(project) or (near is not None and near.startswith("did you mean")):
        where = f"environment '{environment.name}' has no project '{project}'" if environment else f"'{project}'"
        raise UsageError(f"{where}, and it is not a project's ID", hint=near or "an ID has 1 to 50 letters and digits")
    return project


def _answer(console: Console, project_id: str, opened: Any, *, output: str, with_token: bool) -> None:
    if output == "json":
        console.answer_json(
            {
                "project_id": project_id,
                "operation_id": opened.operation_id,
                "project_url": opened.project_url,
                "session_token": opened.session_token,
            }
        )
        return
    console.answer(opened.project_url)
    if with_token:
        console.answer(opened.session_token or "")


def _browse(console: Console, opened: Any) -> None:
    from dsjobs.cli import browsing

    if opened.session_token is None:
        raise BackendError("the service gave no session token, so a browser cannot be let in", retryable=False)
    if not browsing.show(opened.project_url, opened.session_token):
        hint = "open the address yourself; `--show-token` prints the session token that it asks for"
        raise BackendError("no browser asked for the page", retryable=False, hint=hint)
    console.progress("the browser has it")
