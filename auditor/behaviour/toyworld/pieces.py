"""What a piece adds to the text: the competition's own byte accounting, as arrays over the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .spec import WorldSpec
from .tokenizer import BYTE, NORMAL, SPACE, piece_table


@dataclass(frozen=True, slots=True)
class PieceTable:
    """Arrays over the vocabulary, and the tokens that the generator draws."""

    base_bytes: NDArray[np.int64]
    """UTF-8 bytes of the piece without its leading space."""
    space: NDArray[np.bool_]
    """The piece begins with a space, worth one byte unless a boundary is before it."""
    boundary: NDArray[np.bool_]
    """Control and unknown tokens: no text, and no space counted after them."""
    drawable: NDArray[np.int64]
    """Ids drawn uniformly."""
    rank: NDArray[np.int64]
    """Index of an id in ``drawable``, -1 where it is not drawn."""


@lru_cache(maxsize=8)
def tables(vocab_size: int, kind: str, bos_id: int) -> PieceTable:
    """The tables of a vocabulary (see ``tokenizer.piece_table``)."""
    entries = piece_table(vocab_size, kind)
    base = np.array([_base_bytes(text, type_) for text, type_ in entries], dtype=np.int64)
    space = np.array([type_ == NORMAL and text.startswith(SPACE) for text, type_ in entries])
    boundary = np.array([type_ not in (NORMAL, BYTE) for _, type_ in entries])
    base[bos_id], space[bos_id], boundary[bos_id] = 0, False, True
    drawn = np.flatnonzero(base > 0)
    text = np.array([type_ == NORMAL for _, type_ in entries])
    drawn = drawn[text[drawn]] if text.any() else drawn[[_printable(entries[index][0]) for index in drawn]]
    rank = np.full(len(entries), -1, dtype=np.int64)
    rank[drawn] = np.arange(len(drawn))
    return PieceTable(base, space, boundary, drawn, rank)


def of(spec: WorldSpec) -> PieceTable:
    """The tables of a world."""
    return tables(spec.vocab_size, spec.tokenizer, spec.bos_id)


def count_bytes(table: PieceTable, tokens: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Bytes that each token adds after its predecessor; shape of ``tokens`` [n]."""
    ids = tokens.astype(np.int64)
    after_boundary = np.ones(len(ids), dtype=bool)
    after_boundary[1:] = table.boundary[ids[:-1]]
    return table.base_bytes[ids] + (table.space[ids] & ~after_boundary)


def _base_bytes(text: str, type_: int) -> int:
    if type_ == BYTE:
        return 1
    return len(text.removeprefix(SPACE).encode()) if type_ == NORMAL else 0


def _printable(text: str) -> bool:
    return 0x21 <= int(text[1:-1], 16) <= 0x7E
