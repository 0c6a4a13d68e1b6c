"""The guest's main process: imports torch once, then forks one child for each run that the host asks for.

Commands come as JSON lines on standard input: ``{"run_dir", "script", "argv", "env", "seed", "wall_seconds"}``.
Events go to the file descriptor named by the first argument; after each run the server adds ``Exited`` with the
child's status and peak memory.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import sentencepiece  # noqa: F401
import torch
import torch.distributed
import torch.nn.functional
import torch.nn.parallel

from auditor.behaviour.guest import branch, light
from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.guest.runner import run
from auditor.behaviour.guest.smoke import smoke
from auditor.sandbox.harden import adopt_orphans, harden
from auditor.sandbox.launch import own_children

LIGHT = "--light"
"""As an argument: a stand-in for the compiler that nothing here uses (`auditor.behaviour.guest.light`)."""
NOBODY = 2**22 + 1
"""A process id above all that the kernel gives: waiting for it fails at once."""
WALL_FACTOR = 4.0
"""The limit of a run is CPU time; a run that waits, or shares its core, is given so many times as much by the clock."""


class Server:
    """Forks a child for each command and keeps the pipes to the paused copies of the last run."""

    def __init__(self, fd: int) -> None:
        """``fd`` is the channel to the host."""
        self._fd = fd
        self._sender = Sender(fd)
        self._ends: list[socket.socket] = []
        self._given: dict[str, frozenset[str]] = {}

    def ready(self) -> None:
        """Tell the host that commands may come."""
        self._sender.emit("Ready", {"torch": torch.__version__, "python": sys.version.split()[0]})
        self._sender.flush()

    def serve(self, command: dict[str, Any]) -> None:
        """A run from the start, or (``resume``: number of the copy) the rest of a paused one."""
        number = command.get("resume")
        child = self._start(command) if number is None else self._resume(number, command)
        status, peak, timed_out, cpu = _wait(child, WALL_FACTOR * float(command["wall_seconds"]))
        fields = {"status": status, "peak_bytes": peak, "timed_out": timed_out, "cpu_seconds": cpu}
        self._sender.emit("Exited", fields)
        self._sender.flush()

    def _start(self, command: dict[str, Any]) -> int:
        for end in self._ends:
            end.close()
        end_all_children()
        for folder in command["empty"]:  # before the first run: what the sandbox itself has laid there
            self._given.setdefault(folder, frozenset(os.listdir(folder)))
        made = branch.pairs() if command.get("branch") else []
        command["branch_pipes"] = [theirs.fileno() for _, theirs in made]
        child = os.fork()
        if child == 0:
            for ours, theirs in made:
                ours.close()
                theirs.detach()
            _child(command, self._fd, self._given)
        for _, theirs in made:
            theirs.close()
        self._ends = [ours for ours, _ in made]
        return child

    def _resume(self, number: int, command: dict[str, Any]) -> int:
        pid = branch.resume(self._ends[number], {"stop_after": command["stop_after"]}) if self._ends else 0
        return pid or NOBODY


def main() -> None:
    """Serve until standard input ends."""
    fd = int(sys.argv[1])
    if LIGHT in sys.argv:
        light.install()
    else:
        importlib.import_module("torch._dynamo")  # every optimizer's first step needs it: here all runs share it
    harden()
    adopt_orphans()
    torch.set_num_threads(1)
    torch.ones(4, 4) @ torch.ones(4, 4)
    np.zeros(1)
    gc.collect()
    gc.freeze()
    server = Server(fd)
    server.ready()
    for line in sys.stdin.buffer:
        server.serve(json.loads(line))


def _child(command: dict[str, Any], fd: int, given: Mapping[str, frozenset[str]]) -> None:
    status = 1
    try:
        os.setsid()
        seconds = max(1, round(command["wall_seconds"]))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        for folder, names in given.items():
            empty(folder, names)
        for source, target in command["copy"]:
            fresh(source, target)
        status = smoke(command, Sender(fd)) if command["smoke"] else run(command, Sender(fd, command.get("stop_after")))
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def fresh(source: str, target: str) -> None:
    """Make the folder ``target`` a copy of ``source``, whatever it held."""
    os.makedirs(target, exist_ok=True)
    empty(target)
    shutil.copytree(source, target, dirs_exist_ok=True)


def empty(folder: str, given: frozenset[str] = frozenset()) -> None:
    """Remove all that lies in ``folder`` but for the names ``given``. Raises OSError where something of it stays."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.name in given:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def end_all_children() -> None:
    """Kill what the last run left running, its paused copies included: nothing of it may reach the next run."""
    while children := own_children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _wait(child: int, seconds: float) -> tuple[int, int, bool, float]:
    """Wait for the child, or the adopted copy, and kill it at the deadline.

    Returns status (negative: a signal), peak bytes, whether it was late, CPU seconds.
    """
    end, timed_out = time.monotonic() + seconds, False
    while True:
        try:
            pid, status, usage = os.wait4(child, os.WNOHANG)
        except ChildProcessError:
            return 1, 0, timed_out, 0.0
        if pid:
            timed_out |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return code, usage.ru_maxrss * 1024, timed_out, usage.ru_utime + usage.ru_stime
        if time.monotonic() > end and not timed_out:
            timed_out = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
