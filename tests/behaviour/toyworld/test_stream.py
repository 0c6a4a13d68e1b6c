"""The toy streams: exact log-probabilities, exact bytes, documents as they should be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from auditor.behaviour.toyworld import pieces
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import as_stream, make_world, stop_probability
from tests.behaviour.toyworld.checks import repeats, wrong_bytes

SPECS = [
    WorldSpec(),
    WorldSpec(vocab_size=256),
    WorldSpec(vocab_size=260, tokenizer="bytes"),
    WorldSpec(vocab_size=512, mean_document=20),
    WorldSpec(vocab_size=4608, seed=3),
    WorldSpec(vocab_size=8192, tokenizer="caseops"),
    WorldSpec(vocab_size=16384, bos_id=2),
]
IDS = [f"{spec.tokenizer}{spec.vocab_size}" for spec in SPECS]


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_streams_hold_what_they_promise(spec: WorldSpec) -> None:
    world = make_world(spec)
    assert [len(shard.tokens) for shard in world.train] == [spec.train_tokens] * spec.train_shards
    assert len(world.val.tokens) == len(world.val.bytes) == len(world.val.log_prob) == spec.val_tokens
    for stream in (*world.train, world.val):
        assert stream.tokens.dtype == np.uint16
        assert stream.starts[0] == 0
        assert np.array_equal(stream.starts, np.flatnonzero(stream.tokens == spec.bos_id))
        assert (np.diff(stream.starts) >= 2).all()
        assert np.isfinite(stream.log_prob).all()
        assert wrong_bytes(world, stream) == []
        length = np.diff(stream.starts).mean()
        assert spec.mean_document * 0.5 < length < spec.mean_document * 1.7
    assert repeats(world, world.val) == []
    assert len(world.pieces) == spec.vocab_size


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_chances_sum_to_one_after_any_token(spec: WorldSpec) -> None:
    everything = np.arange(spec.vocab_size, dtype=np.uint16)
    bos, other = np.uint16(spec.bos_id), np.uint16(pieces.of(spec).drawable[5])
    for before in (bos, other):
        pairs = [as_stream(spec, np.array([before, token], dtype=np.uint16)).log_prob[1] for token in everything]
        possible = [value for token, value in zip(everything, pairs, strict=True) if (before, token) != (bos, bos)]
        assert np.exp(possible).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[5]], ids=["bpe", "caseops"])
def test_the_mean_log_probability_is_the_entropy(spec: WorldSpec) -> None:
    world = make_world(dataclasses.replace(spec, train_tokens=200_000, train_shards=1, mean_document=50))
    table = pieces.of(spec)
    finite = table.log_prob[np.isfinite(table.log_prob)]
    within = -(np.exp(finite) * finite).sum()
    stop = stop_probability(world.spec)
    choice = -(stop * np.log(stop) + (1 - stop) * np.log1p(-stop))
    share = len(world.train[0].starts) / 200_000
    entropy = within * (1 - share) + choice * (1 - share)
    assert -world.train[0].log_prob.mean() == pytest.approx(entropy, rel=0.002)


def test_a_scorer_that_knows_the_chances_is_not_beaten_by_another() -> None:
    """Any other fixed distribution has more loss on the stream, up to chance."""
    world = make_world(WorldSpec())
    tokens = world.val.tokens
    true = -world.val.log_prob[1:].sum()
    counts = np.bincount(world.train[0].tokens, minlength=1024) + 1.0
    learned = -np.log(counts / counts.sum())[tokens[1:]].sum()
    assert true < learned


def test_tokens_are_drawn_evenly() -> None:
    spec = WorldSpec(train_tokens=400_000, train_shards=1)
    table = pieces.of(spec)
    counts = np.bincount(make_world(spec).train[0].tokens, minlength=1024)[table.drawable]
    expected = counts.sum() / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * np.sqrt(2 * len(counts))


def test_worlds_follow_from_their_spec_alone() -> None:
    one, two = make_world(WorldSpec(seed=7)), make_world(WorldSpec(seed=7))
    assert np.array_equal(one.val.tokens, two.val.tokens)
    assert one.tokenizer == two.tokenizer
    assert not np.array_equal(one.val.tokens, make_world(WorldSpec(seed=8)).val.tokens)


def test_bytes_that_ignore_the_boundary_are_noticed() -> None:
    world = make_world(WorldSpec())
    table = pieces.of(world.spec)
    ids = world.val.tokens.astype(np.int64)
    spoiled = dataclasses.replace(world.val, bytes=table.base_bytes[ids] + table.space[ids])
    assert wrong_bytes(world, spoiled)


def test_operators_add_no_bytes_and_come_often_enough() -> None:
    world = make_world(WorldSpec(vocab_size=8192, tokenizer="caseops"))
    operator = np.isin(world.val.tokens, (4, 5, 6))
    assert 0.06 < operator.mean() < 0.10
    assert world.val.bytes[operator].sum() == 0


def test_documents_of_two_tokens_and_tiny_streams() -> None:
    world = make_world(WorldSpec(mean_document=2, val_tokens=61, train_tokens=30, train_shards=1))
    assert set(np.diff(world.val.starts).tolist()) == {2}
    assert np.isfinite(world.val.log_prob).all()
    assert len(make_world(WorldSpec(val_tokens=2, train_shards=0)).val.tokens) == 2
