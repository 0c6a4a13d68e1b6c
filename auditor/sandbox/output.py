"""What a guest writes: read in the background, so that it never waits, and kept up to a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import IO

CHUNK = 65_536


class Collector:
    """A thread that reads a pipe to its end and keeps the first ``limit`` bytes."""

    def __init__(self, pipe: IO[bytes], limit: int, too_much: Callable[[], None]) -> None:
        """Start reading; ``too_much`` is called once when there is more."""
        self._pipe, self._limit, self._too_much = pipe, limit, too_much
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, name="sandbox-output", daemon=True)
        self._thread.start()

    def data(self) -> bytes:
        """What was kept so far."""
        return bytes(self._kept)

    def join(self, seconds: float) -> None:
        """Wait for the end of the pipe."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _read(self) -> None:
        full = False
        with self._pipe as pipe:
            while part := pipe.read(CHUNK):
                self._kept += part[: self._limit - len(self._kept)]
                if len(part) and len(self._kept) >= self._limit and not full:
                    full = True
                    self._too_much()
