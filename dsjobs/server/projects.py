"""The projects: which ID stands for which folder, and nothing outside those folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dsjobs.server import messages
from dsjobs.server.answers import timestamp
from dsjobs.server.auth import USER_ID
from dsjobs.server.errors import ApiError, Code, Violation, bad_request

COMMUNITY_ID = "dsjobs"
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_PAGE_TOKEN = 100


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The parameters of Project.List. `after`: the last ID of the page before; empty for the first page."""

    community_id: str
    page_size: int
    after: str
    name_pattern: str
    owned_by_id: str


class Projects:
    """The projects of a server. `folders` are absolute and resolved; `created_at` is what the API says of all of them."""

    def __init__(self, folders: Mapping[str, Path], created_at: int) -> None:
        self._folders = dict(folders)
        self._created_at = created_at

    def folder(self, project_id: str) -> Path:
        """The folder of a project. Raises ApiError for an ID that is not served."""
        folder = self._folders.get(project_id)
        if folder is None:
            raise ApiError(Code.NOT_FOUND, f"Project {project_id} not found")
        return folder

    def check_target(self, project_id: str, notebook: str | None, cell: str | None) -> None:
        """Refuses a notebook that is a link to somewhere else. Whether there is one at all is seen when it runs."""
        name, path = (
            ("notebookId", notebook) if notebook is not None else ("cellId", (cell or "").rpartition("/cell/")[0])
        )
        folder = self.folder(project_id)
        if path and not Path(os.path.realpath(folder / messages.relative_path(path))).is_relative_to(folder):
            raise bad_request([Violation(name, "is a link that leaves the project's folder")])

    def get(self, project_id: str) -> dict[str, Any]:
        """The Project message."""
        self.folder(project_id)
        return {
            "id": project_id,
            "createdAt": timestamp(self._created_at),
            "name": project_id,
            "description": "A folder on this machine, served by dsjobs",
            "labels": {},
            "createdById": USER_ID,
            "settings": {"ide": "JUPYTER_LAB", "defaultDedicatedSpec": messages.DEFAULT_SPEC},
            "limits": {},
            "communityId": COMMUNITY_ID,
        }

    def page(self, query: ListQuery) -> dict[str, Any]:
        """The ListProjectsResponse. `nextPageToken` is empty on the last page."""
        found = [name for name in sorted(self._folders) if self._matches(name, query)]
        shown = found[: query.page_size]
        more = len(found) > len(shown)
        return {
            "projects": [self.get(name) for name in shown],
            "nextPageToken": shown[-1] if more else "",
        }

    def _matches(self, project_id: str, query: ListQuery) -> bool:
        return (
            project_id > query.after
            and query.community_id in ("", COMMUNITY_ID)
            and query.owned_by_id in ("", USER_ID)
            and fnmatchcase(project_id, query.name_pattern or "*")
        )


def list_query(parameters: Sequence[tuple[str, str]]) -> ListQuery:
    """The query of Project.List, in camelCase or snake_case; the last value of a name counts. Raises ApiError."""
    given = {name.replace("_", "").casefold(): value for name, value in parameters}
    violations: list[Violation] = []
    size, after = given.get("pagesize", ""), given.get("pagetoken", "")
    if size and not (size.isascii() and size.isdecimal() and len(size) <= 4 and int(size) <= MAX_PAGE_SIZE):
        violations.append(Violation("pageSize", f"must be a number from 0 to {MAX_PAGE_SIZE}"))
    if len(after) > MAX_PAGE_TOKEN:
        violations.append(Violation("pageToken", f"must be at most {MAX_PAGE_TOKEN} characters long"))
    if violations:
        raise bad_request(violations)
    return ListQuery(
        community_id=given.get("communityid", ""),
        page_size=int(size or 0) or DEFAULT_PAGE_SIZE,
        after=after,
        name_pattern=given.get("projectnamepattern", ""),
        owned_by_id=given.get("ownedbyid", ""),
    )
