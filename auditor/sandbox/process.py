"""A guest from start to end: pipes, watchdog, kill, and what it used."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from auditor.sandbox import scratch, watch
from auditor.sandbox.bubblewrap import Bind
from auditor.sandbox.levels import Level, NoIsolation, detect
from auditor.sandbox.limits import Limits
from auditor.sandbox.output import Collector
from auditor.sandbox.spawn import Spawned, spawn

LOOK_SECONDS = 0.1
JOIN_SECONDS = 5.0
SPARING = 20
"""The watchdog rests this many times as long as its last look took."""
TASKS_OF_OURS = 3
"""bubblewrap outside, bubblewrap as process 1 inside, and (without isolation) the launcher as reaper."""


def start(
    argv: Sequence[str],
    *,
    binds: Iterable[Bind] = (),
    cwd: str = "/golf",
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    pass_fds: Sequence[int] = (),
    unsandboxed: bool = False,
) -> Sandboxed:
    """Start untrusted code.

    Args:
        argv: the command, with paths as seen inside. ``sys.executable`` has the same path there.
        binds: folders and files it sees besides the system, this interpreter and the package ``auditor`` (which lies
            under ``/opt/golf``, on PYTHONPATH). For root, writable ones are handed over to the guest's user id.
        cwd: absolute, inside.
        env: added to `auditor.sandbox.spawn.PLAIN_ENV`; nothing of the host's environment is inherited.
        limits: default `Limits()`.
        pass_fds: descriptors that the guest inherits under the same numbers. All others are closed.
        unsandboxed: where nothing isolates, run all the same, with limits and an empty environment; guest paths of
            ``binds`` at the start of an argument, of a value of ``env`` and of ``cwd`` are then replaced by the host's.

    Returns:
        The running guest; use it in a ``with`` block, which kills it at the end. It also dies with the thread that
        started it, so start it in a thread that lives as long.

    Raises:
        NoIsolation: nothing isolates here and ``unsandboxed`` is false.
        OSError: it could not be started.
    """
    found = detect()
    if found.level is Level.NONE and not unsandboxed:
        raise NoIsolation(f"{found.reason}; {found.hint}" if found.hint else found.reason)
    bound, limits = tuple(binds), limits or Limits()
    isolated = found.level is Level.BUBBLEWRAP
    spawned = spawn(isolated, argv, binds=bound, cwd=cwd, env=env, limits=limits, pass_fds=pass_fds)
    return Sandboxed(spawned, found.level, limits, tuple(bind.host for bind in bound if bind.writable))


class Sandboxed:
    """A running guest. ``stdin`` and ``stdout`` are unbuffered pipes of bytes; stderr is collected."""

    def __init__(self, spawned: Spawned, level: Level, limits: Limits, writable: Sequence[Path]) -> None:
        """Take over a process from `spawn` and watch it. Use `start`."""
        popen = spawned.popen
        assert popen.stdin and popen.stdout and popen.stderr
        self.level = level
        self.limits = limits
        self.pid = popen.pid
        self.stdin: IO[bytes] = popen.stdin
        self.stdout: IO[bytes] = popen.stdout
        self.stopped: str | None = None
        """Why the watchdog killed it, as a sentence part ("wall time limit of 5 s"), or None."""
        self._popen = popen
        self._first = watch.identify(spawned.first) if spawned.first else None
        self._writable = writable
        self._started = time.monotonic()
        self.allow(limits.wall_seconds)
        self._reap_lock = threading.Lock()
        self._ended = threading.Event()
        self._peak = 0
        self._ask_again = 0.0
        self._stderr = Collector(popen.stderr, limits.output_bytes, lambda: self._stop_for("stderr"))
        self._stdout: Collector | None = None
        self._watchdog = threading.Thread(target=self._watch, name="sandbox-watchdog", daemon=True)
        self._watchdog.start()

    def __enter__(self) -> Sandboxed:
        """The guest itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Kill whatever still runs and close the pipes."""
        self.close()

    def collect_stdout(self) -> None:
        """Read stdout in the background, as stderr is (then do not read ``stdout``)."""
        self._stdout = Collector(self.stdout, self.limits.output_bytes, lambda: self._stop_for("stdout"))

    def poll(self) -> int | None:
        """The exit status (negative: the signal), or None while it runs."""
        return self._reap(os.WNOHANG)

    def allow(self, seconds: float) -> None:
        """From now on, the watchdog lets it run for ``seconds`` (at the start: ``limits.wall_seconds``)."""
        self._allowed = seconds
        self._deadline = time.monotonic() + seconds

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the status. TimeoutError when it does not come in ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"the guest still runs after {timeout} s")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return status

    def kill(self) -> None:
        """Kill the guest and everything it started; returns when they are gone. OSError when something lives on."""
        gone = True
        if self.poll() is None:
            gone = watch.kill_tree(self.pid)
            self._reap(0)
        if self._first:  # the first process of a namespace is gone only when all others are
            gone = watch.wait_gone({self._first}, time.monotonic() + JOIN_SECONDS)
        if not gone:
            raise OSError(f"processes of the guest {self.pid} survived being killed")

    def close(self) -> None:
        """Kill it, stop watching, close the pipes."""
        try:
            self.kill()
        finally:
            self._ended.set()
            if self._watchdog is not threading.current_thread():
                self._watchdog.join(JOIN_SECONDS)
            for collector in (self._stderr, self._stdout):
                if collector:
                    collector.join(JOIN_SECONDS)
            for pipe in (self.stdin, self.stdout):
                pipe.close()

    @property
    def wall_seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def peak_memory(self) -> int:
        """Bytes, by the kernel's figures.

        The largest of: the peak of any one process (``VmHWM``, ``ru_maxrss``), and the sum over all processes (``Pss``:
        shared pages counted once) whenever the watchdog asked for it, so a short peak of the sum can go unseen.
        """
        return self._peak

    def stderr_bytes(self) -> bytes:
        """What was written to stderr so far, at most ``limits.output_bytes``."""
        return self._stderr.data()

    def stdout_bytes(self) -> bytes:
        """The same of stdout, after `collect_stdout`."""
        return self._stdout.data() if self._stdout else b""

    def finish_output(self) -> None:
        """After the end: wait until all that was written has been collected."""
        for collector in (self._stderr, self._stdout):
            if collector:
                collector.join(JOIN_SECONDS)

    def _reap(self, flags: int) -> int | None:
        with self._reap_lock:
            if self._popen.returncode is None:
                pid, status, used = os.wait4(self.pid, flags)
                if pid:
                    self._popen.returncode = os.waitstatus_to_exitcode(status)
                    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                    if used.ru_maxrss > own:  # up to this process's own size it may be the copy that became the guest
                        self._peak = max(self._peak, used.ru_maxrss * watch.KIB)
                    self._ended.set()
            return self._popen.returncode

    def _watch(self) -> None:
        try:
            self._watch_until_the_end()
        except BaseException as error:
            self._stop(f"failure of the watchdog ({error!r})")  # a guest that nobody watches does not run on
            raise

    def _watch_until_the_end(self) -> None:
        pause = LOOK_SECONDS / 10
        while not self._ended.wait(pause):
            begun = time.monotonic()
            reason = self._over()
            if reason:
                self._stop(reason)
                return
            rest = max(LOOK_SECONDS, SPARING * (time.monotonic() - begun))
            pause = max(0.0, min(rest, self._deadline - time.monotonic()))

    def _over(self) -> str | None:
        """The limit that is exceeded now, if one is."""
        limits = self.limits
        if time.monotonic() >= self._deadline:
            return f"wall time limit of {self._allowed:g} s"
        processes = watch.descendants(self.pid)
        now = watch.look(processes)
        self._peak = max(self._peak, now.largest_peak)
        if self._held_bytes(processes, now.resident_bytes) > limits.memory_bytes:
            return f"memory limit of {limits.memory_bytes} bytes over all processes"
        if now.tasks > limits.processes + TASKS_OF_OURS:
            return f"limit of {limits.processes} processes"
        return self._scratch_over()

    def _held_bytes(self, processes: list[watch.Seen], at_most: int) -> int:
        """What all hold together: asked when it may exceed the limit, and now and then when it may be a new peak."""
        begun = time.monotonic()
        if at_most <= self.limits.memory_bytes and (at_most <= self._peak or begun < self._ask_again):
            return 0
        total = watch.held_bytes(processes)
        self._peak = max(self._peak, total)
        self._ask_again = begun + SPARING * (time.monotonic() - begun)
        return total

    def _scratch_over(self) -> str | None:
        size = count = 0
        for folder in self._writable:
            more, entries = scratch.usage(folder, self.limits.scratch_files)
            size, count = size + more, count + entries
        if count > self.limits.scratch_files:
            return f"limit of {self.limits.scratch_files} files in the scratch folder"
        if size > self.limits.scratch_bytes:
            return f"limit of {self.limits.scratch_bytes} bytes in the scratch folder"
        return None

    def _stop_for(self, stream: str) -> None:
        self._stop(f"limit of {self.limits.output_bytes} bytes on {stream}")

    def _stop(self, reason: str) -> None:
        if self.poll() is None:
            self.stopped = self.stopped or reason
            self.kill()


@dataclass(frozen=True, slots=True)
class Result:
    """How a guest ended: exit status (negative: signal), why the watchdog stopped it, its output, and what it used."""

    status: int
    stopped: str | None
    stdout: bytes
    stderr: bytes
    wall_seconds: float
    peak_memory: int
    level: Level


def run(argv: Sequence[str], *, stdin: bytes = b"", **options: Any) -> Result:
    """`start`, feed ``stdin``, wait for the end, collect. Options and exceptions as there."""
    with start(argv, **options) as process:
        process.collect_stdout()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
        process.stdin.close()
        status = process.wait()
        seconds = process.wall_seconds
        process.finish_output()
        return Result(status, process.stopped, process.stdout_bytes(), process.stderr_bytes(), seconds,
                      process.peak_memory(), process.level)  # fmt: skip
