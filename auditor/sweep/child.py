"""One audit in a forked process: killed when it takes too long or too much memory, whatever it does."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from auditor.core.text import plain
from auditor.sweep.types import Audited

MAX_ANSWER = 64 << 20
"""Bytes of one report."""
POLL_S = 0.05
MAX_DESCRIPTOR = 1024
COLLECT = (200_000, 20, 100)
"""Thresholds of the garbage collector: a process of a second holds syntax trees, which are no garbage
(6 % of its time with the usual ones)."""
_PR_SET_PDEATHSIG = 1


class Cancelled(Exception):
    """The parent went away, or asked to stop, while an audit ran."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one audit's process."""

    seconds: float = 120.0
    """Wall time."""
    memory: int = 3 << 30
    """Resident bytes of the process (a toy run in the sandbox has limits of its own)."""
    address_space: int = 0
    """Bytes of address space, inherited by whatever it starts; 0: not limited."""


def run(step: Callable[[], dict[str, Any]], bounds: Bounds, stop: int | None = None) -> Audited:
    """Run ``step`` in a fork and return what it gave, or why it gave nothing; never raises for what ``step`` does.

    ``stop`` is a file descriptor that becomes readable when the audit is no longer wanted: then `Cancelled`.
    The caller must have no other threads.
    """
    receive, send = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        _become(step, send, bounds)
    os.close(send)
    try:
        answer, reason = _listen(pid, receive, bounds, start, stop)
    except BaseException:
        _end(pid)
        os.wait4(pid, 0)
        raise
    finally:
        os.close(receive)
    _end(pid)
    _, status, usage = os.wait4(pid, 0)
    scale = 1 if sys.platform == "darwin" else 1024
    done = Audited(
        seconds=time.monotonic() - start, cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * scale,
    )  # fmt: skip
    return _read(done, answer, reason, status)


def _become(step: Callable[[], dict[str, Any]], send: int, bounds: Bounds) -> None:
    """The child's whole life; it leaves by ``os._exit`` only."""
    status = 70
    try:
        os.setpgid(0, 0)
        os.closerange(3, send)
        os.closerange(send + 1, MAX_DESCRIPTOR)
        _die_with_parent()
        gc.set_threshold(*COLLECT)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if bounds.address_space:
            resource.setrlimit(resource.RLIMIT_AS, (bounds.address_space, bounds.address_space))
        try:
            answer = step()
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {plain(error, 400)}", "trace": traceback.format_exc()[-4000:]}
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(send, data[: 1 << 20]) :]
        status = 0
    finally:
        os._exit(status)


def _listen(pid: int, receive: int, bounds: Bounds, start: float, stop: int | None) -> tuple[bytes, str]:
    """What the child writes until it ends; a sentence where it was not let to."""
    pieces: list[bytes] = []
    size = 0
    watched = [receive, *([] if stop is None else [stop])]
    while True:
        left = bounds.seconds - (time.monotonic() - start)
        if left <= 0:
            return b"", f"it took longer than {bounds.seconds:g} s and was ended"
        ready, _, _ = select.select(watched, [], [], min(left, POLL_S))
        if receive in ready:
            piece = os.read(receive, 1 << 20)
            pieces.append(piece)
            size += len(piece)
            if not piece:
                return b"".join(pieces), ""
            if size > MAX_ANSWER:
                return b"", f"its report is longer than {MAX_ANSWER:,} bytes"
        elif stop in ready:
            raise Cancelled
        if resident(pid) > bounds.memory:
            return b"", f"it used more than {bounds.memory >> 20:,} MiB of memory and was ended"


def _read(done: Audited, answer: bytes, reason: str, status: int) -> Audited:
    """``done`` with the child's answer in it."""
    try:
        given = json.loads(answer) if answer and not reason else {}
    except ValueError:
        given = {}
    done.report, done.facts = given.get("report"), given.get("facts") or {}
    if done.report is None:
        done.error = reason or str(given.get("error") or _fate(status))
        done.facts = {"trace": given["trace"]} if "trace" in given else {}
    return done


def _fate(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(number).name}"
        return f"its process was ended by signal {number}"
    return f"its process ended without a report (exit status {os.waitstatus_to_exitcode(status)})"


def resident(pid: int) -> int:
    """Resident bytes of a process; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _end(pid: int) -> None:
    """Kill the child and all that it started in its process group; it may have ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """On Linux: be killed when the worker is. Elsewhere a killed worker's audit runs to its end, unheard."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)
