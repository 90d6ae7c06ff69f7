"""A notebook cannot tell whether its kernel is a fork: what it gives is the same, byte for byte, but for times and IDs."""

from __future__ import annotations

import sys

import pytest
from modes import Ran, without_identities
from notebooks import NOTEBOOKS, POOLED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no fork server elsewhere")

Modes = dict[str, dict[str, Ran]]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_when_its_kernel_is_a_fork_then_it_gives_what_it_gives_in_a_usual_kernel(modes: Modes, name: str):
    fork, usual = modes["fork"][name], modes["usual"][name]

    assert fork.way == "fork"
    assert usual.way.startswith("usual: ")
    assert fork.notebook == usual.notebook
    assert fork.files == usual.files


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_when_its_kernel_is_a_fork_then_it_ends_as_in_a_usual_kernel(modes: Modes, name: str):
    fork, usual = modes["fork"][name].operation.failure, modes["usual"][name].operation.failure

    assert without_identities(repr(fork)) == without_identities(repr(usual))


@pytest.mark.parametrize("name", POOLED[2:])
def test_notebook_when_its_kernel_has_waited_for_it_then_it_gives_what_it_gives_in_a_usual_kernel(
    other_modes: Modes, name: str
):
    pooled, usual = other_modes["pool"][name], other_modes["usual"][name]

    assert pooled.way.startswith("pool: ")
    assert usual.way.startswith("usual: ")
    assert pooled.notebook == usual.notebook
    assert pooled.files == usual.files
    assert without_identities(repr(pooled.operation.failure)) == without_identities(repr(usual.operation.failure))
