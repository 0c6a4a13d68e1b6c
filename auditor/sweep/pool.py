"""Workers on this machine: one request at a time each, and a new one in place of one that dies or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from auditor.core.text import plain
from auditor.sweep.types import SweepError
from auditor.sweep.worker import Config

GRACE_S = 60.0
"""A worker ends its audits itself; it is given this much longer for laying out and answering."""
START_S = 120.0
NO_ANSWER = "its worker did not answer in time and was ended"
_START = "import sys; sys.path[:] = sys.argv[1:]; from auditor.sweep.worker import main; sys.exit(main())"
"""A worker finds its modules where this process does, and never in the folder where the command was started."""
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


class Engine(Protocol):
    """Where requests are worked on. Answers come in the order in which they are ready."""

    slots: int
    """Requests that are worked on at the same time."""

    def submit(self, request: Mapping[str, Any]) -> None:
        """Begin work on a request; not more than ``slots`` at a time."""
        ...

    def collect(self, timeout: float) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """(request, answer) of those that ended, after at most ``timeout`` seconds."""
        ...

    def close(self) -> None:
        """End all work at once."""
        ...


class Handle:
    """One worker process and its pipes."""

    def __init__(self, config: Config) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *(entry for entry in sys.path if entry)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True,
            env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip
        self._buffer = b""
        self.request: Mapping[str, Any] | None = None
        self.deadline = time.monotonic() + START_S
        self.ready = False
        self._wall = config.seconds + GRACE_S
        self._send(asdict(config))

    def fileno(self) -> int:
        """Of the pipe that answers come from."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request; a worker that died meanwhile shows as the end of its answers."""
        self.request = request
        self.deadline = time.monotonic() + self._wall
        self._send(request)

    def answers(self) -> list[dict[str, Any]] | None:
        """Complete answers that have come in; None when the worker has ended. Call when readable."""
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Ask and wait; None when the worker ended, or did not answer in time."""
        self.ask(request)
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while selector.select(max(0.0, self.deadline - time.monotonic())):
                answers = self.answers()
                if answers is None:
                    return None
                if answers:
                    return answers[0]
        return None

    def fate(self) -> str:
        """Why it ended, in a sentence; for one that has not, that it did not answer."""
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            return NO_ANSWER
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        said = self._errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return f"its worker ended ({how})" + (f": {plain(said, 300)}" if said else "")

    def close(self, grace: float = 0.0) -> None:
        """End the worker and what it started: its input ends, and after ``grace`` seconds it is killed."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()


class LocalPool:
    """``jobs`` workers on this machine."""

    def __init__(self, config: Config, jobs: int) -> None:
        self.slots = jobs
        self._config = config
        self._selector = selectors.DefaultSelector()
        self._idle: list[Handle] = []
        self._busy: list[Handle] = []
        self._early: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        try:
            handles = [Handle(config) for _ in range(jobs)]
            self._idle = handles
            for handle in handles:
                begin(handle)
        except BaseException:
            self.close()
            raise

    def submit(self, request: Mapping[str, Any]) -> None:
        """Give the request to an idle worker."""
        handle = self._idle.pop()
        self._busy.append(handle)
        self._selector.register(handle, selectors.EVENT_READ, handle)
        handle.ask(request)

    def collect(self, timeout: float) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Answers that came within ``timeout``; a worker that died or overran is replaced, and its request answered."""
        done: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        for key, _ in self._selector.select(timeout):
            handle: Handle = key.data
            answers = handle.answers()
            if answers is None:
                done.append(self._replaced(handle, handle.fate()))
            elif answers:
                self._release(handle)
                self._idle.append(handle)
                assert handle.request is not None
                done.append((handle.request, answers[0]))
        for handle in [h for h in self._busy if time.monotonic() > h.deadline]:
            done.append(self._replaced(handle, NO_ANSWER))
        return done

    def close(self) -> None:
        """End all workers."""
        for handle in (*self._idle, *self._busy):
            handle.close(grace=2.0 if handle in self._idle else 0.5)
        self._idle, self._busy = [], []
        self._selector.close()

    def _replaced(self, handle: Handle, reason: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        request = handle.request
        assert request is not None
        self._release(handle)
        handle.close()
        fresh = Handle(self._config)
        self._idle.append(fresh)
        begin(fresh)
        return request, {"error": reason}

    def _release(self, handle: Handle) -> None:
        self._busy.remove(handle)
        self._selector.unregister(handle)


def begin(handle: Handle) -> None:
    """Wait until a worker is ready. Raises `SweepError` when it cannot start."""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, handle.deadline - time.monotonic())):
                raise SweepError("a worker did not start in time")
            answers = handle.answers()
            if answers is None:
                raise SweepError(f"a worker could not start: {handle.fate()}")
            for answer in answers:
                if "error" in answer:
                    raise SweepError(str(answer["error"]))
                handle.ready = True
                return
