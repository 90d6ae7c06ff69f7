"""Request messages, parsed as the service's JSON transcoder parses them: any content type, camelCase or snake_case, null for
what is not set, unknown fields dropped (with `strict` refused). Whatever is wrong is said in one answer.

Pages: DataSphere API v2, REST, Project.Execute and Project.Open. Limits count characters.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

from dsjobs.model import Request
from dsjobs.server.errors import Violation
from dsjobs.server.fields import Fields, has_surrogate

MAX_PROJECT_ID = 50
MAX_TARGET = 200
MAX_SPARK_CONNECTOR = 200
MAX_OAUTH = 4000
MAX_JWT = 8000
# What the kernel of Linux takes as one string of an environment.
MAX_VARIABLE_BYTES = 128 * 1024 - 1
# What protobuf's parser of JSON takes.
MAX_DEPTH = 100

# Where DataSphere mounts a project's storage; a path copied from a notebook there begins with it.
PROJECT_PREFIX = "/home/jupyter/datasphere/project/"
DEFAULT_SPEC = "c1.4"
SPECS = frozenset(
    "c1.4 c1.8 c1.32 c1.80 g1.1 g1.2 g1.4 g2.1 g2.2 g2.4 g2.8 g2.mig gt4.1 gt4i.1".split(),
)
_EXECUTION = ("notebookId", "cellId", "inputVariables", "outputVariableNames", "spec", "sparkConnectorId")
_TOKEN = ("yandexPassportOauthToken", "jwt")


def execution(project_id: str, raw: bytes, *, strict: bool) -> Request:
    """The body of Project.Execute. `Request.project` is the project's ID. Raises ApiError."""
    fields = Fields(raw, _EXECUTION, strict=strict)
    _check_project_id(fields, project_id)
    notebook = fields.text("notebookId", MAX_TARGET)
    cell = fields.text("cellId", MAX_TARGET)
    if not fields.violations:
        _check_target(fields, notebook, cell)
    spec = fields.text("spec") or DEFAULT_SPEC
    if spec not in SPECS:
        fields.refuse("spec", f"unknown specification '{spec:.50}'")
    request = Request(
        project=project_id,
        notebook=notebook,
        cell=cell,
        input_variables=_input_variables(fields),
        output_variable_names=fields.texts("outputVariableNames"),
        spec=spec,
        spark_connector=fields.text("sparkConnectorId", MAX_SPARK_CONNECTOR) or None,
    )
    fields.finish()
    return request


def opening(project_id: str, raw: bytes, *, strict: bool) -> None:
    """The body of Project.Open, which has no fields. Raises ApiError."""
    fields = Fields(raw, (), strict=strict)
    _check_project_id(fields, project_id)
    fields.finish()


def token_exchange(raw: bytes, *, strict: bool) -> tuple[str, str]:
    """The body of IamToken.Create: which of its two fields is set, and its value. Raises ApiError."""
    fields = Fields(raw, _TOKEN, strict=strict)
    given = {"yandexPassportOauthToken": fields.text(_TOKEN[0], MAX_OAUTH), "jwt": fields.text(_TOKEN[1], MAX_JWT)}
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1 and not fields.violations:
        fields.refuse("identity", "exactly one of yandexPassportOauthToken, jwt must be set")
    fields.finish()
    return found[0]


def target_violation(notebook: str | None, cell: str | None) -> Violation | None:
    """What is wrong with a target as it is written: nothing that could lead out of the project's folder passes."""
    if notebook is not None:
        problem = _path_problem(notebook)
        return Violation("notebookId", problem) if problem else None
    path, separator, _ = (cell or "").rpartition("/cell/")
    problem = _path_problem(path) if separator else _text_problem(cell or "")
    return Violation("cellId", problem) if problem else None


def relative_path(notebook: str) -> str:
    """The path below the project's folder of what `notebookId` names."""
    return notebook.removeprefix(PROJECT_PREFIX)


def _check_project_id(fields: Fields, project_id: str) -> None:
    if len(project_id) > MAX_PROJECT_ID:
        fields.refuse("projectId", f"must be at most {MAX_PROJECT_ID} characters long")


def _check_target(fields: Fields, notebook: str | None, cell: str | None) -> None:
    if (notebook is None) == (cell is None):
        fields.refuse("target", "exactly one of notebookId, cellId must be set")
        return
    violation = target_violation(notebook, cell)
    if violation is not None:
        fields.violations.append(violation)


def _path_problem(written: str) -> str | None:
    path = relative_path(written)
    parts = path.split("/")
    if problem := _text_problem(path):
        return problem
    if "\\" in path:
        return "has a backslash; folders are separated by '/'"
    if path.startswith("/"):
        return f"is an absolute path; only {PROJECT_PREFIX}… may come before a path in the project"
    if ".." in parts:
        return "has '..' in its path, which may leave the project's folder"
    if not parts[-1].endswith(".ipynb"):
        return "must end in .ipynb"
    return None


def _text_problem(text: str) -> str | None:
    if not text:
        return "must not be empty"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        return "has a control character"
    return None


def _input_variables(fields: Fields) -> dict[str, str]:
    """The variables as text. A google.protobuf.Struct has doubles only: 5 and 5.0 are the same number, written `5`."""
    variables: dict[str, str] = {}
    for name, value in fields.mapping("inputVariables").items():
        place = f"inputVariables.{name}"
        if not name or "=" in name or "\0" in name or has_surrogate(name):
            fields.refuse("inputVariables", f"{name!r} cannot be the name of an environment variable")
            continue
        try:
            text = _variable_text(value)
        except ValueError as error:
            fields.refuse(place, str(error))
            continue
        if "\0" in text or has_surrogate(text):
            fields.refuse(place, "cannot be the value of an environment variable: it has a NUL or half a surrogate")
        elif len(f"{name}={text}".encode()) > MAX_VARIABLE_BYTES:
            fields.refuse(place, f"is longer than an environment variable may be ({MAX_VARIABLE_BYTES} bytes)")
        else:
            variables[name] = text
    return variables


def _variable_text(value: Any) -> str:
    if value is None:
        raise ValueError("is null; an environment variable is text")
    if isinstance(value, str):
        return value
    return json.dumps(_as_struct(value, MAX_DEPTH), ensure_ascii=False, separators=(",", ":"))


def _as_struct(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _as_struct(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_struct(item, depth - 1) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _double(value)
    return value


def _double(value: float) -> float | int:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ValueError("has a number that is too large")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
