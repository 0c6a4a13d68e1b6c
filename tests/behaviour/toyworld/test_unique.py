"""Windows of tokens that must occur once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from auditor.behaviour.toyworld import unique
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world, train_keys
from tests.behaviour.toyworld.checks import repeats

NOTHING = np.zeros(0, dtype=np.uint64)


def test_the_window_is_four_for_a_usual_vocabulary_and_longer_for_a_small_one() -> None:
    assert [unique.window(WorldSpec(vocab_size=size)) for size in (1024, 2048, 8192, 16384)] == [4, 4, 4, 4]
    assert unique.window(WorldSpec(vocab_size=256)) > 4
    assert unique.window(WorldSpec(vocab_size=260, tokenizer="bytes")) > unique.window(WorldSpec(vocab_size=512))


def test_the_smallest_vocabulary_still_has_a_world() -> None:
    spec = WorldSpec(vocab_size=8, val_tokens=300, train_tokens=300)
    assert repeats(make_world(spec), make_world(spec).val) == []


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.lists(st.integers(0, 3), max_size=40))
def test_repeated_windows_are_those_that_a_slow_search_finds(own: list[int], other: list[int]) -> None:
    width = 3
    windows = [tuple(own[at : at + width]) for at in range(len(own) - width + 1)]
    elsewhere = {tuple(other[at : at + width]) for at in range(len(other) - width + 1)}
    slow = [at for at, item in enumerate(windows) if windows.count(item) > 1 or item in elsewhere]
    numbers = np.sort(unique.keys(np.array(other, dtype=np.int64), width, 4))
    found = unique.repeated(unique.keys(np.array(own, dtype=np.int64), width, 4), numbers)
    assert found.tolist() == slow


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1.0))
def test_repetition_is_taken_out_and_fixed_places_stay(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 1000, size=300)
    tokens[200:230] = tokens[100:130]
    free = rng.random(300) < share
    free[100:130:4] = True

    def redraw(places: NDArray[np.int64]) -> NDArray[np.int64]:
        return rng.integers(0, 1000, size=len(places))

    out = unique.make_unique(tokens, free, NOTHING, 4, 1000, redraw)
    assert not len(unique.repeated(unique.keys(out, 4, 1000), NOTHING))
    assert np.array_equal(out[~free], tokens[~free])


def test_a_window_of_the_training_shard_is_noticed_and_taken_out() -> None:
    world = make_world(WorldSpec())
    others = train_keys(world.spec, tuple(shard.tokens.astype(np.int64) for shard in world.train))
    tokens = world.val.tokens.astype(np.int64)
    tokens[3000:3006] = world.train[1].tokens[700:706]
    bad = unique.repeated(unique.keys(tokens, 4, 1024), others)
    assert set(range(3000, 3003)) <= set(bad.tolist())
    out = unique.make_unique(
        tokens, tokens > 3, others, 4, 1024, lambda places: np.full(len(places), 300) + places % 99
    )
    assert not len(unique.repeated(unique.keys(out, 4, 1024), others))


def test_repetition_where_nothing_may_change_is_an_error() -> None:
    tokens = np.tile(np.arange(10), 2)
    with pytest.raises(ValueError, match="nothing may change"):
        unique.make_unique(tokens, np.zeros(20, dtype=bool), NOTHING, 4, 10, lambda places: places)
    with pytest.raises(ValueError, match="too small"):
        unique.make_unique(tokens, np.ones(20, dtype=bool), NOTHING, 4, 10, lambda places: places * 0)
