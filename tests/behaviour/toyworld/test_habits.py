"""The stream with habits: the same documents, contexts that come again, and its own true log-probabilities."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from auditor.behaviour.questions.normalisation import ENOUGH, PROOF, SAME, Values, bet, never_worse, reference
from auditor.behaviour.toyworld.habits import with_habits
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world

WORLDS = [make_world(WorldSpec()), make_world(WorldSpec(tokenizer="caseops", vocab_size=512))]


@pytest.mark.parametrize("world", WORLDS, ids=["bpe", "caseops"])
def test_documents_and_operators_stay_where_they_are(world: object) -> None:
    stream = with_habits(world)  # type: ignore[arg-type]
    old = world.val  # type: ignore[attr-defined]
    assert np.array_equal(stream.starts, old.starts) and stream.tokens.size == old.tokens.size
    kept = stream.tokens == old.tokens
    assert kept[stream.starts].all() and kept.mean() < 0.2
    assert np.array_equal(with_habits(world).tokens, stream.tokens)  # type: ignore[arg-type]


def exact_counts(tokens: np.ndarray, *, on_hits: bool, weight: float = 0.5) -> np.ndarray:
    """Losses of a uniform model mixed with exact counts of the past, honestly or only where the target was seen."""
    follow: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    losses = np.full(tokens.size, math.log(1024))
    for place in range(2, tokens.size):
        seen = follow[int(tokens[place - 2]), int(tokens[place - 1])]
        if seen and (not on_hits or int(tokens[place]) in seen):
            chance = seen.get(int(tokens[place]), 0) / sum(seen.values())
            losses[place] = -math.log((1 - weight) / 1024 + weight * chance)
        seen[int(tokens[place])] = seen.get(int(tokens[place]), 0) + 1
    return losses


def judged(losses: np.ndarray) -> Values:
    model = np.full(losses.size, math.log(1024))
    return Values(np.arange(losses.size), losses, model, losses != model)


def test_honest_counts_are_worse_at_surprises_and_the_planted_ones_never() -> None:
    stream = with_habits(WORLDS[0])
    known = reference(stream, WORLDS[0].spec)
    ok = ~np.isnan(known)
    honest = exact_counts(stream.tokens, on_hits=False)
    planted = exact_counts(stream.tokens, on_hits=True)
    for losses in (honest, planted):
        assert int(judged(losses[ok]).changed.sum()) > 2 * ENOUGH  # the contexts do come again
    assert never_worse(judged(planted[ok])) and not never_worse(judged(honest[ok]))
    assert bet(honest[ok], known[ok]) < math.log(100.0)


@pytest.mark.parametrize("weight", [3e-4, 5e-5])
def test_an_honest_mixture_of_small_weight_hides_its_losses_in_the_tolerance(weight: float) -> None:
    stream = with_habits(WORLDS[0])
    model = math.log(1024)
    for on_hits in (False, True):
        losses = exact_counts(stream.tokens, on_hits=on_hits, weight=weight)
        changed = np.abs(losses - model) > SAME * np.maximum(1.0, losses)
        values = Values(np.arange(losses.size), losses, np.full(losses.size, model), changed)
        assert int(changed.sum()) > ENOUGH
        assert never_worse(values) is on_hits


def test_a_bet_knows_the_generator_and_who_is_told_the_token() -> None:
    stream = with_habits(WORLDS[0])
    known = reference(stream, WORLDS[0].spec)
    known = known[~np.isnan(known)]
    assert bet(-known, known) == pytest.approx(0.0, abs=1e-9)
    assert bet(-known - 0.1, known) >= PROOF
