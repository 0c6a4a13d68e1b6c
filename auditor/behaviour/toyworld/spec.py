"""What a toy world must have, and what it is once made."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """The shape of a toy world; everything in it follows from this value alone."""

    vocab_size: int = 1024
    tokenizer: str = "bpe"
    """``bpe`` (pieces with byte fallback), ``bytes`` (a byte-level vocabulary: 256 or 260) or ``caseops``."""
    bos_id: int = 1
    val_tokens: int = 4097
    train_tokens: int = 32768
    """Tokens of one training shard."""
    train_shards: int = 2
    mean_document: int = 220
    """Mean length of a document in tokens, BOS included."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """A validation or training stream of n tokens."""

    tokens: NDArray[np.uint16]
    """Shape [n]."""
    starts: NDArray[np.int64]
    """Positions of the documents' first tokens (BOS)."""
    bytes: NDArray[np.int64]
    """Shape [n]: UTF-8 bytes of the text that token t adds after its predecessor (BOS and control tokens add none)."""
    log_prob: NDArray[np.float64]
    """Shape [n]: natural log of the generator's own probability of token t given all before it."""


@dataclass(frozen=True, slots=True)
class World:
    """The toy data of one probe."""

    spec: WorldSpec
    tokenizer: bytes
    """A serialised SentencePiece model."""
    train: tuple[Stream, ...]
    val: Stream
    pieces: tuple[str, ...] = field(default=(), repr=False)
