"""Parts of the documentation that are made from the code: the keys of the job file, the fields of the manifest and the
journal, and the flags of each command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from dsjobs import schemas
from dsjobs.cli import COMMANDS, cli

Schema = Mapping[str, Any]


def commands() -> str:
    """Each command with its arguments and flags."""
    return "\n\n".join("\n".join(_command(name)) for name in COMMANDS)


def _command(name: str) -> Iterator[str]:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    arguments = [one for one in found.params if isinstance(one, click.Argument)]
    shown = [one.metavar or (one.name or "").upper() for one in arguments]
    words = [
        text if argument.required or text.startswith("[") else f"[{text}]"
        for argument, text in zip(arguments, shown, strict=True)
    ]
    yield f"### `{' '.join(['dsjobs', name, *words])}`"
    yield ""
    yield _paragraph(found.help or "")
    yield ""
    yield "| flag | variable | does |"
    yield "| --- | --- | --- |"
    for option in found.params:
        if isinstance(option, click.Option):
            yield f"| {_flag(option)} | {_variable(option)} | {_cell(_help(option))} |"


def _flag(option: click.Option) -> str:
    value = ""
    if not option.is_flag:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        value = " " + (option.metavar or "\\|".join(map(str, choices)) or option.type.name.upper())
    return f"`{', '.join(option.opts)}{value}`"


def _variable(option: click.Option) -> str:
    return f"`{option.envvar or 'DSJOBS_VAR_NAME'}`"


def _help(option: click.Option) -> str:
    text = option.help or ""
    default = option.default if option.show_default else None
    return f"{text} Default: `{default}`." if isinstance(default, str | int | float) and not option.is_flag else text


def keys_of_the_job_file() -> str:
    """The keys at the top level, then those of each mapping in it that has keys of its own."""
    schema = schemas.load("jobs")
    sections = [
        ("At the top level", schema),
        ("`jobs`: a job", schema["$defs"]["job"]),
        ("`defaults`", schema["$defs"]["defaults"]),
        ("`retry`", schema["$defs"]["retry"]),
        ("`matrix`", schema["$defs"]["matrix"]),
        ("`environments`: an environment", schema["$defs"]["environment"]),
        ("`environments`: `settings`", schema["$defs"]["environment"]["properties"]["settings"]),
    ]
    settings = schema["$defs"]["environment"]["properties"]["settings"]["properties"]
    sections += [(f"`environments`: `settings.{name}`", one) for name, one in settings.items() if one.get("properties")]
    described = {id(one) for _, one in sections}
    for name, definition in schema["$defs"].items():
        if definition.get("properties") and id(definition) not in described:
            sections.append((f"`{name}`", definition))
    return "\n\n".join(_table(title, section, schema, "key") for title, section in sections)


def fields_of_the_manifest() -> str:
    """The fields of the manifest, and of each mapping in it."""
    schema = schemas.load("manifest")
    sections = [("The manifest", schema), *((f"`{name}`", one) for name, one in schema["$defs"].items())]
    return _with_inner(sections, schema)


def records_of_the_journal() -> str:
    """The fields of each kind of record; what a record shares with the manifest is described there."""
    schema = schemas.load("journal")
    shared = schemas.load("manifest")["$defs"]
    return _with_inner([(f"`{name}`", one) for name, one in schema["$defs"].items() if name not in shared], schema)


def _with_inner(sections: list[tuple[str, Schema]], schema: Schema) -> str:
    return "\n\n".join(_table(*one, schema, "field") for section in sections for one in _inner(*section))


def _inner(title: str, section: Schema) -> Iterator[tuple[str, Schema]]:
    """A mapping and those in it that have fields of their own."""
    yield title, section
    outer = title.strip("`") + "." if title.startswith("`") else ""
    for key, one in section["properties"].items():
        for name, inner in (
            (key, one),
            (f"{key}.NAME", one.get("additionalProperties")),
            (f"{key}[]", one.get("items")),
        ):
            if isinstance(inner, dict) and inner.get("properties"):
                yield from _inner(f"`{outer}{name}`", inner)


def _table(title: str, section: Schema, schema: Schema, what: str) -> str:
    lines = [f"### {title}", "", _paragraph(section.get("description", "")), ""]
    lines += [f"| {what} | type | meaning | example |", "| --- | --- | --- | --- |"]
    required = section.get("required", ())
    for name, one in section["properties"].items():
        there = f"**`{name}`**" if name in required else f"`{name}`"
        meaning = one.get("description") or _target(one, schema).get("description", "")
        lines.append(f"| {there} | {_type(one, schema)} | {_cell(meaning)} | {_example(one, schema)} |")
    return "\n".join(lines)


def _target(one: Schema, schema: Schema) -> Schema:
    """What a reference leads to, else the schema itself."""
    target: Schema = schema["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
    return target


def _type(one: Schema, schema: Schema) -> str:
    if "anyOf" in one:
        return " or ".join(_type(choice, schema) for choice in one["anyOf"])
    target = _target(one, schema)
    if "const" in target:
        return f"`{json.dumps(target['const'])}`"
    if "enum" in target:
        return ", ".join(f"`{json.dumps(value)}`" for value in target["enum"])
    kinds = target.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _example(one: Schema, schema: Schema) -> str:
    examples = one.get("examples") or _target(one, schema).get("examples") or ()
    shown = json.dumps(examples[0], ensure_ascii=False) if examples else ""
    return "`" + shown.replace("|", "\\|") + "`" if shown and len(shown) <= 100 else ""


def _cell(text: str) -> str:
    return _paragraph(text).replace("|", "\\|")


def _paragraph(text: str) -> str:
    return " ".join(text.split())


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "keys of the job file": keys_of_the_job_file,
    "fields of the manifest": fields_of_the_manifest,
    "records of the journal": records_of_the_journal,
}
