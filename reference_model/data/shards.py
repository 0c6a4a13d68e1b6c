"""The competition's shard files: 256 int32 (magic, version, number of tokens, zeros), then the tokens as uint16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAGIC = 20240520
VERSION = 1
HEADER_INTS = 256
HEADER_BYTES = 4 * HEADER_INTS
Tokens = NDArray[np.uint16]


class DataError(ValueError):
    """Data that is missing or not what it should be; the message is one sentence."""


def write_shard(path: Path, tokens: NDArray[np.integer]) -> None:
    """Write ``tokens`` [n] as one shard. Raises `DataError` for an id that does not fit in 16 bits."""
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) <= 0xFFFF:
        raise DataError(f"{path.name}: a shard holds token ids from 0 to 65,535")
    header = np.zeros(HEADER_INTS, dtype="<i4")
    header[:3] = MAGIC, VERSION, tokens.size
    path.write_bytes(header.tobytes() + tokens.astype("<u2").tobytes())


def read_shard(path: Path) -> Tokens:
    """The tokens of a shard, [n], mapped from the file and not copied. Raises `DataError`."""
    try:
        size = path.stat().st_size
        header = np.fromfile(path, dtype="<i4", count=HEADER_INTS)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if header.size != HEADER_INTS or int(header[0]) != MAGIC or int(header[1]) != VERSION:
        raise DataError(f"{path.name} is no shard of version {VERSION}")
    count = int(header[2])
    if count < 0 or size != HEADER_BYTES + 2 * count:
        raise DataError(f"{path.name} has {size:,} bytes, where its header promises {count:,} tokens")
    if not count:
        return np.empty(0, dtype=np.uint16)
    return np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,))


def read_tokens(paths: Sequence[Path]) -> Tensor:
    """All shards one after the other, int64 [n]. Raises `DataError`."""
    if not paths:
        raise DataError("there are no shards to read")
    return torch.cat([torch.from_numpy(read_shard(path).astype(np.int64)) for path in paths])


def usable(tokens: Tensor, seq_len: int) -> Tensor:
    """The first k * ``seq_len`` + 1 of ``tokens``, for the largest k: what the competition's scripts score.

    Raises `DataError` where not even one sequence is there.
    """
    sequences = (tokens.numel() - 1) // seq_len
    if sequences <= 0:
        raise DataError(f"{tokens.numel():,} tokens are too few for one sequence of {seq_len:,}")
    return tokens[: sequences * seq_len + 1]
