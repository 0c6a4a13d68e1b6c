"""How many bytes of text a token stands for, as the competition counts them.

A SentencePiece token is as many bytes as its piece has in UTF-8, without the mark of a leading space. That space is
one byte more, unless the token before is a boundary (control, unknown or unused: a BOS above all), for the first word
of a document has no space before it. A byte-fallback piece is one byte. Boundaries themselves are no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .shards import DataError

SPACE = "\u2581"


class Pieces(Protocol):
    """What is asked of a ``sentencepiece.SentencePieceProcessor``."""

    def vocab_size(self) -> int: ...  # noqa: D102
    def id_to_piece(self, id: int) -> str: ...  # noqa: D102
    def is_control(self, id: int) -> bool: ...  # noqa: D102
    def is_unknown(self, id: int) -> bool: ...  # noqa: D102
    def is_unused(self, id: int) -> bool: ...  # noqa: D102
    def is_byte(self, id: int) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ByteTable:
    """Three tables over the vocabulary, each [V]."""

    base_bytes: Tensor
    """int64: bytes of the piece without its leading space."""
    leading_space: Tensor
    """bool: the piece begins with a space."""
    boundary: Tensor
    """bool: no text; a leading space after it is not counted."""

    @property
    def vocab_size(self) -> int:
        """Number of ids that the table knows."""
        return self.base_bytes.numel()

    def count(self, prev: Tensor, target: Tensor) -> Tensor:
        """Bytes of each of ``target`` after ``prev``: int64 ids of any one shape -> int64 of that shape."""
        spaced = self.leading_space[target] & ~self.boundary[prev]
        return self.base_bytes[target] + spaced

    def to(self, device: torch.device | str) -> ByteTable:
        """The same table on ``device``."""
        return ByteTable(self.base_bytes.to(device), self.leading_space.to(device), self.boundary.to(device))

    @classmethod
    def of(cls, pieces: Pieces, vocab_size: int = 0) -> ByteTable:
        """The table of a SentencePiece model; ids beyond it, up to ``vocab_size``, are boundaries."""
        size = max(pieces.vocab_size(), vocab_size)
        base, spaced, boundary = [0] * size, [False] * size, [True] * size
        for index in range(pieces.vocab_size()):
            if pieces.is_control(index) or pieces.is_unknown(index) or pieces.is_unused(index):
                continue
            boundary[index] = False
            piece = pieces.id_to_piece(index)
            spaced[index] = not pieces.is_byte(index) and piece.startswith(SPACE)
            base[index] = 1 if pieces.is_byte(index) else len(piece.removeprefix(SPACE).encode("utf-8"))
        return cls(torch.tensor(base), torch.tensor(spaced), torch.tensor(boundary))


def load_tokenizer(path: Path) -> Any:
    """The ``SentencePieceProcessor`` of a model file. Raises `DataError`."""
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except OSError as error:
        raise DataError(f"the tokenizer {path.name} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:
        raise DataError(f"{path.name} is no SentencePiece model") from error


def load_table(path: Path, vocab_size: int) -> ByteTable:
    """The byte table of a tokenizer whose size must be ``vocab_size``. Raises `DataError`."""
    pieces = load_tokenizer(path)
    if pieces.vocab_size() != vocab_size:
        raise DataError(f"{path.name} has {pieces.vocab_size():,} pieces, and the model a vocabulary of {vocab_size:,}")
    return ByteTable.of(pieces, vocab_size)
