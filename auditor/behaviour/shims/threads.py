"""Threads that the script starts see the same torch as its main thread: function modes are otherwise thread-local."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import torch.overrides

from auditor.behaviour.shims.context import ShimContext

_modes: Any = torch.overrides._get_current_function_mode_stack


def install(ctx: ShimContext) -> None:
    """Let a thread run under the modes that were in force where it was started."""
    thread: Any = threading.Thread
    start, begin = thread.start, thread._bootstrap_inner

    def start_with_modes(self: threading.Thread) -> None:
        self.__dict__["_golf_modes"] = _modes()
        start(self)

    def begin_with_modes(self: threading.Thread) -> None:
        with contextlib.ExitStack() as stack:
            for mode in self.__dict__.pop("_golf_modes", ()):
                stack.enter_context(mode)
            begin(self)

    ctx.patch(thread, "start", start_with_modes)
    ctx.patch(thread, "_bootstrap_inner", begin_with_modes)
