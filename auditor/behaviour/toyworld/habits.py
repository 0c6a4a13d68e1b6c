"""A validation stream with habits: few words follow a word, so that caches and n-gram tables have something to hit.

The toy stream itself never repeats itself; a mixture that works by repetition hardly ever speaks there. Here each
token follows its predecessor by a known chain, so a bet against the generator is as fair as on the toy stream.
"""

from __future__ import annotations

import math

import numpy as np

from . import pieces
from .spec import Stream, World

WORDS = 32
"""Tokens that habits are made of."""
FOLLOWERS = 2
"""So many of them follow each of them, equally likely; any of them follows another token."""
SURPRISE = 0.2
"""Chance of a token drawn from the whole vocabulary instead."""


def with_habits(world: World, salt: int = 0) -> Stream:
    """The validation stream with all tokens but BOS and operators drawn anew, each by its predecessor.

    ``log_prob`` holds the chain's own log-probabilities, given all before. Windows of tokens do repeat, so positions
    cannot be told by content.
    """
    table, tokens = pieces.of(world.spec), world.val.tokens.astype(np.int64)
    rng = np.random.default_rng([0x4AB1, world.spec.seed, salt])
    words = rng.permutation(table.drawable)[:WORDS]
    follow = {int(word): rng.permutation(words)[:FOLLOWERS] for word in words}
    surprised = rng.random(tokens.size) < SURPRISE
    drawn = table.drawable[rng.integers(0, len(table.drawable), size=tokens.size)]
    picks = rng.random(tokens.size)
    log_prob = world.val.log_prob.copy()
    uniform = math.log(len(table.drawable))
    for place in np.flatnonzero(table.rank[tokens] >= 0).tolist():
        habit = follow.get(int(tokens[place - 1]), words)
        token = int(drawn[place] if surprised[place] else habit[int(picks[place] * len(habit))])
        chance = (1 - SURPRISE) * float((habit == token).sum()) / len(habit) + SURPRISE * math.exp(-uniform)
        log_prob[place] += math.log(chance) + uniform  # the old one was uniform over the same tokens
        tokens[place] = token
    new = tokens.astype(np.uint16)
    return Stream(new, world.val.starts, pieces.count_bytes(table, new), log_prob)
