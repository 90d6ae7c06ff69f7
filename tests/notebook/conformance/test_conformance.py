"""A notebook cannot tell whether its kernel is a fork: what it gives is the same, byte for byte, but for times and IDs."""

from __future__ import annotations

import re
import sys

import pytest
from modes import Ran, without_identities
from notebooks import NOTEBOOKS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")

Modes = dict[str, dict[str, Ran]]

DYING = frozenset({"crashed", "killed"})
"""Notebooks that end their kernel at once. On a busy machine a fork's last message, with the cell's number, was seen to be lost;
whether a usual kernel loses it too has not been measured."""


def written(name: str, notebook: str) -> str:
    return re.sub(r'"execution_count": (null|\d+)', '"execution_count": null', notebook) if name in DYING else notebook


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_when_its_kernel_is_a_fork_then_it_gives_what_it_gives_in_a_usual_kernel(modes: Modes, name: str):
    fork, usual = modes["fork"][name], modes["usual"][name]

    assert fork.way == "fork"
    assert usual.way.startswith("usual: ")
    assert written(name, fork.notebook) == written(name, usual.notebook)
    assert fork.files == usual.files


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_when_its_kernel_is_a_fork_then_it_ends_as_in_a_usual_kernel(modes: Modes, name: str):
    fork, usual = modes["fork"][name].operation.failure, modes["usual"][name].operation.failure

    assert without_identities(repr(fork)) == without_identities(repr(usual))
