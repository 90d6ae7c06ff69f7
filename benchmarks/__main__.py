"""`python -m benchmarks`: every table, or those that `--only` names."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks import execute, load, machine, notebooks, resume, startup, watching
from benchmarks.settings import Settings
from benchmarks.tables import text

BENCHMARKS = {
    "load": load.tables,
    "execute": execute.tables,
    "watching": watching.tables,
    "resume": resume.tables,
    "startup": startup.tables,
    "notebooks": notebooks.tables,
}


def main() -> None:
    arguments = _arguments()
    print(machine.words(), flush=True)
    tables = []
    with tempfile.TemporaryDirectory(prefix="dsjobs-benchmarks-", dir=arguments.folder) as folder:
        peers, cases = tuple(arguments.peer or ()), tuple(arguments.case or ())
        settings = Settings(Path(folder), arguments.quick, arguments.huge, peers, cases)
        for name in arguments.only or BENCHMARKS:
            for table in BENCHMARKS[name](settings):
                print("\n" + text(table), flush=True)
                tables.append(table)
    if arguments.json:
        figures = {"machine": machine.facts(), "tables": [table.as_json() for table in tables]}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="dsjobs beside its peers, in one run.")
    parser.add_argument("--only", action="append", choices=[*BENCHMARKS], help="run this one only; repeatable")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and one round: shows that everything runs")
    parser.add_argument("--huge", action="store_true", help="load: 100,000 jobs as well (minutes, 2 GiB)")
    parser.add_argument(
        "--peer", action="append", help="notebooks: beside peers whose names begin like this; repeatable"
    )
    parser.add_argument(
        "--case",
        action="append",
        help="watching, notebooks: cases that begin like this, such as '0.5 s', 'in flight' or 'trivial'; repeatable",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep the figures there")
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp"), help="on the disk whose sync is measured; default %(default)s"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
