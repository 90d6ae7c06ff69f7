"""`dsjobs serve`: the DataSphere REST API on this machine, for any client that speaks it."""

from __future__ import annotations

import random
import signal
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsjobs.cli import options
from dsjobs.cli.console import Console
from dsjobs.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from dsjobs.server.configuration import Configuration

_MAX_PROJECT_ID = 50
_INSTALL_HINT = "pip install 'dsjobs[server]'"


@click.command("serve", short_help="Serve the DataSphere API on this machine.")
@click.option(
    "-p", "--project", "projects", metavar="ID=FOLDER", multiple=True,
    help="A project and its folder. Repeatable. Default: the project `local` is this folder.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True,
    help="The port to listen at; 0 for any that is free.",
)  # fmt: skip
@click.option("--allow-remote", is_flag=True, help="Allow a --host that other machines reach. Needs --token-file.")
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name that clients may call this server by. Repeatable.",
)
@click.option(
    "--token-file", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False),
    help="Where the token is, instead of a new one at each start.",
)  # fmt: skip
@click.option(
    "--service-account", "accounts", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False), multiple=True,
    help="The authorized key of a service account that may ask for IAM tokens. Repeatable.",
)  # fmt: skip
@click.option(
    "--federation", "federations", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False), multiple=True,
    help="A workload identity federation: whose ID tokens may be exchanged for IAM tokens. Repeatable.",
)  # fmt: skip
@click.option(
    "--metadata",
    is_flag=True,
    help="Give tokens to every process of this machine, as the metadata service of a VM does.",
)
@click.option(
    "--spark-connector",
    "connectors",
    metavar="ID",
    multiple=True,
    help="A Spark connector that is accepted. Repeatable.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse what the service lets pass: unknown fields, null, keys that are no UUID.",
)
@click.option(
    "-j", "--jobs", "max_running", metavar="N", type=click.IntRange(min=1),
    help="How many notebooks may run at once. Default: one for each processor.",
)  # fmt: skip
@click.option("--poll-interval", metavar="SECONDS", type=click.IntRange(min=1), help="Tell clients how often to poll.")
@click.option(
    "--token-seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=43200,
    show_default="12 hours",
    help="How long IAM tokens live.",
)
@click.option(
    "--session-seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=600,
    show_default="10 minutes",
    help="How long session tokens of an open project live.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="Misbehave, to test a client; `--fault list` shows how. Repeatable.",
)
@click.option("--fault-seed", metavar="N", type=int, help="The seed of the faults' chances.")
@click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    default=Path(".dsjobs/serve"), show_default=True, help="Where operations are kept.",
)  # fmt: skip
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(
    projects: tuple[str, ...],
    host: str,
    port: int,
    allow_remote: bool,
    hosts: tuple[str, ...],
    token_file: Path | None,
    accounts: tuple[Path, ...],
    federations: tuple[Path, ...],
    metadata: bool,
    connectors: tuple[str, ...],
    strict: bool,
    max_running: int | None,
    poll_interval: int | None,
    token_seconds: float,
    session_seconds: float,
    faults: tuple[str, ...],
    fault_seed: int | None,
    state_dir: Path,
    output: str,
    color: str,
    quiet: bool,
) -> int:
    """Serve the DataSphere REST API on this machine: Project.Execute and Project.Open over notebooks in local folders.

    Operations survive a restart. Ctrl-C or SIGTERM stops in order: what runs is aborted, what is queued waits for the
    next start.
    """
    console = Console(color=color, quiet=quiet)
    if "list" in faults:
        return _list_faults(console)
    _check_installed()
    from dsjobs.backends import registry
    from dsjobs.server import auth, serving
    from dsjobs.server import faults as server_faults
    from dsjobs.server.configuration import Configuration, default_max_running
    from dsjobs.server.federations import read_federation
    from dsjobs.server.service_accounts import read_key

    _check_reach(host, allow_remote=allow_remote, has_token=token_file is not None, metadata=metadata)
    token = auth.read_token(token_file) if token_file else auth.new_token()
    seed = random.SystemRandom().randrange(10**6) if fault_seed is None else fault_seed
    configuration = Configuration(
        projects=_projects(projects),
        state=state_dir.absolute(),
        token=token,
        host=host,
        allowed_hosts=frozenset(hosts),
        max_running=max_running or default_max_running(),
        strict=strict,
        spark_connectors=frozenset(connectors),
        service_accounts=tuple(read_key(path) for path in accounts),
        federations=tuple(read_federation(path) for path in federations),
        serves_metadata=metadata,
        poll_interval=poll_interval,
        token_seconds=token_seconds,
        session_seconds=session_seconds,
        faults=server_faults.parse(faults, seed),
        tell=partial(_tell, console),
    )
    listener = serving.listen(host, port)
    address = serving.address(listener)
    backend = registry.create("local", Path.cwd(), {})

    def ready() -> None:
        _announce(console, configuration, address, new_token=token_file is None, output=output)

    number = serving.serve(configuration, backend, listener, ready)
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED if number else ExitCode.OK


