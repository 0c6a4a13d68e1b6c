"""What must hold for a toy stream, as sentences on what does not: used by the tests and shown failing by them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from auditor.behaviour.toyworld.spec import Stream, World
from auditor.behaviour.toyworld.tokenizer import OPERATORS
from auditor.behaviour.toyworld.unique import window


def repeats(world: World, stream: Stream) -> list[str]:
    """Windows of the stream that occur again in it or in a training shard, found the slow way."""
    width = window(world.spec)
    own = Counter(_windows(stream.tokens, width))
    train = {item for shard in world.train for item in _windows(shard.tokens, width)}
    return [f"{item} x{count}" for item, count in own.items() if count > 1 or item in train]


def wrong_bytes(world: World, stream: Stream) -> list[int]:
    """Starts of the documents whose bytes are not those of the text that the library decodes."""
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(world.tokenizer)
    wrong = []
    ends = [*stream.starts[1:].tolist(), len(stream.tokens)]
    for start, end in zip(stream.starts.tolist(), ends, strict=True):
        text = processor.decode(stream.tokens[start:end].tolist())
        for operator in OPERATORS:
            text = text.replace(operator, "")
        if len(text.encode()) != int(stream.bytes[start:end].sum()):
            wrong.append(start)
    return wrong


def variation_faults(world: World, keep: NDArray[np.bool_], stream: Stream) -> list[str]:
    """What ``vary`` promises and ``stream`` does not hold."""
    old, new = world.val.tokens, stream.tokens
    silent = world.val.bytes == 0
    faults = []
    if not np.array_equal(old[keep], new[keep]):
        faults.append("a kept token changed")
    if not np.array_equal(old[silent], new[silent]) or not np.array_equal(silent, stream.bytes == 0):
        faults.append("a token without bytes changed")
    if (old == new)[~keep & ~silent].any():
        faults.append("a token that should change did not")
    if not np.array_equal(stream.starts, world.val.starts):
        faults.append("a document boundary moved")
    if repeats(world, stream):
        faults.append("a window repeats")
    if wrong_bytes(world, stream):
        faults.append("the bytes are not those of the text")
    if not np.isfinite(stream.log_prob).all():
        faults.append("a token that the generator cannot draw")
    return faults


def _windows(tokens: NDArray[np.uint16], width: int) -> list[tuple[int, ...]]:
    ids = tokens.tolist()
    return list(zip(*(ids[offset:] for offset in range(width)), strict=False))
