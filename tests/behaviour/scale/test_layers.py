"""Settings that name single layers move with the number of layers, in order and apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.behaviour.scale.layers import fewer_layers, moved_layers
from auditor.behaviour.scale.shape import LEVELS, shape_of
from auditor.behaviour.scale.sites import Site
from auditor.behaviour.scale.values import toy_value


def site(name: str, value: int | str, how: str = "env") -> Site:
    return Site(name, how, value, "train_gpt.py", 1)


def moved(layers: int, *named: Site) -> tuple[int, list[str | None]]:
    """Toy layers at the tiny level, and the new text of each setting."""
    sites = [site("NUM_LAYERS", layers), site("MODEL_DIM", 512), *named]
    shape = shape_of(sites, LEVELS[0], None)
    texts = [toy_value(s, shape, LEVELS[0])[1] for s in named]
    return shape.toy_layers, [t if t is None else str(t) for t in texts]


def test_lists_starts_and_ends_of_a_stack() -> None:
    assert moved(11, site("VE_LAYERS", "9,10")) == (5, ["3,4"])
    assert moved(11, site("LOOP_START", 3), site("LOOP_END", "5"), site("PARALLEL_START_LAYER", 8)) == (
        5, ["1", "2", "3"],
    )  # fmt: skip
    assert moved(9, site("XSA_LAST_N", 9)) == (5, ["5"])
    assert moved(11, site("XSA_LAST_N", 4), site("TTT_FREEZE_BLOCKS", 9)) == (5, ["2", "4"])
    assert moved(11, site("TTT_FREEZE_BLOCKS", 0)) == (5, [None])


def test_a_stack_is_as_deep_as_its_named_layers_need() -> None:
    layers, texts = moved(11, site("VE_LAYERS", "9,10"), site("RECUR_LAYERS", "4,5"), site("PARALLEL_START_LAYER", 7))
    assert layers == 7 and texts == ["5,6", "2,3", "4"]
    assert moved(9, site("CLASSICAL_LAYERS", "0,1,2,3,4,5,6,7"))[0] == 9


@pytest.mark.parametrize(
    "fixed",
    [site("xsa_start_layer", 7, "const"), site("loop_start", 3, "default"), site("NUM_UNIQUE_LAYERS", 6)],
    ids=lambda s: s.name,
)
def test_planted_what_cannot_move_keeps_all_layers(fixed: Site) -> None:
    assert moved(11, fixed)[0] == 11
    assert moved(11, site("LOOP_START", 3), site("loop_start", 3, "default"))[0] == 5


def test_the_second_level_has_all_layers() -> None:
    sites = [site("NUM_LAYERS", 11), site("VE_LAYERS", "9,10")]
    shape = shape_of(sites, LEVELS[1], None)
    assert shape.toy_layers == 11 and toy_value(sites[1], shape, LEVELS[1])[1] is None


@given(st.integers(5, 24), st.sets(st.integers(0, 23), max_size=8))
def test_named_layers_stay_in_order_and_apart(layers: int, named: set[int]) -> None:
    inside = sorted(n for n in named if n < layers)
    found = fewer_layers([site("VE_LAYERS", ",".join(map(str, inside)))] if inside else [], layers, 4 + layers % 2)
    assert len(found) == layers and found[-1] + 1 <= layers
    assert all(a <= b for a, b in pairwise(found))
    places = [found[n] for n in inside]
    assert len(set(places)) == len(places)
    assert all(found[n] > 0 for n in inside if n)


@given(st.integers(2, 40))
def test_a_number_beyond_the_stack_stays_beyond_it(number: int) -> None:
    layers = fewer_layers([], 11, 5)
    text = moved_layers(site("LOOP_END", number), layers)
    value = int(text) if text is not None else number
    assert value >= 5 if number >= 11 else value < 5
