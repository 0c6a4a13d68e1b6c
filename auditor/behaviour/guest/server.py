"""The guest's main process: imports torch once, then forks one child for each run that the host asks for.

Commands come as JSON lines on standard input: ``{"run_dir", "script", "argv", "env", "seed", "wall_seconds"}``.
Events go to the file descriptor named by the first argument; after each run the server adds ``Exited`` with the
child's status and peak memory.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from typing import Any

import numpy as np
import sentencepiece  # noqa: F401
import torch
import torch.distributed  # noqa: F401
import torch.nn.functional  # noqa: F401
import torch.nn.parallel  # noqa: F401

from auditor.behaviour.guest import light
from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.guest.runner import run
from auditor.sandbox.harden import harden
from auditor.behaviour.guest.smoke import smoke

LIGHT = "--light"
"""As an argument: a stand-in for the compiler that nothing here uses (`auditor.behaviour.guest.light`)."""
WALL_FACTOR = 4.0
"""The limit of a run is CPU time; a run that waits, or shares its core, is given so many times as much by the clock."""


def main() -> None:
    """Serve until standard input ends."""
    fd = int(sys.argv[1])
    if LIGHT in sys.argv:
        light.install()
    else:
        importlib.import_module("torch._dynamo")  # every optimizer's first step needs it: here all runs share it
    harden()
    sender = Sender(fd)
    torch.set_num_threads(1)
    torch.ones(4, 4) @ torch.ones(4, 4)
    np.zeros(1)
    gc.collect()
    gc.freeze()
    sender.emit("Ready", {"torch": torch.__version__, "python": sys.version.split()[0]})
    sender.flush()
    for line in sys.stdin.buffer:
        _serve(json.loads(line), sender, fd)


def _serve(command: dict[str, Any], sender: Sender, fd: int) -> None:
    child = os.fork()
    if child == 0:
        _child(command, fd)
    status, peak, timed_out, cpu = _wait(child, WALL_FACTOR * float(command["wall_seconds"]))
    sender.emit("Exited", {"status": status, "peak_bytes": peak, "timed_out": timed_out, "cpu_seconds": cpu})
    sender.flush()


def _child(command: dict[str, Any], fd: int) -> None:
    status = 1
    try:
        os.setsid()
        seconds = max(1, round(command["wall_seconds"]))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
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
    with os.scandir(target) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    shutil.copytree(source, target, dirs_exist_ok=True)


def _wait(child: int, seconds: float) -> tuple[int, int, bool, float]:
    """Wait for the child, kill its group at the deadline; status (negative: a signal), peak bytes, late?, CPU seconds."""
    end, timed_out = time.monotonic() + seconds, False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            timed_out |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return code, usage.ru_maxrss * 1024, timed_out, usage.ru_utime + usage.ru_stime
        if time.monotonic() > end and not timed_out:
            timed_out = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
