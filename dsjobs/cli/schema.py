"""`dsjobs schema`: prints a JSON Schema as it is published."""

from __future__ import annotations

import json

import click

from dsjobs import schemas
from dsjobs.cli import options
from dsjobs.cli.console import Console


@click.command("schema", short_help="Print a JSON Schema.")
@click.argument("name", type=click.Choice(schemas.NAMES), default="jobs")
@options.output("text", "json")
def command(name: str, output: str) -> int:
    """Print the JSON Schema NAME: of the job file (jobs, the default), a plan, a journal or a manifest.

    An editor that reads it completes and checks the file while it is typed.
    """
    console = Console()
    if output == "json":
        console.answer_json({"name": name, "schema": json.loads(schemas.text(name))})
    else:
        console.answer(schemas.text(name).rstrip("\n"))
    return 0
