"""The toy streams: tokens independent and uniform, so that no honest scorer can beat the generator's entropy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from . import pieces, unique
from .spec import Stream, World, WorldSpec
from .tokenizer import build_model


def stop_probability(spec: WorldSpec) -> float:
    """Chance that a token which does not follow a BOS is a BOS: documents have one token at least after theirs."""
    return 1.0 / max(spec.mean_document - 1, 1)


def make_world(spec: WorldSpec) -> World:
    """The whole toy data of ``spec``; the same for the same spec.

    Raises:
        ValueError: a vocabulary that cannot be built, or too small for a stream without repetition.
    """
    model, texts = build_model(spec.vocab_size, spec.tokenizer)
    rng = np.random.default_rng([0x60CF, spec.seed, spec.vocab_size])
    train = tuple(_draw(spec, rng, spec.train_tokens) for _ in range(spec.train_shards))
    tokens = _draw(spec, rng, spec.val_tokens)
    table = pieces.of(spec)
    free = tokens != spec.bos_id
    tokens = unique.make_unique(
        tokens,
        free,
        train_keys(spec, train),
        unique.window(spec),
        spec.vocab_size,
        lambda places: table.draw(rng, len(places)),
    )
    streams = tuple(as_stream(spec, part.astype(np.uint16)) for part in train)
    return World(spec, model, streams, as_stream(spec, tokens.astype(np.uint16)), texts)


def train_keys(spec: WorldSpec, shards: tuple[NDArray[np.int64], ...]) -> NDArray[np.uint64]:
    """The sorted windows of all training shards."""
    width = unique.window(spec)
    parts = [unique.keys(shard, width, spec.vocab_size) for shard in shards]
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.uint64)


def as_stream(spec: WorldSpec, tokens: NDArray[np.uint16]) -> Stream:
    """``tokens`` [n] with their document starts, bytes and the generator's log-probabilities."""
    table = pieces.of(spec)
    starts = np.flatnonzero(tokens == spec.bos_id).astype(np.int64)
    return Stream(tokens, starts, pieces.count_bytes(table, tokens), _log_prob(spec, tokens))


def _log_prob(spec: WorldSpec, tokens: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The stream begins with a BOS for certain; after a BOS comes no second one."""
    stop, drawn = stop_probability(spec), pieces.of(spec).log_prob[tokens.astype(np.int64)]
    bos = tokens == spec.bos_id
    after_bos = np.concatenate([[False], bos[:-1]])
    go_on = math.log1p(-stop) if stop < 1 else -math.inf
    out = np.where(bos, math.log(stop), np.where(after_bos, drawn, drawn + go_on))
    out[:1] = 0.0
    return out


def _draw(spec: WorldSpec, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    tokens = pieces.of(spec).draw(rng, count)
    lengths = 1 + rng.geometric(stop_probability(spec), size=count // 2 + 1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tokens[starts[starts < count]] = spec.bos_id
    return tokens
