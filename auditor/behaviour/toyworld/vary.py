"""Other validation streams with the same documents: what the probes compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import pieces, unique
from .spec import Stream, World
from .stream import as_stream, train_keys


def vary(world: World, keep: NDArray[np.bool_], salt: int) -> Stream:
    """The validation stream with every token outside ``keep`` (shape [n]) replaced by a different one.

    Documents stay where they are: BOS and other tokens without bytes never change. Tokens are replaced by tokens with
    bytes. No window of tokens occurs twice or in the training shards, as before. Keeping all gives the same stream;
    the same ``salt`` gives the same replacements.

    Raises:
        ValueError: ``keep`` has another length, or the stream cannot be made free of repetition.
    """
    spec, table = world.spec, pieces.of(world.spec)
    old = world.val.tokens.astype(np.int64)
    if keep.shape != old.shape:
        raise ValueError(f"keep has shape {keep.shape}, the stream {old.shape}")
    free = ~keep & (table.rank[old] >= 0)
    rng = np.random.default_rng([0xBEEF, spec.seed, salt])

    def redraw(places: NDArray[np.int64]) -> NDArray[np.int64]:
        return _others(table, old[places], rng)

    new = old.copy()
    new[free] = redraw(np.flatnonzero(free))
    if free.any():
        other = train_keys(spec, tuple(shard.tokens.astype(np.int64) for shard in world.train))
        new = unique.make_unique(new, free, other, unique.window(spec), spec.vocab_size, redraw)
    return as_stream(spec, new.astype(np.uint16))


def replace(world: World, position: int, token: int) -> Stream:
    """The validation stream with ``token`` at ``position``, all else unchanged (repetition is not looked for).

    Raises:
        IndexError: no such position.
        ValueError: no such token, or a document boundary would be made or lost.
    """
    old = world.val.tokens
    if not 0 <= position < len(old):
        raise IndexError(f"no position {position} in a stream of {len(old)}")
    if not 0 <= token < world.spec.vocab_size:
        raise ValueError(f"no token {token} in a vocabulary of {world.spec.vocab_size}")
    if (token == world.spec.bos_id) != (int(old[position]) == world.spec.bos_id):
        raise ValueError("a document boundary cannot be replaced or made")
    new = old.copy()
    new[position] = token
    return as_stream(world.spec, new)


def _others(table: pieces.PieceTable, old: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Uniform over the drawable tokens except the old one."""
    count = len(table.drawable)
    moved: NDArray[np.int64] = (table.rank[old] + rng.integers(1, count, size=len(old))) % count
    return table.drawable[moved]
