"""What a harness that was killed left behind: the note of the run in progress, its processes, its scratch folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from auditor.rerun.record import NAME as RECORD
from auditor.rerun.record import build, open_own
from auditor.sandbox import scratch
from auditor.sandbox.watch import Seen, alive, descendants, identify, kill_tree, wait_gone

NAME = "running.json"
PREFIX = "golf-rerun-"
GONE_SECONDS = 10.0
MOST_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Running:
    """The run in progress, as noted on disk. A process is named by its number, its start and the machine's boot."""

    seed: int
    pid: int
    started: str
    boot: str
    scratch: str


def boot_id() -> str:
    """Of this boot of this machine."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def note(folder: Path, seed: int, pid: int, scratch_folder: Path) -> None:
    """Write down the run that was just started; its process leads a session of its own."""
    run = identify(pid)
    running = Running(seed, pid, run.started if run else "", boot_id(), str(scratch_folder))
    temporary = folder / f"{NAME}.new"
    temporary.write_text(json.dumps(asdict(running)), encoding="utf-8")
    os.replace(temporary, folder / NAME)


def forget(folder: Path) -> None:
    """The run has ended, and nothing of it is left."""
    (folder / NAME).unlink(missing_ok=True)


def noted(folder: Path) -> Running | None:
    """The run that was in progress; None where there is no note, or none as this tool writes it.

    What works in the folder it names is killed, and the folder removed: only a scratch folder is believed, no record.
    """
    try:
        with open_own(folder / NAME, "rb") as file:
            made: Running = build(Running, json.loads(file.read(MOST_READ)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    left = Path(made.scratch)
    usual = left.is_absolute() and left.name.startswith(PREFIX) and not (left / RECORD).exists()
    return made if usual and made.pid > 1 else None


def clear(folder: Path) -> tuple[Running | None, int]:
    """End what the noted run left on this machine and remove its scratch folder; (the note, processes killed)."""
    running = noted(folder)
    if running is None:
        forget(folder)
        return None, 0
    killed = end_session(running) if running.boot == boot_id() else 0
    left = Path(running.scratch)
    if running.boot == boot_id() and left.is_dir() and not left.is_symlink():
        with contextlib.suppress(OSError):
            scratch.remove(left)
    forget(folder)
    return running, killed


def end_session(running: Running) -> int:
    """Kill every process of the run's session, and what works in its scratch folder, with all below; how many.

    Raises OSError when something survives.
    """
    found = members(running)
    everything = {below for seen in found for below in descendants(seen.pid)} | set(found)
    for seen in found:
        if alive(seen):
            kill_tree(seen.pid)
    for seen in everything:
        if alive(seen):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(seen.pid, signal.SIGKILL)
    if not wait_gone(everything, time.monotonic() + GONE_SECONDS):
        raise OSError(f"processes of the run {running.pid} survived being killed")
    return len(everything)


def members(running: Running) -> list[Seen]:
    """Living processes of the run: the leader itself, its session, and those whose folder is its scratch."""
    leader = Seen(running.pid, running.started)
    found = [leader] if alive(leader) else []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (os.getpid(), running.pid) and _belongs(int(name), running):
            seen = identify(int(name))
            found += [seen] if seen is not None and alive(seen) else []
    return found


def _belongs(pid: int, running: Running) -> bool:
    """Session ids are not given anew while the session lives, and a later process of this number started later."""
    seen = identify(pid)
    if seen is None or not running.started or int(seen.started) < int(running.started):
        return False
    with contextlib.suppress(OSError):
        leader = identify(running.pid)
        if os.getsid(pid) == running.pid and (leader is None or leader.started == running.started):
            return True
        return os.readlink(f"/proc/{pid}/cwd").startswith(running.scratch + "/")
    return False
