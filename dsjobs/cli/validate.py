"""`dsjobs validate`: every problem of a job file in one pass. Needs no credentials and starts nothing."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dsjobs.cli import loading, options
from dsjobs.cli.console import Console
from dsjobs.cli.contracts import Contracts
from dsjobs.cli.garbage import no_collections
from dsjobs.diagnostics import Diagnostic, has_errors, in_order
from dsjobs.errors import ExitCode


@click.command("validate", short_help="Show every problem of a job file in one pass.")
@options.file
@options.environment
@options.output("text", "json")
@options.chdir
@options.color
@options.quiet
def command(file: str | None, env: str | None, output: str, color: str, quiet: bool) -> int:
    """Show every problem of FILE in one pass, for all its environments or for one.

    Exit code 0 when there is no error, 3 when there is one.
    """
    console = Console(color=color, quiet=quiet)
    with no_collections():
        loaded = loading.load(loading.find_file(file))
        found = list(loaded.diagnostics)
        spec = loaded.spec
        contracts = Contracts(loaded.path.absolute().parent, is_here=False)
        if spec is not None:
            chosen = [loading.choose_environment(spec, env)] if env else list(spec.environments.values())
            found = in_order([*found, *loading.check_everywhere(spec, chosen, contracts)])
    code = ExitCode.INVALID if has_errors(found) else ExitCode.OK
    if output == "json":
        console.answer_json({"ok": code == ExitCode.OK, "diagnostics": [diagnostic.as_json() for diagnostic in found]})
        return code
    console.diagnostics(found, (*loaded.sources, *contracts.sources))
    console.answer(f"{loaded.path}: {_summary(found, len(spec.jobs) if spec else 0)}")
    return code


def _summary(found: Sequence[Diagnostic], jobs: int) -> str:
    errors = sum(diagnostic.is_error for diagnostic in found)
    counts = [_count(errors, "error")] if errors else ["valid", _count(jobs, "job")]
    if len(found) > errors:
        counts.append(_count(len(found) - errors, "warning"))
    return ", ".join(counts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
