"""What a piece adds to the text: the competition's own byte accounting, as arrays over the vocabulary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .spec import WorldSpec
from .tokenizer import BYTE, CONTROL, NORMAL, OPERATORS, SPACE, UNKNOWN, USER_DEFINED, piece_table

OPERATOR_RATE = 0.08
"""Share of operators among the tokens of a CaseOps stream that are not BOS."""
_FEW = 64
_PRINTABLE = tuple(f"<0x{value:02X}>" for value in range(0x20, 0x7F))
_CAPITALS = tuple(f"<0x{value:02X}>" for value in range(0x41, 0x5B))


@dataclass(frozen=True, slots=True)
class PieceTable:
    """Arrays over the vocabulary [V], and the tokens that the generator draws."""

    base_bytes: NDArray[np.int64]
    """UTF-8 bytes of the piece without its leading space; none for control tokens and CaseOps operators."""
    space: NDArray[np.bool_]
    """The piece begins with a space, worth one byte unless a boundary is before it."""
    boundary: NDArray[np.bool_]
    """Control and unknown tokens: no text, and no space counted after them."""
    drawable: NDArray[np.int64]
    """Ids of tokens with bytes, drawn uniformly."""
    operators: NDArray[np.int64]
    """Ids of tokens without bytes that are drawn too, ``OPERATOR_RATE`` of all."""
    rank: NDArray[np.int64]
    """Index of an id in ``drawable``, -1 where it is not in it."""
    log_prob: NDArray[np.float64]
    """Natural log of an id's chance where a BOS cannot come; -inf where it is never drawn."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """``count`` independent tokens."""
        tokens: NDArray[np.int64] = self.drawable[rng.integers(0, len(self.drawable), size=count)]
        if len(self.operators):
            chosen = rng.random(count) < OPERATOR_RATE
            tokens[chosen] = self.operators[rng.integers(0, len(self.operators), size=int(chosen.sum()))]
        return tokens


def of(spec: WorldSpec) -> PieceTable:
    """The tables of a world.

    Raises:
        ValueError: the BOS is not in the vocabulary.
    """
    return _tables(spec.vocab_size, spec.tokenizer, spec.bos_id)


def count_bytes(table: PieceTable, tokens: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Bytes that each token adds after its predecessor; shape of ``tokens`` [n]."""
    ids = tokens.astype(np.int64)
    after_boundary = np.ones(len(ids), dtype=bool)
    after_boundary[1:] = table.boundary[ids[:-1]]
    return table.base_bytes[ids] + (table.space[ids] & ~after_boundary)


@lru_cache(maxsize=8)
def _tables(vocab_size: int, kind: str, bos_id: int) -> PieceTable:
    entries = piece_table(vocab_size, kind)
    if not 0 <= bos_id < len(entries):
        raise ValueError(f"BOS {bos_id} is not in a vocabulary of {len(entries)}")
    base = np.array([_base_bytes(text, type_) for text, type_ in entries], dtype=np.int64)
    space = np.array([type_ == NORMAL and text.startswith(SPACE) for text, type_ in entries])
    boundary = np.array([type_ in (CONTROL, UNKNOWN) for _, type_ in entries])
    drawn = _drawn(entries, bos_id)
    operators = np.array(
        [index for index, (text, type_) in enumerate(entries) if type_ == USER_DEFINED and text in OPERATORS[:3]],
        dtype=np.int64,
    )
    operators = operators[operators != bos_id]
    rank = np.full(len(entries), -1, dtype=np.int64)
    rank[drawn] = np.arange(len(drawn))
    table = PieceTable(base, space, boundary, drawn, operators, rank, _log_prob(len(entries), drawn, operators))
    for array in (base, space, boundary, drawn, operators, rank, table.log_prob):
        array.setflags(write=False)
    return table


def _drawn(entries: tuple[tuple[str, int], ...], bos_id: int) -> NDArray[np.int64]:
    """Texts but the bare space (decoders drop it at the start), and capitals as bytes; all ASCII if texts are few."""
    texts = [index for index, (text, type_) in enumerate(entries) if type_ == NORMAL and text != SPACE]
    wanted = _CAPITALS if len(texts) >= _FEW else _PRINTABLE
    as_bytes = [index for index, (text, type_) in enumerate(entries) if type_ == BYTE and text in wanted]
    return np.array([index for index in sorted(texts + as_bytes) if index != bos_id], dtype=np.int64)


def _log_prob(size: int, drawn: NDArray[np.int64], operators: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.full(size, -math.inf)
    share = 1.0 - OPERATOR_RATE if len(operators) else 1.0
    out[drawn] = math.log(share / len(drawn))
    if len(operators):
        out[operators] = math.log(OPERATOR_RATE / len(operators))
    return out


def _base_bytes(text: str, type_: int) -> int:
    if type_ == BYTE:
        return 1
    return len(text.removeprefix(SPACE).encode()) if type_ == NORMAL else 0
