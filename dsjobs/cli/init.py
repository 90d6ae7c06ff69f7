"""`dsjobs init`: writes a job file, and with `--demo` the notebooks of a whole pipeline. Never overwrites anything."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dsjobs.cli import drafting, options
from dsjobs.cli.console import Console
from dsjobs.errors import UsageError
from dsjobs.files import write_atomically

FILE_NAME = "jobs.yaml"


@click.command("init", short_help="Write a job file: a draft from the notebooks of a folder, or a demo.")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--demo", is_flag=True, help="Write a pipeline with its notebooks, ready to run.")
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(folder: Path, demo: bool, output: str, color: str, quiet: bool) -> int:
    """Write a job file into DIR: a draft with a job for each notebook found there, or a demo that runs as it is.

    Files that are there already are never touched: the command refuses, and says which.
    """
    console = Console(color=color, quiet=quiet)
    files, notes = (drafting.demo_files(), []) if demo else _draft(folder)
    write_new(folder, files)
    for note in notes:
        console.progress(f"note: {note}")
    if output == "json":
        console.answer_json({"folder": str(folder), "files": sorted(files), "notes": notes})
        return 0
    for name in sorted(files):
        console.answer(f"wrote {folder / name}")
    at = "" if folder == Path() else f" -C {shlex.quote(str(folder))}"
    console.progress(f"next: dsjobs {'apply' if demo else 'validate'}{at}")
    return 0


def _draft(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    notebooks, notes = drafting.find_notebooks(folder) if folder.is_dir() else ([], [])
    name = folder.absolute().name or "pipeline"
    return {FILE_NAME: drafting.draft(name, notebooks).encode()}, notes


def write_new(folder: Path, files: dict[str, bytes]) -> None:
    """Write `files` (path below `folder` to content), all or none. Raises UsageError when one of them exists."""
    existing = sorted(name for name in files if (folder / name).exists())
    if existing:
        hint = "choose another folder: `dsjobs init DIR`"
        raise UsageError(f"{folder / existing[0]} exists already, and nothing is overwritten", hint=hint)
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise UsageError(f"{path}: this cannot be written: {error.strerror}") from None
