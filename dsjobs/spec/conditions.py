"""`when`: whether a job runs, as its expression says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsjobs.spec.allowance import Allowance
from dsjobs.spec.templates import TemplateError, compile_template


def holds(when: str, names: Mapping[str, Any], allowance: Allowance | None = None) -> bool:
    """The value of a `when`. `names`: everything that it uses. Raises TemplateError, also where it is neither true nor false:
    any text is true for Jinja, "false" as well."""
    value = compile_template(when).render(names, allowance)
    if isinstance(value, bool):
        return value
    shown = f"the text '{value[:40]}'" if isinstance(value, str) else _shown(value)
    hint = "compare it with something, e.g. `{{ vars.mode == 'full' }}`"
    raise TemplateError("DSJ206", f"'when' gives {shown}, neither true nor false", hint=hint)


def _shown(value: Any) -> str:
    if isinstance(value, int | float):
        return f"the number {value}"
    return "null" if value is None else "a list" if isinstance(value, list) else "a mapping"
