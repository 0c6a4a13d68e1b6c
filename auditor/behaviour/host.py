"""The host's side of one guest: start it in the sandbox, ask for runs, collect what it tells."""

from __future__ import annotations

import json
import os
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from auditor.behaviour.events import Checker
from auditor.behaviour.wire import Decoder, Event, WireError

READ = 1 << 20
START_SECONDS = 60.0


class GuestGone(Exception):
    """The guest ended, or fell silent, before it had answered."""


class Process(Protocol):
    """What the sandbox gives: a process with standard input."""

    @property
    def stdin(self) -> Any:
        """A binary stream."""

    def kill(self) -> None:
        """End it and everything that it started."""

    def errors(self) -> str:
        """What it wrote to standard error, the last part."""


@dataclass(frozen=True, slots=True)
class RunCommand:
    """One run: the script (relative to ``run_dir``), its arguments and environment."""

    script: str
    argv: tuple[str, ...]
    env: dict[str, str]
    run_dir: str = "/golf/run"
    seed: int = 1234
    wall_seconds: float = 60.0
    """Of CPU time; four times as much by the clock."""
    copy: tuple[tuple[str, str], ...] = ()
    """(read-only folder, folder that is emptied and becomes its copy) before the run."""
    empty: tuple[str, ...] = ()
    """Folders that are emptied before that: what a run leaves in them must not reach the next."""
    stop_after: tuple[str, str, int, int] | None = None
    """End the run after this moment (see `auditor.behaviour.align.Key`); None: let it come to its own end."""
    real_bfloat16: bool = False
    """Compute in bfloat16 where the script does (see `auditor.behaviour.shims.precision`)."""
    branch: bool = False
    """Keep paused copies, taken at the first artifact of weights (see `auditor.behaviour.guest.branch`)."""
    resume: int | None = None
    """Go on with this paused copy of the last run instead of starting one."""
    perturb: bool | str = False
    """Change the weights that are read back from the artifact (see the round-trip question): True or ``objects`` what
    is loaded, ``bytes`` what is decompressed."""
    smoke: tuple[str, str] | None = None
    """Build the full-size model only: (``meta`` or ``memory``, folder of full-size files); see `guest.smoke`."""


@dataclass(slots=True)
class RunLog:
    """Everything that one run told, in order, and how it ended."""

    events: list[Event] = field(default_factory=list)
    status: int | None = None
    peak_bytes: int = 0
    timed_out: bool = False
    seconds: float = 0.0
    """Wall seconds as the host's clock saw them."""
    cpu_seconds: float = 0.0
    """CPU seconds of the run's process, by the kernel."""
    finished: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the script came to its own end, or to where it was to stop, without an error."""
        return self.finished.get("status") in ("ended", "stopped")

    def failure(self) -> str:
        """Why the run did not end by itself, in one line; empty when it did."""
        if self.ended:
            return ""
        if self.timed_out:
            return "timed out"
        if not self.finished:
            return f"ended without a word, status {self.status}"
        frames = self.finished.get("frames") or []
        own = [f for f in frames if str(f[0]).startswith("/golf/")]
        at = f" at {os.path.basename(own[-1][0])}:{own[-1][1]}" if own else ""
        return f"{self.finished['error']}: {self.finished['message']}{at}"


class Guest:
    """A started guest server. Use as a context manager."""

    def __init__(self, process: Process, channel: int, on_event: Callable[[Event], None] | None = None) -> None:
        self._process = process
        self._channel = channel
        self._decoder = Decoder()
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._on_event = on_event
        self._queue: list[Event] = []
        self._branched = 0

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill the guest and close the channel."""
        self._process.kill()
        self._selector.close()
        os.close(self._channel)

    def ready(self) -> dict[str, Any]:
        """Wait until the server has imported torch; its versions. Raises `GuestGone`."""
        for event in self._until("Ready", START_SECONDS):
            if event.kind == "Ready":
                return event.fields
        raise GuestGone(f"the guest did not start: {self._process.errors()[-600:]}")

    def run(self, command: RunCommand) -> RunLog:
        """Run the script once. Raises `GuestGone` when the server itself is lost, `WireError` on what is no event."""
        start = time.monotonic()
        checker = Checker(0 if command.resume is None else self._branched)
        line = json.dumps({name: getattr(command, name) for name in RunCommand.__slots__})
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        log = RunLog()
        for event in self._until("Exited", 4 * command.wall_seconds + 15, checker):
            if event.kind == "Exited":
                log.status, log.peak_bytes = event.fields["status"], event.fields["peak_bytes"]
                log.timed_out, log.cpu_seconds = event.fields["timed_out"], event.fields["cpu_seconds"]
            elif event.kind == "Finished":
                log.finished = event.fields
            else:
                log.events.append(event)
        log.seconds = time.monotonic() - start
        if command.resume is None:
            self._branched = checker.branched
        return log

    def _until(self, last: str, seconds: float, checker: Checker | None = None) -> list[Event]:
        """All events up to one of kind ``last``; ``checker`` refuses what is no event of its kind."""
        end, got = time.monotonic() + seconds, []
        while True:
            while self._queue:
                event = self._queue.pop(0)
                if checker is not None:
                    checker.check(event)
                got.append(event)
                if self._on_event is not None:
                    self._on_event(event)
                if event.kind == last:
                    return got
            left = end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise GuestGone(f"no answer within {seconds:.0f} s")
            data = os.read(self._channel, READ)
            if not data:
                raise GuestGone(f"the guest ended: {self._process.errors()[-600:]}")
            self._queue.extend(self._decoder.feed(data))


__all__ = ["Guest", "GuestGone", "Process", "RunCommand", "RunLog", "WireError"]
