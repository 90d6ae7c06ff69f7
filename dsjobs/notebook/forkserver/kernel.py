"""Turns a fork of the server into a kernel like one that was started the usual way, as far as a notebook can see.

What an interpreter reads when it starts, or a module when it is imported, is as it was when the server started; `choice.py`
keeps notebooks away that would want it otherwise. All else that belongs to a process is made new here.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from dsjobs.notebook import entry
from dsjobs.notebook.forkserver import keeper

_HISTORY = "--HistoryManager.hist_file=:memory:"


class Image:
    """What the server knows of the process that it has become by importing: the variables and `sys.path` that kernels get."""

    def __init__(self, launcher: str, variables: Mapping[str, str | None], codes: Mapping[str, CodeType]) -> None:
        """`codes`: files whose functions are going to be called in kernels, compiled."""
        self.launcher = launcher
        self._variables = variables
        self._codes = dict(codes)

    def become(self, request: keeper.Request, lifeline: socket.socket, gate: socket.socket) -> None:
        """A kernel, to its end."""
        _renew_process()
        arguments: list[str] = request["argv"][request["argv"].index("-m") + 2 :]
        sys.argv = [self.launcher, *arguments]
        sys.orig_argv[:] = request["argv"]
        _forget_dsjobs()
        if not request["hold"]:
            gate.close()
            self._enter(request)
        code = _run(arguments, lifeline, lambda app: self._complete(app, gate, is_held=request["hold"]))
        _leave(code)

    def _complete(self, app: Any, gate: socket.socket, *, is_held: bool) -> None:
        app.dsjobs_codes = self._codes  # kernelcode.py looks for it there
        if is_held:
            self._wait(app, gate)

    def _wait(self, app: Any, gate: socket.socket) -> None:
        """Holds a kernel back, with its sockets bound and its shell made, until its notebook is known. What the shell has
        found out about variables and the working folder it finds out again."""
        if entry.is_configured(app):
            raise EOFError  # The user's configuration is code, which has run too early: the notebook gets a new fork.
        shell = app.kernel.shell
        _ = (
            shell.display_formatter.formatters
        )  # made when a value is shown for the first time, a tenth of what a cell takes
        self._enter(keeper.received(gate))
        gate.close()
        shell.init_environment()
        shell.starting_dir = os.getcwd()
        shell.history_manager.dir_hist[:] = [Path.cwd()]

    def _enter(self, request: keeper.Request) -> None:
        """Where and with what the notebook wants to run."""
        self._set_environment(request["env"])
        time.tzset()
        tempfile.tempdir = None
        os.chdir(request["cwd"])
        keeper.limit_memory(request["memory_bytes"])

    def _set_environment(self, variables: Mapping[str, str]) -> None:
        """Exactly these, and what the imports have set on the way, as they would in a kernel of its own."""
        os.environ.clear()
        os.environ.update(variables, JPY_PARENT_PID=str(os.getppid()))
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _renew_process() -> None:
    """What a new process has and a fork shares with its parent."""
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None:
        key = multiprocessing.AuthenticationString(os.urandom(32))
        multiprocessing.current_process().authkey = key
    gc.enable()


def _forget_dsjobs() -> None:
    """A notebook that imports dsjobs finds it, or not, where its own path says."""
    for name in [name for name in sys.modules if name == "dsjobs" or name.startswith("dsjobs.")]:
        del sys.modules[name]


def _run(arguments: list[str], lifeline: socket.socket, before_path: Callable[[Any], None]) -> int:
    """Runs ipykernel's application as its launcher would. `before_path` is called when all is set up but for `sys.path`,
    extensions and start-up files, the first that depend on where a notebook runs."""
    from ipykernel.kernelapp import IPKernelApp

    try:
        app: Any = IPKernelApp.instance(parent_handle=os.getppid())
        _configure(app, arguments)
        init_path = app.init_path

        def wait_then_init_path() -> None:
            before_path(app)
            init_path()

        app.init_path = wait_then_init_path
        app.initialize(arguments)
        keeper.say(lifeline, ready=True)
        lifeline.close()
        app.start()
    except EOFError:
        return 0  # held for a notebook that never came
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    # The thread that closes the sockets waits in some exits for one that has been stopped. The system closes them as well.
    atexit.unregister(app.close)
    return 0


def _configure(app: Any, arguments: list[str]) -> None:
    """Sets what the usual arguments say without the parser of the command line, which takes longer than a fork."""
    if len(arguments) == 3 and arguments[0] == "-f" and arguments[2] == _HISTORY:
        from traitlets.config.loader import Config, DeferredConfigString

        config = Config()
        config.IPKernelApp.connection_file = arguments[1]
        config.HistoryManager.hist_file = DeferredConfigString(":memory:")

        def parse_command_line(argv: object = None) -> None:
            app.cli_config = config
            app.update_config(config)

        app.parse_command_line = parse_command_line


def _leave(code: int) -> None:
    """Ends the process as the interpreter does, up to the point where it would take apart what the server has imported."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        ctypes.CDLL(None).fflush(None)
    finally:
        os._exit(code)