def _check_installed() -> None:
    missing = [name for name in ("starlette", "uvicorn", "jwt") if find_spec(name) is None]
    if missing:
        raise UsageError(f"the server needs packages that are not installed: {', '.join(missing)}", hint=_INSTALL_HINT)


def _check_reach(host: str, *, allow_remote: bool, has_token: bool, metadata: bool) -> None:
    """Whoever reaches the server can run code here, so what reaches beyond this machine must be meant."""
    from dsjobs.server.gate import is_loopback

    if is_loopback(host):
        return
    if not allow_remote:
        raise UsageError(f"other machines can reach {host}", hint="add --allow-remote if that is meant")
    if not has_token:
        raise UsageError(
            "--allow-remote needs a token of yours", hint="put one into a file and name it with --token-file"
        )
    if metadata:
        raise UsageError("--metadata would give a token to every machine that reaches this one")


def _projects(given: tuple[str, ...]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for text in given or ("local=.",):
        name, equals, written = text.partition("=")
        if not equals or not written or not 0 < len(name) <= _MAX_PROJECT_ID or set(name) & set("/:?#%\\"):
            hint = f"ID=FOLDER, where ID has at most {_MAX_PROJECT_ID} characters and none of / : ? # % \\"
            raise UsageError(f"--project '{text}' is not a project", hint=hint)
        if name in folders:
            raise UsageError(f"--project '{name}' is given twice")
        try:
            folders[name] = Path(written).resolve(strict=True)
        except OSError as error:
            raise UsageError(f"--project {name}: {written}: {error.strerror or error}") from None
        if not folders[name].is_dir():
            raise UsageError(f"--project {name}: {written} is not a folder")
    return folders


def _tell(console: Console, text: str) -> None:
    """Says what happens. Where it cannot be said, as to a log on a full disk, it happens all the same."""
    with suppress(OSError):
        console.progress(text)


def _announce(console: Console, configuration: Configuration, address: str, *, new_token: bool, output: str) -> None:
    """The address to stdout, for programs; to stderr what a person wants to know."""
    faults = configuration.faults
    if output == "json":
        answer = {"address": address, "projects": {name: str(path) for name, path in configuration.projects.items()}}
        console.answer_json(answer | ({"token": configuration.token} if new_token else {}), indent=None)
    else:
        console.answer(address)
        _explain(console, configuration, address, new_token=new_token)
    if faults:
        # Also where --quiet is given: nobody should take a server that misbehaves for one that does not.
        mark = console.styled("faults are on", "error")
        Console().progress(f"{mark}: {faults} (seed {faults.seed}); every answer says so in x-dsjobs-faults")


def _explain(console: Console, configuration: Configuration, address: str, *, new_token: bool) -> None:
    for name, folder in configuration.projects.items():
        console.progress(f"project {name}: {folder}")
    names = ", ".join(f"{name}: {name}" for name in configuration.projects)
    console.progress(
        "to use it from a job file:\n"
        "  environments:\n"
        "    served:\n"
        "      backend: datasphere\n"
        f"      projects: {{{names}}}\n"
        f'      settings: {{endpoint: "{address}"}}'
    )
    if new_token:
        # Shown also with --quiet: it is said once and kept nowhere.
        Console().progress(f"token, shown this once:\n  export YC_IAM_TOKEN={configuration.token}")


def _list_faults(console: Console) -> int:
    from dsjobs.server.faults import FAULTS

    width = max(map(len, FAULTS))
    for name, kind in FAULTS.items():
        default = f" (default {kind.default:g})" if isinstance(kind.default, float) else ""
        default = default or (f" (default {kind.default})" if kind.default != "" else "")
        console.answer(f"{name.ljust(width)}  {kind.unit:<11}  {kind.help}{default}")
    return ExitCode.OK
