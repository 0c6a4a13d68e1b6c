"""The submission's own scoring order, cuts in it, and what a change after a cut may touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.passes import Pass
from auditor.behaviour.scores import NOWHERE, ScoreTable

FEW = 0.1
"""Share of the tokens read before the pass that a cut must change at least."""
WHOLE = 8
"""A row that holds more than one in so many scores of the pass is no window but a batch read flat."""
BEYOND = 13
"""Scores beyond a middle at which a cut lies: fewer than a row has, and at no fraction of a row's usual lengths."""

EARLY = "in the middle of what was read before the pass"


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment in a pass: scores ``0..index-1`` lie before it. ``keep`` marks the tokens that stay, shape [tokens]."""

    index: int
    keep: NDArray[np.bool_]
    why: str


def first_scored(found: Pass, tokens: int) -> NDArray[np.int64]:
    """For each stream position the index in the pass of its first score, shape [tokens].

    A token that is never scored counts as scored with the next one that is; after the last, as never (``size``).
    """
    size = found.positions.size
    when = np.full(tokens, size, np.int64)
    known = found.positions != NOWHERE
    np.minimum.at(when, found.positions[known], np.flatnonzero(known))
    scored = np.flatnonzero(when < size)
    if not scored.size:
        return when
    nxt = np.searchsorted(scored, np.arange(tokens))
    inside = nxt < scored.size
    when[inside] = when[scored[nxt[inside]]]
    return when


def cut_at(found: Pass, tokens: int, index: int, why: str) -> Cut:
    """The cut before score ``index`` of the pass: only tokens scored from there on may change."""
    keep = first_scored(found, tokens) < index
    keep[0] = True
    return Cut(index, keep, why)


def cuts(
    found: Pass, scores: ScoreTable, trained: NDArray[np.int64], tokens: int, read: NDArray[np.int64] | None = None
) -> list[Cut]:
    """Two to four cuts: inside a chunk near the middle, inside the last tenth, and just after a chunk's edge.

    ``trained`` holds the event numbers at which weights were updated; a chunk is what is scored between two of them.
    ``read`` holds the positions that the model read before the pass: where the cut in the middle would leave nearly all
    of them as they are, one in the middle of them comes first.
    """
    size = found.positions.size
    seqs = scores.seq[found.scores]
    chunk = np.searchsorted(trained, seqs).astype(np.int64)
    groups = (_rows(found, scores), seqs, chunk)
    chosen = [cut_at(found, tokens, _inside(groups, size // 2), "inside a chunk, near the middle of the pass")]
    late = _inside(groups, size - max(2, size // 20))
    when = np.sort(first_scored(found, tokens)[read]) if read is not None else np.zeros(0, np.int64)
    if when.size and (when >= chosen[0].index).mean() < FEW:
        early = _inside(groups, int(when[when.size // 2]))
        chosen.insert(0, cut_at(found, tokens, early, EARLY))
    if late > chosen[-1].index:
        chosen.append(cut_at(found, tokens, late, "in the last tenth of the pass"))
    edges = np.flatnonzero(np.diff(chunk)) + 1
    if edges.size > 1:
        edge = int(edges[np.abs(edges - size // 3).argmin()])
        chosen.append(cut_at(found, tokens, edge, "at a chunk's edge"))
    return [c for c in chosen if 0 < c.index < size]


def _rows(found: Pass, scores: ScoreTable) -> NDArray[np.int64]:
    """Number of the stretch of neighbouring positions of one input row that each score of the pass belongs to."""
    row, seq = scores.row[found.scores], scores.seq[found.scores]
    new = np.ones(row.size, np.bool_)
    new[1:] = (np.diff(found.positions) != 1) | (np.diff(row) != 0) | (np.diff(seq) != 0)
    return np.cumsum(new)


def _inside(groups: tuple[NDArray[np.int64], ...], near: int) -> int:
    """An index inside the row around ``near``, or inside its call or its chunk, where those are so small.

    It lies a little beyond the middle: rows that were read as one (flat targets) meet at a half, a quarter or an
    eighth, and a cut where two rows meet tells nothing of a model that looks ahead in its row.
    """
    near = min(max(near, 0), groups[0].size - 1)
    for group in groups:
        members = np.flatnonzero(group == group[near])
        if members.size > groups[0].size // WHOLE and near + BEYOND < members[-1]:
            return near + BEYOND  # nearly the whole pass was read as one row: its middle may be far from here
        if members.size >= 4:
            return int(members[members.size // 2 + min(BEYOND, members.size // 8)])
    return near


def comparable(found: Pass, scores: ScoreTable, cut: Cut) -> NDArray[np.int64]:
    """Indices of the pass's scores that must not notice the change: before the cut, no changed token in their row."""
    changed = np.concatenate([[0], np.cumsum(~cut.keep)])
    before = np.arange(cut.index)
    position = found.positions[before]
    row = scores.row[found.scores[before]]
    known = (position != NOWHERE) & (row != NOWHERE)
    start = np.maximum(np.minimum(row, position) - 1, 0)
    untouched = changed[np.maximum(position, 0) + 1] == changed[start]
    return np.asarray(before[known & untouched], np.int64)
