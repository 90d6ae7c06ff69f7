"""What the local backend writes by itself, for a later process and for people, has no secrets."""

from __future__ import annotations

import threading
from dataclasses import replace

from disguises import leaks, leaks_below

from dsjobs.secrets import Redactor, Secret

SECRET = Secret("DB", 'a long "secret" value/é')


def test_submit_when_a_notebook_has_a_secret_then_notes_and_executed_notebook_do_not(bench, tmp_path):
    kept = tmp_path / "kept"
    for name, last in (("raises", "raise ValueError(value)"), ("publishes", "output = [value]")):
        bench.write(f"{name}.ipynb", f"import os\nvalue = os.environ['PASSWORD']\nprint(value)\n{last}")
        asked = bench.submission(f"{name}.ipynb", executed=kept / f"{name}.ipynb", output_variable_names=("output",))
        secrets, ended = {"PASSWORD": SECRET}, threading.Event()
        submission = replace(asked, notes=kept / "notes", secrets=secrets, redactor=Redactor([SECRET]))

        operation = bench.backend.submit(submission, idempotency_key=name, notify=lambda _, ended=ended: ended.set())

        assert ended.wait(60)
        seen = bench.backend.poll(operation.id)
        assert seen.failure is not None
        assert leaks(repr(seen), SECRET.reveal()) == []
        assert "***" in (kept / f"{name}.ipynb").read_text()
    assert len(list((kept / "notes").iterdir())) == 4
    assert leaks_below(kept, SECRET.reveal()) == {}
