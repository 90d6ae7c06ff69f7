"""How long it takes until a command has said something: `--help`, and `validate` of 100 jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from benchmarks import jobfiles
from benchmarks.measure import in_turn, median, ratio, run
from benchmarks.settings import ROOT, Settings, dsjobs
from benchmarks.tables import Table

ROUNDS = 25

# What pip writes for the entry point of pyproject.toml.
CONSOLE_SCRIPT = "import sys\nfrom dsjobs.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"

PAPERMILL = "papermill --help"
TARGETS = {"dsjobs --help": ("bare click --help", 1.4), "validate 100 jobs": (PAPERMILL, 0.5)}


def tables(settings: Settings) -> Iterator[Table]:
    """Each command beside `python -c pass`, a bare click command and papermill."""
    commands, notes = _commands(settings)
    measures = {name: partial(run, command, settings.folder) for name, command in commands.items()}
    walls = {
        name: [sample.wall for sample in samples]
        for name, samples in in_turn(measures, 1 if settings.quick else ROUNDS).items()
    }
    peers = ("python -c pass", "bare click --help", PAPERMILL)
    columns = ("command", "ms", *(f"× {peer}" for peer in peers), "target")
    table = Table("Start-up", columns, notes=notes)
    for name, own in walls.items():
        ratios = [ratio(own, walls[peer]) if peer in walls else None for peer in peers]
        table.rows.append((name, median(own) * 1000, *ratios, _target(name)))
    yield table


def _target(name: str) -> str | None:
    base = next((base for base in TARGETS if name.startswith(base)), None)
    return f"≤ {TARGETS[base][1]} × {TARGETS[base][0]}" if base else None


def _commands(settings: Settings) -> tuple[dict[str, list[str]], list[str]]:
    path = str(jobfiles.write(settings.folder, 100))
    script = settings.folder / "dsjobs"
    script.write_text(CONSOLE_SCRIPT, encoding="utf-8")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bare click --help": [sys.executable, str(ROOT / "benchmarks" / "bare_click.py"), "--help"],
        "dsjobs --help": [sys.executable, str(script), "--help"],
        "dsjobs --help, python -m": dsjobs("--help"),
        "validate 100 jobs": [sys.executable, str(script), "validate", path],
        "validate 100 jobs, python -m": dsjobs("validate", path),
    }
    if settings.quick:
        return commands, [f"{PAPERMILL}: left out, with other heavy packages installed it takes seconds"]
    if find_spec("papermill") is None:
        return commands, [f"{PAPERMILL}: left out, papermill is not installed"]
    return {**commands, PAPERMILL: [sys.executable, "-m", "papermill", "--help"]}, []
