"""A SentencePiece model written field by field, shaped like the competition's: four specials, 256 bytes, pieces.

Field numbers are those of ``sentencepiece_model.proto``. The trainer of the competition puts ``<pad>``, ``<s>``,
``</s>`` and ``<unk>`` at 0 to 3 and the byte pieces at 4 to 259, with byte fallback and no dummy prefix. CaseOps
vocabularies have four operators (U+E001 to U+E004, user-defined) between the specials and the bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from functools import lru_cache

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
"""Piece types of the proto."""
KINDS = ("bpe", "bytes", "caseops")
SPACE = "\u2581"
SPECIALS = (("<pad>", CONTROL), ("<s>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN))
OPERATORS = ("\ue001", "\ue002", "\ue003", "\ue004")
"""CaseOps: title, all capitals, next letter a capital, escape."""
BYTE_OFFSET = len(SPECIALS)
_LETTERS = "etaoinshrdlucmfwypvbgkxjqzéüñ中文"
_SINGLE = (SPACE, *_LETTERS, *"0123456789.,-'\"", "€", "🙂")
_LONGEST = 6
_BPE = 2


def build_model(vocab_size: int, kind: str = "bpe") -> tuple[bytes, tuple[str, ...]]:
    """The serialised model and its pieces in id order.

    A vocabulary of fewer than 260 has no byte pieces. ``bytes`` with fewer than 260 is the raw bytes, id = value, for
    which no SentencePiece model exists: the model is then that of 260, the pieces those of the raw bytes.

    Raises:
        ValueError: fewer than 8 or more than 65,536 pieces, or an unknown kind.
    """
    if not 8 <= vocab_size <= 65536:
        raise ValueError(f"no toy tokenizer of {vocab_size} pieces")
    if kind not in KINDS:
        raise ValueError(f"no toy tokenizer of kind {kind!r}")
    entries = piece_table(vocab_size, kind)
    raw = kind == "bytes" and vocab_size < BYTE_OFFSET + 256
    model = _serialise(BYTE_OFFSET + 256, kind) if raw else _serialise(vocab_size, kind)
    return model, tuple(text for text, _ in entries)


@lru_cache(maxsize=8)
def piece_table(vocab_size: int, kind: str = "bpe") -> tuple[tuple[str, int], ...]:
    """Each piece with its type, in id order."""
    all_bytes = [(f"<0x{value:02X}>", BYTE) for value in range(256)]
    if kind == "bytes":
        specials = list(SPECIALS) if vocab_size >= BYTE_OFFSET + 256 else []
        table = specials + all_bytes
        return tuple((table + [(f"<unused{index}>", CONTROL) for index in range(vocab_size)])[:vocab_size])
    table = list(SPECIALS)
    if kind == "caseops":
        table += [(text, USER_DEFINED) for text in OPERATORS]
    if vocab_size >= len(table) + 256:
        table += all_bytes
    table += [(text, NORMAL) for text in _texts(vocab_size - len(table))]
    return tuple(table[:vocab_size])


@lru_cache(maxsize=8)
def _serialise(vocab_size: int, kind: str) -> bytes:
    entries = piece_table(vocab_size, kind)
    with_bytes = any(type_ == BYTE for _, type_ in entries)
    first = next((index for index, (_, type_) in enumerate(entries) if type_ == NORMAL), 0)
    body = b"".join(_piece(text, type_, index - first) for index, (text, type_) in enumerate(entries))
    return body + _nested(2, _trainer(len(entries), with_bytes)) + _nested(3, _normalizer())


def _texts(count: int) -> list[str]:
    """``count`` different texts of 1 to 6 letters, half of them after a space.

    Every text is an earlier one with one letter more, as merges make them, so that a BPE encoder can reach it.
    """
    texts = list(_SINGLE)
    seen = set(texts)
    plain, spaced = list(_LETTERS), [SPACE]
    rng = random.Random(0x60CF)
    while len(texts) < count:
        heads, longest = (plain, _LONGEST) if len(texts) % 2 else (spaced, _LONGEST + 1)
        text = _early(rng, heads) + _early(rng, _LETTERS)
        if text in seen:
            continue
        seen.add(text)
        texts.append(text)
        if len(text) < longest:
            heads.append(text)
    return texts[: max(count, 0)]


def _early(rng: random.Random, items: Sequence[str]) -> str:
    """One of ``items``, the first ones more often."""
    return items[int(rng.random() ** 2 * len(items))]


def _varint(value: int) -> bytes:
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
    """TrainerSpec: model type, size, byte fallback, ids of unk, bos, eos and pad, and the text of pad."""
    head = _int(3, _BPE) + _int(4, size) + _int(35, int(with_bytes))
    return head + _int(40, 3) + _int(41, 1) + _int(42, 2) + _int(43, 0) + _nested(48, b"<pad>")


def _normalizer() -> bytes:
    """NormalizerSpec: no map of characters, no space put first, surplus spaces removed, spaces written as U+2581."""
    return _nested(1, b"identity") + _int(3, 0) + _int(4, 1) + _int(5, 1)
