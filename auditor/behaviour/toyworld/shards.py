"""The competition's shard files: 256 int32 (magic, version, count, zeros), then the tokens as little-endian uint16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import write_inside

MAGIC = 20240520
VERSION = 1
HEADER_INTS = 256
_HEADER_BYTES = HEADER_INTS * 4


def shard_bytes(values: NDArray[np.uint16] | NDArray[np.int64]) -> bytes:
    """The file that holds ``values`` [n]: tokens, or the bytes per token of a side file.

    Raises:
        ValueError: a value that does not fit in 16 bits.
    """
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 0xFFFF:
        raise ValueError("a shard holds values from 0 to 65,535")
    header = np.zeros(HEADER_INTS, dtype="<i4")
    header[:3] = MAGIC, VERSION, len(values)
    return header.tobytes() + values.astype("<u2").tobytes()


def write_shard(path: Path, tokens: NDArray[np.uint16]) -> None:
    """Write ``tokens`` [n] as one shard in the folder of ``path``, which exists."""
    write_inside(path.parent, path.name, shard_bytes(tokens))


def read_shard(path: Path) -> NDArray[np.uint16]:
    """The tokens of a shard, shape [n].

    Raises:
        ValueError: not a shard of this version, or not of the size that its header states.
        OSError: the file cannot be read.
    """
    raw = path.read_bytes()
    if len(raw) < _HEADER_BYTES:
        raise ValueError(f"not a shard: {path.name}")
    header = np.frombuffer(raw[:_HEADER_BYTES], dtype="<i4")
    if int(header[0]) != MAGIC or int(header[1]) != VERSION:
        raise ValueError(f"not a shard: {path.name}")
    if len(raw) != _HEADER_BYTES + 2 * int(header[2]):
        raise ValueError(f"shard of the wrong size: {path.name}")
    return np.frombuffer(raw, dtype="<u2", offset=_HEADER_BYTES).astype(np.uint16)
