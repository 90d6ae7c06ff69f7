"""Protected environments: whoever changes something there must say so, with --yes or by typing the environment's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsjobs.cli.console import Console
from dsjobs.errors import GuardError
from dsjobs.model import Plan

if TYPE_CHECKING:
    from dsjobs.run.store import RunFolder


def require_consent(console: Console, plan: Plan, *, yes: bool) -> None:
    """Ask before a plan runs in a protected environment. Raises GuardError where nobody agrees."""
    if plan.protected and not yes:
        runs = sum(planned.action == "run" for planned in plan.jobs)
        _ask(console, plan.environment, f"{runs} of {len(plan.jobs)} jobs would run")


def require_consent_for_run(console: Console, folder: RunFolder, *, yes: bool) -> None:
    """Ask before something is done to a run in a protected environment. Raises GuardError where nobody agrees."""
    from dsjobs.run import journal

    header = journal.header(folder.journal)
    if header.get("protected", False) and not yes:
        _ask(console, header["environment"], f"this is about run {header['run_id']}")


def _ask(console: Console, environment: str, what: str) -> None:
    message = f"environment '{environment}' is protected"
    answer = console.asks_for(environment, f"{message}: {what}. Type its name to go on")
    if answer is None:
        raise GuardError(f"{message}, and there is no terminal to ask at", hint="--yes says that it is meant")
    if not answer:
        raise GuardError(f"{message}, and what was typed is not its name: nothing was done")
