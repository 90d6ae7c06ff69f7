"""The flags that mean the same in every command."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dsjobs.backends.access import SERVICES, Access
from dsjobs.errors import BackendError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def _chdir(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise UsageError(f"{value}: cannot change to this folder: {error.strerror}") from None


def _variables(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{value}' is not NAME=VALUE")
        pairs.append((name, text))
    return tuple(pairs)


chdir = click.option(
    "-C", "--chdir", metavar="DIR", is_eager=True, expose_value=False, callback=_chdir,
    help="Work as if started in DIR.",
)  # fmt: skip
file = click.argument("file", required=False, envvar="DSJOBS_FILE")
environment = click.option("-e", "--env", metavar="NAME", help="The environment to run in.")
variables = click.option(
    "--var", "given", metavar="NAME=VALUE", multiple=True, callback=_variables,
    help="Set a variable; VALUE is read as YAML unless the variable is text. Repeatable.",
)  # fmt: skip
var_files = click.option(
    "--var-file", "var_files", metavar="PATH", multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Set variables from a YAML or JSON file: a mapping of names to values. Repeatable, the last one wins.",
)  # fmt: skip
select = click.option(
    "-s", "--select", metavar="SELECTOR", multiple=True,
    help="Run only these jobs: NAME, +NAME (and what it needs), NAME+ (and what needs it), tag:NAME; a comma: both. Repeatable.",
)  # fmt: skip
exclude = click.option(
    "-x", "--exclude", metavar="SELECTOR", multiple=True,
    help="Leave these jobs out; as --select. Repeatable.",
)  # fmt: skip
jobs = click.option(
    "-j", "--jobs", "max_parallel", metavar="N", type=click.IntRange(min=1),
    help="How many jobs may be in flight at once.",
)  # fmt: skip
color = click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
    help="When to use colours.",
)  # fmt: skip
quiet = click.option("-q", "--quiet", is_flag=True, help="Show errors and the answer only.")
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
state_dir = click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Where runs are kept. Default: .dsjobs beside the job file.",
)  # fmt: skip


def duration(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from dsjobs.spec.durations import DurationError, seconds

    try:
        return None if value is None else seconds(value)
    except DurationError as error:
        raise click.BadParameter(f"{error}; {error.hint}") from None


copy = click.option(
    "--manifest", "copy", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the manifest there as well.",
)  # fmt: skip
fail_fast = click.option("--fail-fast", is_flag=True, help="After the first failure start nothing more.")
on_interrupt = click.option(
    "--on-interrupt", type=click.Choice(["wait", "cancel", "detach"]),
    help="What becomes of running jobs at Ctrl-C or SIGTERM. Default: cancel; Ctrl-C at a terminal asks.",
)  # fmt: skip
lock_timeout = click.option(
    "--lock-timeout", metavar="TIME", default="0s", callback=duration, show_default=True,
    help="How long to wait for another run of the environment to end.",
)  # fmt: skip
new_run = click.option(
    "--new-run", is_flag=True,
    help="Start although an earlier run of the environment has not ended and has jobs in flight.",
)  # fmt: skip
timeout = click.option(
    "--timeout", metavar="TIME", callback=duration,
    help="How long the run may take, e.g. 2h30m; then it is cancelled, with exit code 124.",
)  # fmt: skip

from_run = click.option(
    "--from", "from_run", metavar="RUN",
    help="Compare with this run: the path of a manifest from elsewhere, or a run's ID. Default: the latest runs here.",
)  # fmt: skip
no_cache = click.option("--no-cache", is_flag=True, help="Run also what has not changed since its last success.")


class _LookedUpThere(click.Option):
    """A flag whose variable the backend looks up, which minds which of the two it is: an address in a variable loses to a
    discovery root in a flag."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return None


def _address(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from dsjobs.backends.datasphere.endpoints import address

    try:
        return address(value, where=parameter.opts[0])
    except BackendError as error:
        raise UsageError(str(error), hint=error.hint) from None


_ACCESS = (
    click.option(
        "--iam-token", metavar="TOKEN", cls=_LookedUpThere,
        help="Use this IAM token. Safer in the variable DSJOBS_IAM_TOKEN: a flag shows in the list of processes.",
    ),
    click.option(
        "--profile", metavar="NAME", cls=_LookedUpThere,
        help="Profile of the yc command, where that gives the token.",
    ),
    click.option(
        "--endpoint", metavar="ADDRESS", cls=_LookedUpThere, callback=_address,
        help="Discovery root instead of the environment's endpoints.",
    ),
    *(
        click.option(
            f"--endpoint-{service}", metavar="ADDRESS", cls=_LookedUpThere,
            callback=_address, help=f"Address of the service {service}.",
        )
        for service in SERVICES
    ),
)  # fmt: skip
ACCESS = frozenset({"iam_token", "profile", "endpoint", *(f"endpoint_{service}" for service in SERVICES)})
"""The names of the flags that `access` adds."""


def access(command: Callable[..., int]) -> Callable[..., int]:
    """The flags that say how a service is reached. The command gets them as one value, `access`."""

    @functools.wraps(command)
    def gathered(*, iam_token: str | None, profile: str | None, endpoint: str | None, **others: Any) -> int:
        addresses = {service: others.pop(f"endpoint_{service}") for service in SERVICES}
        given = {service: address for service, address in addresses.items() if address is not None}
        return command(access=Access(iam_token, profile, endpoint, given), **others)

    for option in reversed(_ACCESS):
        gathered = option(gathered)
    return gathered


earlier_run = click.argument("run", default="latest")
job_file = click.option("-f", "--file", "file", metavar="FILE", help="The job file whose runs are meant.")


def output(*kinds: str) -> Callable[[Command], Command]:
    """`-o`, with the kinds that the command can print."""
    return click.option(
        "-o", "--output", type=click.Choice(kinds), default="text", show_default=True,
        help="What is printed to stdout.",
    )  # fmt: skip
