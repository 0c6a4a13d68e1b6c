"""The competition's shard files: 256 int32 (magic, version, count, zeros), then the tokens as little-endian uint16."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = 20240520
VERSION = 1
HEADER_INTS = 256
MTIME = 1_750_000_000
"""Seconds since the epoch that every toy file is dated with, so that two runs see the same."""


def shard_bytes(tokens: NDArray[np.uint16]) -> bytes:
    """The file that holds ``tokens`` [n]."""
    header = np.zeros(HEADER_INTS, dtype="<i4")
    header[:3] = MAGIC, VERSION, len(tokens)
    return header.tobytes() + tokens.astype("<u2").tobytes()


def write_shard(path: Path, tokens: NDArray[np.uint16]) -> None:
    """Write ``tokens`` [n] as one shard."""
    write_file(path, shard_bytes(tokens))


def read_shard(path: Path) -> NDArray[np.uint16]:
    """The tokens of a shard, shape [n].

    Raises:
        ValueError: not a shard of this version, or not of the size that its header states.
    """
    raw = path.read_bytes()
    header = np.frombuffer(raw[: HEADER_INTS * 4], dtype="<i4")
    if header.size != HEADER_INTS or int(header[0]) != MAGIC or int(header[1]) != VERSION:
        raise ValueError(f"not a shard: {path.name}")
    if len(raw) != HEADER_INTS * 4 + 2 * int(header[2]):
        raise ValueError(f"shard of the wrong size: {path.name}")
    return np.frombuffer(raw, dtype="<u2", offset=HEADER_INTS * 4).astype(np.uint16)


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step (readers see the old one or the new one), dated ``MTIME``, folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(content)
    os.utime(scratch, (MTIME, MTIME))
    os.replace(scratch, path)
