"""Any few consecutive tokens of the validation stream occur once: in it, and never in the training shards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from . import pieces
from .spec import WorldSpec

Redraw = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""New tokens for the positions given."""
_ROUNDS = 200


def window(spec: WorldSpec) -> int:
    """How many consecutive tokens are enough to find a place in the validation stream (4 for 1,024 pieces and more)."""
    drawn = len(pieces.of(spec).drawable)
    pairs = spec.val_tokens * (spec.val_tokens + spec.train_tokens * spec.train_shards)
    width = 4
    while drawn**width < 100 * pairs:
        width += 1
    return width


def keys(tokens: NDArray[np.uint16] | NDArray[np.int64], width: int, vocab_size: int) -> NDArray[np.uint64]:
    """One number per window of ``width`` tokens, shape [n - width + 1]; equal windows have equal numbers."""
    ids = tokens.astype(np.uint64)
    count = max(len(ids) - width + 1, 0)
    out = np.zeros(count, dtype=np.uint64)
    for offset in range(width):
        out = out * np.uint64(vocab_size) + ids[offset : offset + count]
    return out


def repeated(own: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Start positions of the windows that occur a second time or occur in ``other`` (sorted)."""
    order = np.argsort(own, kind="stable")
    ranked = own[order]
    twice = np.zeros(len(own), dtype=bool)
    same = ranked[1:] == ranked[:-1]
    twice[order[1:][same]] = True
    twice[order[:-1][same]] = True
    if len(other):
        place = np.minimum(np.searchsorted(other, own), len(other) - 1)
        twice |= other[place] == own
    return np.flatnonzero(twice)


def make_unique(
    tokens: NDArray[np.int64],
    free: NDArray[np.bool_],
    other: NDArray[np.uint64],
    width: int,
    vocab_size: int,
    redraw: Redraw,
) -> NDArray[np.int64]:
    """``tokens`` with free positions redrawn until no window repeats; shape [n], a new array.

    Raises:
        ValueError: no free position is left to change in a repeated window.
    """
    out = tokens.copy()
    for _ in range(_ROUNDS):
        bad = repeated(keys(out, width, vocab_size), other)
        if not len(bad):
            return out
        touched = np.unique(bad[:, None] + np.arange(width)[None, :])
        touched = touched[free[touched]]
        if not len(touched):
            raise ValueError("the stream repeats itself where nothing may change")
        out[touched] = redraw(touched)
    raise ValueError(f"no stream without repetition in {_ROUNDS} tries: the vocabulary is too small for its length")
