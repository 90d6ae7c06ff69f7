"""`dsjobs status`: one run as a table, read from its journal, so that it is current also while the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.errors import UsageError
from dsjobs.reports import text
from dsjobs.run import store


@click.command("status", short_help="Show how a run stands or ended.")
@click.argument("run", default="latest")
@click.option("-f", "--file", "file", metavar="FILE", envvar="DSJOBS_FILE", help="The job file whose runs are meant.")
@options.state_dir
@options.output("text", "json")
@options.chdir
@options.color
def command(run: str, file: str | None, state_dir: Path | None, output: str, color: str) -> int:
    """Show RUN: a run's ID, a unique start of one, `latest` (the default), or the path of a manifest."""
    console = Console(color=color)
    manifest = load(run, file, state_dir)
    if output == "json":
        console.answer_json(manifest)
    else:
        console.answer(text.table(manifest, console.status_on_stdout))
    return 0


def load(run: str, file: str | None, state_dir: Path | None) -> dict[str, Any]:
    """The manifest of a run that a user names."""
    if run.endswith((".yaml", ".yml")):
        raise UsageError(f"'{run}' is not a run", hint=f"name the job file with -f: `dsjobs status -f {run}`")
    if run.endswith(".json") or "/" in run:
        return store.read_manifest(Path(run))
    return store.load(store.find(state_dir or state_folder(file), run))


def state_folder(file: str | None) -> Path:
    """The state folder: beside the job file, else the nearest one here or in a parent folder."""
    if file is None:
        for folder in (Path.cwd(), *Path.cwd().parents):
            if (folder / store.STATE_FOLDER / "runs").is_dir():
                return folder / store.STATE_FOLDER
    try:
        return loading.find_file(file).absolute().parent / store.STATE_FOLDER
    except UsageError:
        raise UsageError("there are no runs here", hint="start one with `dsjobs apply`, or name --state-dir") from None
