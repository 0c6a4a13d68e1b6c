"""What the host can see of a guest's processes: who they are, and how much memory the kernel says they hold."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass

KIB = 1024
GONE_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Seen:
    """One process: its number and the moment of its start, which together name it for good."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a guest: processes and threads, the sum of their resident bytes, the largest peak of one in bytes.

    The sum counts memory that processes share once for each, so it is never less than what they hold together.
    """

    tasks: int
    resident_bytes: int
    largest_peak: int


def descendants(root: int) -> list[Seen]:
    """Every living process below ``root`` (itself first when it lives); zombies are left out."""
    parents: dict[int, list[Seen]] = {}
    found: list[Seen] = []
    for name in os.listdir("/proc"):
        fields = _stat(name) if name.isdigit() else None
        if fields and fields[0] != "Z":
            seen = Seen(int(name), fields[19])
            parents.setdefault(int(fields[1]), []).append(seen)
            found += [seen] if seen.pid == root else []
    waiting = [root]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += [seen.pid for seen in below]
    return found


def _stat(pid: str | int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def identify(pid: int) -> Seen | None:
    """The process that has this number now."""
    fields = _stat(pid)
    return Seen(pid, fields[19]) if fields else None


def alive(seen: Seen) -> bool:
    """Is this very process still running (a zombie is not)?"""
    fields = _stat(seen.pid)
    return fields is not None and fields[19] == seen.started and fields[0] != "Z"


def look(processes: list[Seen]) -> Usage:
    """Tasks and memory of the given processes, as the kernel counts them now. Cheap."""
    tasks = resident = peak = 0
    for seen in processes:
        status = _numbers(f"/proc/{seen.pid}/status")
        tasks += status.get("Threads", 0)
        peak = max(peak, status.get("VmHWM", 0) * KIB)
        resident += status.get("VmRSS", 0) * KIB
    return Usage(tasks, resident, peak)


def held_bytes(processes: list[Seen]) -> int:
    """What the processes hold together, shared pages counted once (``Pss``).

    The kernel walks all pages for it: some 7 ms for a process that has imported torch.
    """
    total = 0
    for seen in processes:
        pss = _numbers(f"/proc/{seen.pid}/smaps_rollup").get("Pss")
        total += (pss if pss is not None else _numbers(f"/proc/{seen.pid}/status").get("VmRSS", 0)) * KIB
    return total


def _numbers(path: str) -> dict[str, int]:
    """Lines ``Name: number ...`` of a file of /proc."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            words = rest.split()
            if words and words[0].isdigit():
                found[name] = int(words[0])
    return found


def kill_tree(root: int, seconds: float = 5.0) -> bool:
    """Kill ``root`` and everything below it, orphans first that hang on it. True when nothing of it lives on."""
    until = time.monotonic() + seconds
    known: set[Seen] = set()
    while time.monotonic() < until:
        below = [seen for seen in descendants(root) if seen.pid != root]
        known.update(below)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for seen in below:
                _signal(seen.pid, number)
        if not [seen for seen in descendants(root) if seen.pid != root]:
            break
        time.sleep(GONE_POLL_SECONDS)
    _signal(root, signal.SIGKILL)
    return wait_gone(known, until)


def wait_gone(processes: set[Seen], until: float) -> bool:
    """Wait until none of them runs, or until the moment ``until`` of the monotonic clock."""
    while any(alive(seen) for seen in processes):
        if time.monotonic() > until:
            return False
        time.sleep(GONE_POLL_SECONDS)
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
