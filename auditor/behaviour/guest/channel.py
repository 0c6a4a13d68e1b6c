"""The pipe from guest to host: frames of a JSON header and raw arrays, nothing that executes when read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FLUSH = 1 << 16
"""Bytes that are gathered before a write to the pipe."""
AT_ONCE = frozenset({"Printed", "ArtifactWritten"})
"""Kinds that are written when they happen, with what was gathered before: the host's clock cuts phases by them."""


class Sender:
    """Writes events to a file descriptor; one event is one frame (see `auditor.behaviour.wire`)."""

    def __init__(self, fd: int, stop_after: Sequence[Any] | None = None) -> None:
        """``stop_after``: ``[kind, file, line, n]`` ends the process after that line's n-th event of the kind."""
        self._fd = fd
        self._buffer = bytearray()
        self._seq = 0
        self._stop: tuple[Any, ...] | None = None
        self._left = 0
        self.stop_after(stop_after)

    def stop_after(self, moment: Sequence[Any] | None) -> None:
        """End the process after ``moment``, counted from now on."""
        self._stop = tuple(moment[:3]) if moment else None
        self._left = int(moment[3]) if moment else 0

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Queue one event; numpy arrays among ``fields`` travel as raw little-endian bytes."""
        plain: dict[str, Any] = {}
        shapes: list[tuple[str, str, list[int]]] = []
        blobs: list[bytes] = []
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                array = np.ascontiguousarray(value)
                shapes.append((name, array.dtype.str, list(array.shape)))
                blobs.append(array.tobytes())
            else:
                plain[name] = value
        head = json.dumps({"k": kind, "s": self._seq, "f": plain, "b": shapes}).encode()
        self._seq += 1
        self._buffer += struct.pack("<I", len(head)) + head + b"".join(blobs)
        if len(self._buffer) > FLUSH or kind in AT_ONCE:
            self.flush()
        if self._stop is not None and kind == self._stop[0] and tuple(plain.get("site", ())[:2]) == self._stop[1:]:
            self._count()

    def _count(self) -> None:
        if self._left > 0:
            self._left -= 1
            return
        self._stop = None
        self.emit("Finished", {"status": "stopped", "error": "", "message": "", "frames": []})
        self.flush()
        os._exit(0)

    def flush(self) -> None:
        """Write everything queued."""
        view = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while view:
            view = view[os.write(self._fd, view) :]
