"""Reading the guest's frames: strict, bounded, and without executing or unpickling anything."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEAD = 1 << 20
MAX_BLOB = 1 << 28
DTYPES = {"<i4", "<i8", "<f4", "<f8", "|u1", "<u2"}
OF_ARRAY = " of an array"
"""Ends the ``how`` of a ``Summed`` of a numpy array or a list, where others are of a tensor."""


class WireError(Exception):
    """The guest sent something that is not a frame, or too much of it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in the guest. ``seq`` counts from 0 within a run."""

    kind: str
    seq: int
    fields: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class Decoder:
    """Turns a byte stream into events; feed it what the pipe gives."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self._buffer = bytearray()
        self._left = limit

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events completed by ``data``. Raises `WireError` on anything malformed or over the limit."""
        self._left -= len(data)
        if self._left < 0:
            raise WireError("the guest sent more than the limit")
        self._buffer += data
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> Event | None:
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        (size,) = struct.unpack_from("<I", buffer)
        if size > MAX_HEAD:
            raise WireError(f"a header of {size} bytes")
        if len(buffer) < 4 + size:
            return None
        head = _head(bytes(buffer[4 : 4 + size]))
        shapes = [_shape(entry) for entry in head["b"]]
        total = sum(math.prod(shape) * dtype.itemsize for _, dtype, shape in shapes)
        if total > MAX_BLOB:
            raise WireError(f"an event of {total} bytes")
        if len(buffer) < 4 + size + total:
            return None
        arrays, at = {}, 4 + size
        for name, dtype, shape in shapes:
            count = math.prod(shape)
            try:
                arrays[name] = np.frombuffer(bytes(buffer[at : at + count * dtype.itemsize]), dtype).reshape(shape)
            except ValueError as error:
                raise WireError(f"an array of unknown shape: {error}") from error
            at += count * dtype.itemsize
        del buffer[:at]
        return Event(head["k"], head["s"], head["f"], arrays)


def _head(data: bytes) -> dict[str, Any]:
    try:
        head = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a header that is no JSON: {error}") from error
    if not isinstance(head, dict) or not isinstance(head.get("k"), str) or not isinstance(head.get("s"), int):
        raise WireError("a header without kind and number")
    if not isinstance(head.get("f"), dict) or not isinstance(head.get("b"), list):
        raise WireError("a header without fields")
    return head


def _shape(entry: Any) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and str(entry[1]) in DTYPES):
        raise WireError("an array of unknown type")
    shape = entry[2]
    if not isinstance(shape, list) or not all(isinstance(n, int) and 0 <= n <= MAX_BLOB for n in shape):
        raise WireError("an array of unknown shape")
    return entry[0], np.dtype(entry[1]), tuple(shape)
