"""Varied streams change what they shall and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from auditor.behaviour.toyworld import pieces
from auditor.behaviour.toyworld.spec import Stream, World, WorldSpec
from auditor.behaviour.toyworld.stream import as_stream, make_world
from auditor.behaviour.toyworld.vary import replace, vary
from tests.behaviour.toyworld.checks import variation_faults

WORLDS = {
    "bpe": make_world(WorldSpec(val_tokens=1500, train_tokens=3000, mean_document=60)),
    "bytes": make_world(WorldSpec(vocab_size=260, tokenizer="bytes", val_tokens=900, train_tokens=2000)),
    "caseops": make_world(WorldSpec(vocab_size=1024, tokenizer="caseops", val_tokens=1500, mean_document=5)),
    "tiny": make_world(WorldSpec(vocab_size=32, val_tokens=700, train_tokens=500)),
}


def equal(one: Stream, two: Stream) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(two, field.name)) for field in dataclasses.fields(one))


def masks(count: int) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Keep a head, keep all but a slice, or keep at random."""
    head = st.integers(0, count).map(lambda cut: np.arange(count) < cut)
    hole = st.tuples(st.integers(0, count), st.integers(0, 300)).map(
        lambda pair: (np.arange(count) < pair[0]) | (np.arange(count) >= pair[0] + pair[1])
    )
    loose = st.tuples(st.integers(0, 2**32 - 1), st.floats(0, 1)).map(
        lambda pair: np.random.default_rng(pair[0]).random(count) < pair[1]
    )
    return st.one_of(head, hole, loose)


@pytest.mark.parametrize("name", sorted(WORLDS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_variation_keeps_its_promises(name: str, data: st.DataObject) -> None:
    world = WORLDS[name]
    keep = data.draw(masks(len(world.val.tokens)))
    salt = data.draw(st.integers(0, 1000))
    stream = vary(world, keep, salt)
    assert variation_faults(world, keep, stream) == []
    assert equal(stream, vary(world, keep, salt))


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_keeping_all_gives_the_same_stream(name: str) -> None:
    world = WORLDS[name]
    assert equal(vary(world, np.ones(len(world.val.tokens), dtype=bool), 3), world.val)


def test_another_salt_gives_another_stream() -> None:
    world = WORLDS["bpe"]
    keep = np.arange(1500) < 700
    assert not np.array_equal(vary(world, keep, 1).tokens, vary(world, keep, 2).tokens)


def spoiled(world: World, position: int, token: int) -> Stream:
    tokens = vary(world, np.arange(1500) < 700, 1).tokens.copy()
    tokens[position] = token
    return as_stream(world.spec, tokens)


def test_every_broken_promise_is_noticed() -> None:
    world = WORLDS["bpe"]
    keep = np.arange(1500) < 700
    good = vary(world, keep, 1)
    plain = next(at for at in range(900, 1400) if not (good.tokens[at - 2 : at + 2] == 1).any())
    other = int(pieces.of(world.spec).drawable[0])
    start = int(good.starts[good.starts > 800][0])
    assert variation_faults(world, keep, spoiled(world, 300 if good.tokens[300] != 1 else 301, other)) == [
        "a kept token changed"
    ]
    assert variation_faults(world, keep, spoiled(world, plain, int(world.val.tokens[plain]))) == [
        "a token that should change did not"
    ]
    assert "a document boundary moved" in variation_faults(world, keep, spoiled(world, start, other))
    assert "a token without bytes changed" in variation_faults(world, keep, spoiled(world, start, other))
    assert "a token that the generator cannot draw" in variation_faults(world, keep, spoiled(world, plain, 3))
    stale = dataclasses.replace(good, bytes=world.val.bytes)
    assert variation_faults(world, keep, stale) == ["the bytes are not those of the text"]
    copied = good.tokens.copy()
    copied[plain : plain + 4] = world.train[0].tokens[40:44]
    assert "a window repeats" in variation_faults(world, keep, as_stream(world.spec, copied))


def test_a_planted_repetition_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first draw copies a stretch of the training shard; the windows are then drawn again."""
    world = WORLDS["bpe"]
    calls = []

    def first_copies(table: pieces.PieceTable, old: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        calls.append(len(old))
        fresh = table.drawable[(table.rank[old] + rng.integers(1, len(table.drawable), size=len(old))) % 700]
        if len(calls) == 1:
            fresh[:8] = world.train[0].tokens[41:49]
        return np.where(fresh == old, table.drawable[(table.rank[old] + 1) % len(table.drawable)], fresh)

    monkeypatch.setattr("auditor.behaviour.toyworld.vary._others", first_copies)
    quiet = next(at for at in range(700, 1400) if not (world.val.tokens[at : at + 12] == 1).any())
    keep = np.arange(1500) < quiet
    assert variation_faults(world, keep, vary(world, keep, 1)) == []
    assert len(calls) > 1


def test_one_token_is_replaced() -> None:
    world = WORLDS["bpe"]
    at = next(place for place in range(100, 900) if not (world.val.tokens[place - 1 : place + 2] == 1).any())
    token = int(pieces.of(world.spec).drawable[700])
    stream = replace(world, at, token)
    assert np.flatnonzero(stream.tokens != world.val.tokens).tolist() == [at]
    assert int(stream.bytes[at]) == int(pieces.of(world.spec).base_bytes[token] + pieces.of(world.spec).space[token])
    assert np.array_equal(np.delete(stream.bytes, at), np.delete(world.val.bytes, at))
    assert world.val.tokens[at] != token


def test_what_cannot_be_replaced_is_refused() -> None:
    world = WORLDS["bpe"]
    for position in (-1, 1500):
        with pytest.raises(IndexError):
            replace(world, position, 300)
    for position, token, why in ((5, 1, "boundary"), (0, 300, "boundary"), (5, 1024, "no token")):
        with pytest.raises(ValueError, match=why):
            replace(world, position, token)
    with pytest.raises(ValueError, match="shape"):
        vary(world, np.ones(3, dtype=bool), 0)
