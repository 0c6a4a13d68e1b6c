"""Threads that the script starts see the same torch as its main thread, and take turns with it.

Function modes are otherwise thread-local. And two threads that compute at once do so in another order each time, so
whoever starts a thread waits until it ends or falls idle (it waits for a queue, a lock, a sleep): both runs are then
interleaved alike.
"""

from __future__ import annotations

import builtins
import contextlib
import threading
from typing import Any

import torch.overrides

from auditor.behaviour.shims.context import ShimContext

_open = builtins.open
"""The real one, whatever stands in for it later."""
_modes: Any = torch.overrides._get_current_function_mode_stack

LOOK_SECONDS = 0.02
IDLE_LOOKS = 3
MOST_LOOKS = 3000


def _ticks(thread: threading.Thread) -> int | None:
    """CPU time of a thread in the kernel's ticks; None when it is gone or not told."""
    try:
        with _open(f"/proc/self/task/{thread.native_id}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None


def wait_for_turn(thread: threading.Thread) -> None:
    """Wait until ``thread`` ends or has not computed for `IDLE_LOOKS` looks."""
    join, last, idle = threading.Thread.join, _ticks(thread), 0
    for _ in range(MOST_LOOKS):
        join(thread, LOOK_SECONDS)
        now = _ticks(thread)
        if now is None or not thread.is_alive():
            return
        idle = idle + 1 if now == last else 0
        last = now
        if idle >= IDLE_LOOKS:
            return


def install(ctx: ShimContext) -> None:
    """Let a thread run under the modes that were in force where it was started."""
    thread: Any = threading.Thread
    start, begin = thread.start, thread._bootstrap_inner

    def start_with_modes(self: threading.Thread) -> None:
        self.__dict__["_golf_modes"] = _modes()
        start(self)
        if ctx.take_turns:
            wait_for_turn(self)

    def begin_with_modes(self: threading.Thread) -> None:
        with contextlib.ExitStack() as stack:
            for mode in self.__dict__.pop("_golf_modes", ()):
                stack.enter_context(mode)
            begin(self)

    ctx.patch(thread, "start", start_with_modes)
    ctx.patch(thread, "_bootstrap_inner", begin_with_modes)
