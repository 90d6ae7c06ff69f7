"""The command line. This module is all that `dsjobs --help` loads: a command is imported when it is called."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

# Name to the line that `dsjobs --help` shows; the module is `dsjobs.cli.<name>`, its `command` the click command.
COMMANDS = {
    "init": "Write a job file: a draft from the notebooks of a folder, or a demo.",
    "validate": "Show every problem of a job file in one pass.",
    "plan": "Show what would run, with which inputs, and why.",
    "apply": "Run the jobs and write a manifest of what happened.",
    "resume": "Take up a run that was interrupted.",
    "retry": "Run again what failed, was skipped or was cancelled.",
    "cancel": "Ask for the end of a run, and of what it has in flight.",
    "status": "Show how a run stands or ended.",
    "runs": "List the runs, newest first.",
    "logs": "Show what a job's notebook printed, cell by cell.",
    "diff": "Show what changed from one run to another.",
    "reproduce": "Run the same again and compare the outputs.",
    "clean": "Remove the folders of old runs.",
    "open": "Open a project's web interface.",
    "serve": "Serve the DataSphere API on this machine.",
    "explain": "Say what a diagnostic means, or where a value comes from.",
    "schema": "Print a JSON Schema.",
    "doctor": "Show which credentials, projects, kernels and packages are there.",
}


NOT_LOADED = ("rfc3987_syntax", "isoduration", "rfc3986_validator", "uri_template", "webcolors")
"""Packages that no command uses, and that others would load."""

# `--var NAME=VALUE` is DSJOBS_VAR_NAME, which `variables.py` reads.
_WITHOUT_VARIABLE = frozenset({"given"})


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is needed. Every flag can be set as DSJOBS_<FLAG>."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"dsjobs.cli.{cmd_name}").command
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in _WITHOUT_VARIABLE:
                parameter.envvar = f"DSJOBS_{max(parameter.opts, key=len).lstrip('-').replace('-', '_').upper()}"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from dsjobs.diagnostics import did_you_mean
            from dsjobs.errors import UsageError

            raise UsageError(f"there is no command '{args[0]}'", hint=did_you_mean(args[0], COMMANDS))
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from dsjobs import __version__

        click.echo(f"dsjobs {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Run notebooks that a job file declares, on DataSphere or on this machine.

    Start with `dsjobs init --demo DIR`, or with `dsjobs plan` beside a jobs.yaml.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. Every exception becomes text and a code here, and only here."""
    # jsonschema loads these where JupyterLab has brought them, for formats that dsjobs never asks it to check; that takes longer
    # than all the rest together, for the first of them two seconds. None makes an import fail, for which jsonschema is prepared.
    for name in NOT_LOADED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    code = _run(arguments)
    # An interpreter that ends looks for garbage in all that is left, which is a tenth of a short command's time. Frozen, what
    # is left is not looked at; everything that must happen at the end still does.
    gc.freeze()
    sys.exit(code)


# click 8.1 prints the help itself.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code: Any = cli.main(args=arguments, prog_name="dsjobs", standalone_mode=False)
    except _NO_ARGUMENTS as error:
        error.show()
        return 2
    except click.ClickException as error:
        from dsjobs.cli import failing

        return failing.report_usage(error)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Exception as error:  # noqa: BLE001 - the one place that turns what is left into a code
        from dsjobs.cli import failing

        return failing.report(error)
    return int(code or 0)
