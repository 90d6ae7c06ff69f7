"""Every flag of every command can be set as DSJOBS_<FLAG>."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.core import ParameterSource

from dsjobs.cli import COMMANDS, cli

LOOKED_UP_BY_THE_BACKEND = frozenset(
    {"iam_token", "profile", "endpoint", *(f"endpoint_{name}" for name in ("datasphere", "operation", "iam", "auth"))}
)
"""`tests/datasphere` holds that each of these does what its flag does."""

VALUES = {
    "NAME=VALUE": "a=1", "TIME": "5s", "AGE": "5d", "DIR": ".", "ID=FOLDER": "a=.", "SECONDS": "2", "N": "2",
    "SELECTOR": "one two",
}  # fmt: skip


def flags() -> Iterator[tuple[str, click.Option]]:
    for name in COMMANDS:
        found = cli.get_command(click.Context(cli), name)
        assert found is not None
        yield from ((name, flag) for flag in found.params if isinstance(flag, click.Option) and flag.name != "given")


FLAGS = list(flags())


def value_for(flag: click.Option) -> str:
    if flag.is_flag:
        return "1"
    if isinstance(flag.type, click.Choice):
        return str(flag.type.choices[-1])
    return VALUES.get(flag.metavar or "", "7")


@pytest.mark.parametrize(("command", "flag"), FLAGS, ids=[f"{command} {flag.opts[-1]}" for command, flag in FLAGS])
def test_flag_when_its_variable_is_set_then_it_is_as_if_given(
    command: str, flag: click.Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = max(flag.opts, key=len)
    variable = "DSJOBS_" + longest.removeprefix("--").replace("-", "_").upper()
    value = value_for(flag)
    found = cli.get_command(click.Context(cli), command)
    assert found is not None and flag.envvar == variable
    arguments = ["x" for argument in found.params if isinstance(argument, click.Argument) and argument.required]
    given = [longest] if flag.is_flag else [word for text in value.split() for word in (longest, text)]
    by_flag = found.make_context(command, [*arguments, *given])
    monkeypatch.setenv(variable, value)
    by_variable = found.make_context(command, list(arguments))
    assert flag.name is not None
    if flag.name in LOOKED_UP_BY_THE_BACKEND:
        return
    assert by_flag.get_parameter_source(flag.name) is ParameterSource.COMMANDLINE
    assert by_variable.get_parameter_source(flag.name) is ParameterSource.ENVIRONMENT
    assert by_variable.params == by_flag.params
