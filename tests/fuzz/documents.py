"""Documents made from the JSON Schema of the job file: right, at the edge, and wrong, in every place."""

from __future__ import annotations

import copy
import json
import math
import random
import re
from collections.abc import Mapping
from typing import Any

from expressions import template

from dsjobs import schemas

SCHEMA = schemas.load("jobs")
Schema = Mapping[str, Any]

WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    10**30,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "\n",
    "x",
    "x" * 5000,
    "é\U0001f600",
    "\u202e",
    [],
    [[]],
    [None],
    {},
    {"": ""},
    {"a": {"b": [1]}},
    "2h",
    "1",
    "true",
    "~",
    "{{ vars.region }}",
    "../x",
    "/etc/passwd",
    "a\tb",
)
NAMES = ("first", "second", "cells", "a", "train", "x" * 63, "x" * 64, "a-b", "_", "1a", "é", "", "first")


class Documents:
    """Makes documents; `wildness` is the share of places that get a value which does not belong there."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.wildness = chance.choice((0.0, 0.01, 0.05, 0.3))
        self.left = chance.choice((50, 500, 3000))

    def document(self) -> Any:
        """A whole job file."""
        made = self.value(SCHEMA, 0)
        if isinstance(made, dict) and self.chance.random() < 0.9:
            self.settle(made)
        return made

    def settle(self, made: dict[str, Any]) -> None:
        """What a random file nearly never is: for this version, without files beside it, with names that are there."""
        made["version"] = 1
        for key in ("requires_dsjobs", "include", "default_environment"):
            if self.chance.random() < 0.9:
                made.pop(key, None)
        if not isinstance(made.get("jobs"), list) or not made["jobs"]:
            made["jobs"] = [self.value(SCHEMA["$defs"]["job"], 1) for _ in range(self.chance.randrange(1, 6))]
        if self.chance.random() < 0.8:
            made["variables"] = {"region": "eu", "alpha": 0.1, "list": [1, 2, 3], "full": True, "big": "x" * 900}
            made["pools"] = {"gpu": 1, "a": 2}
        if self.chance.random() < 0.7:
            made["environments"] = {"local": {"backend": "local"}}
        self.name(made["jobs"])

    def name(self, jobs: Any) -> None:
        """Give jobs names of their own and needs that exist, most of the time."""
        mappings = [job for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else []
        for index, job in enumerate(mappings):
            if self.chance.random() < 0.9:
                job["name"] = ("first", "cells")[index] if index < 2 else f"j{index}"
            if index and self.chance.random() < 0.8:
                near = [other.get("name") for other in mappings[:index]]
                job["needs"] = self.chance.sample(near, min(len(near), self.chance.randrange(3)))
            if "cell" not in job and self.chance.random() < 0.9:
                job.setdefault("notebook", "a.ipynb")
            if self.chance.random() < 0.8:  # most templates of random jobs use what is not in their needs
                for key in ("when", "inputs", "project", "spark_connector", "spec"):
                    if "needs." in str(job.get(key)) or self.chance.random() < 0.5:
                        job.pop(key, None)

    def value(self, schema: Schema, depth: int) -> Any:
        """A value for a schema."""
        self.left -= 1
        if self.chance.random() < self.wildness:
            return copy.deepcopy(self.chance.choice(WRONG))
        if "$ref" in schema:
            return self.value(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], depth)
        if self.chance.random() < 0.15 and schema.get("examples"):
            return json.loads(json.dumps(self.chance.choice(schema["examples"])))
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        kinds = schema.get("type", ["string", "number", "object"])
        kind = kinds if isinstance(kinds, str) else self.chance.choice(kinds)
        return getattr(self, kind)(schema, depth)

    def string(self, schema: Schema, depth: int) -> str:
        if not self.wildness and schema.get("examples"):
            return str(self.chance.choice(schema["examples"]))
        if self.chance.random() < 0.3:
            return template(self.chance)
        if self.chance.random() < 0.5 and schema.get("examples"):
            return str(self.chance.choice(schema["examples"]))
        most = schema.get("maxLength", 80)
        length = self.chance.choice((schema.get("minLength", 0), 1, 5, most, most + 1))
        return "".join(self.chance.choice("ab1 _-./é{}:#*&%\n'\"") for _ in range(length))

    def number(self, schema: Schema, depth: int) -> float | int:
        low, high = schema.get("minimum", -2), schema.get("maximum", 10**9)
        finite = (low, low + 1, low - 1, high, high + 1, 1, 2.5, 0, 1e-9)
        return self.chance.choice(finite if self.chance.random() > self.wildness else (float("inf"), float("nan")))

    def integer(self, schema: Schema, depth: int) -> int:
        number = self.number(schema, depth)
        return int(number) if math.isfinite(number) else 0

    def boolean(self, schema: Schema, depth: int) -> bool:
        return self.chance.random() < 0.5

    def null(self, schema: Schema, depth: int) -> None:
        return None

    def array(self, schema: Schema, depth: int) -> list[Any]:
        items = schema.get("items", {})
        return [self.value(items, depth + 1) for _ in range(self.size(depth))]

    def object(self, schema: Schema, depth: int) -> dict[str, Any]:
        found = {}
        properties = schema.get("properties", {})
        share = self.chance.choice((0.1, 0.3, 0.6, 0.95)) if depth < 5 else 0.1
        for name, one in properties.items():
            if self.left > 0 and (name in schema.get("required", ()) or self.chance.random() < share):
                found[name] = self.value(one, depth + 1)
        more = schema.get("additionalProperties", {})
        if isinstance(more, dict):
            pattern = schema.get("propertyNames", {}).get("pattern")
            for _ in range(self.size(depth)):
                name = self.chance.choice((*NAMES, "region", "alpha", "seed", "model", "local", "prod"))
                if pattern is None or self.chance.random() < self.wildness or re.search(pattern, name):
                    found[name] = self.value(more, depth + 1)
        return found

    def size(self, depth: int) -> int:
        return 0 if self.left <= 0 or depth > 12 else self.chance.choice((0, 1, 1, 2, 3, 5, 5, 40 if depth < 4 else 2))
