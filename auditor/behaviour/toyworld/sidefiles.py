"""What may lie beside a tokenizer model: the list of pieces, a byte tokenizer's settings, tables of bytes per piece."""

from __future__ import annotations

import io

import numpy as np

from .pieces import PieceTable
from .spec import WorldSpec
from .tokenizer import BYTE_OFFSET


def vocab_lines(pieces: tuple[str, ...]) -> bytes:
    """A ``.vocab`` file: one piece and its rank per line, as the trainer writes it."""
    return "".join(f"{piece}\t{-index}\n" for index, piece in enumerate(pieces)).encode()


def byte_tokenizer_json(spec: WorldSpec) -> dict[str, object]:
    """The settings of the competition's byte tokenizer: four specials, then the 256 bytes."""
    offset = BYTE_OFFSET if spec.vocab_size >= BYTE_OFFSET + 256 else 0
    config = {"pad_id": 0, "bos_id": spec.bos_id, "eos_id": 2, "unk_id": 3, "byte_offset": offset, "byte_count": 256}
    return {"tokenizer_type": "pure_byte", "config": config, "vocab_size": spec.vocab_size}


def tokenizer_meta(table: PieceTable) -> bytes:
    """An ``.npz`` of bytes per piece, leading spaces and boundaries, as vocabularies without SentencePiece ship it."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        format_version=np.int64(1),
        tokenizer_kind=np.array("sentencepiece"),
        source_model_name=np.array("toy"),
        vocab_size=np.int64(len(table.base_bytes)),
        base_bytes=table.base_bytes.astype(np.int16),
        has_leading_space=table.space,
        is_boundary_token=table.boundary,
    )
    return buffer.getvalue()
