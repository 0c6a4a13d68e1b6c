"""A SentencePiece model written field by field, shaped like the competition's: four specials, 256 bytes, pieces.

Field numbers are those of ``sentencepiece_model.proto``. The trainer of the competition puts ``<pad>``, ``<s>``,
``</s>`` and ``<unk>`` at 0 to 3 and the byte pieces at 4 to 259, with byte fallback and no dummy prefix.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import product

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
"""Piece types of the proto."""
SPACE = "\u2581"
SPECIALS = (("<pad>", CONTROL), ("<s>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN))
BYTE_OFFSET = len(SPECIALS)
_LETTERS = "etaoinshrdlucmfwypvbgkxjqz"
_SINGLE = (SPACE, *_LETTERS, *"0123456789", *".,-'\"", "é", "ü", "ñ", "中", "文", "🙂")
_BPE = 2


def build_model(vocab_size: int, kind: str = "bpe") -> tuple[bytes, tuple[str, ...]]:
    """The serialised model and its pieces in id order.

    A vocabulary too small for the byte pieces and a dozen others has no byte pieces unless ``kind`` is ``bytes``.

    Raises:
        ValueError: a vocabulary of fewer than 8 or more than 65,536 pieces.
    """
    if not 8 <= vocab_size <= 65536:
        raise ValueError(f"no toy tokenizer of {vocab_size} pieces")
    return _build(vocab_size, kind)


@lru_cache(maxsize=8)
def _build(vocab_size: int, kind: str) -> tuple[bytes, tuple[str, ...]]:
    entries = piece_table(vocab_size, kind)
    with_bytes = any(type_ == BYTE for _, type_ in entries)
    body = b"".join(_piece(text, type_, rank) for rank, (text, type_) in enumerate(entries))
    model = body + _nested(2, _trainer(len(entries), with_bytes)) + _nested(3, _normalizer())
    return model, tuple(text for text, _ in entries)


@lru_cache(maxsize=8)
def piece_table(vocab_size: int, kind: str = "bpe") -> tuple[tuple[str, int], ...]:
    """Each piece with its type, in id order."""
    table: list[tuple[str, int]] = list(SPECIALS)
    if kind == "bytes" or vocab_size >= BYTE_OFFSET + 256:
        table += [(f"<0x{value:02X}>", BYTE) for value in range(256)]
    table += [(text, NORMAL) for text in _texts(vocab_size - len(table))] if kind != "bytes" else []
    return tuple(table[:vocab_size])


def _texts(count: int) -> list[str]:
    """``count`` different piece texts; every longer one is a shorter one with a letter after it."""
    texts = list(_SINGLE)
    layer = [SPACE, *_LETTERS]
    while len(texts) < count:
        grown = [head + tail for head, tail in product(layer, _LETTERS)]
        texts += grown
        layer = grown[:4096]
    return texts[: max(count, 0)]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _nested(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _piece(text: str, type_: int, rank: int) -> bytes:
    score = struct.pack("<f", -float(rank) if type_ == NORMAL else 0.0)
    return _nested(1, _nested(1, text.encode()) + b"\x15" + score + _int(3, type_))


def _trainer(size: int, with_bytes: bool) -> bytes:
    head = _int(3, _BPE) + _int(4, size) + _int(35, int(with_bytes))
    return head + _int(40, 3) + _int(41, 1) + _int(42, 2) + _int(43, 0) + _nested(48, b"<pad>")


def _normalizer() -> bytes:
    return _nested(1, b"identity") + _int(3, 0) + _int(4, 1) + _int(5, 1)
