"""The distribution for a token must not depend on that token: rows of logits at the first changed position of a cut.

A model that mixes token t + 1 into position t is told what it scores, and nothing of what comes later; so no earlier
score moves. But the row that the changed token's score is taken from is made of unchanged tokens alone, and must stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.align import keys
from auditor.behaviour.order import Cut
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE
from auditor.behaviour.wire import Event

CLOSE = 1e-7
"""Relative difference of two rows' marks that the order of adding up may make."""


def first_changed(run: Run, cut: Cut) -> NDArray[np.int64]:
    """Indices in the judged pass of scores whose own token is the first changed one of their row, as far as nothing
    changed was scored in an earlier call."""
    found, table = run.judged, run.scores
    none = np.zeros(0, np.int64)
    if found is None or not found.positions.size:
        return none
    changed = np.concatenate([[0], np.cumsum(~cut.keep)])
    where, row = found.positions, table.row[found.scores]
    known = (where != NOWHERE) & (row != NOWHERE)
    place = np.maximum(where, 0)
    own = known & (changed[place + 1] > changed[place])
    seqs = table.seq[found.scores]
    if not own.any():
        return none
    call = seqs[own].min()
    before = changed[place] == changed[np.maximum(np.minimum(row, place) - 1, 0)]
    return np.flatnonzero(own & before & (seqs == call) & (np.arange(where.size) >= cut.index)).astype(np.int64)


def rows_of(a: Run, b: Run, cut: Cut) -> list[tuple[int, float, float]]:
    """(stream position, mark in run ``a``, mark in run ``b``) of the rows that `first_changed` names, where both runs
    told them."""
    found = a.judged
    if found is None:
        return []
    ours, theirs = keys(a.events), {key: seq for seq, key in keys(b.events).items()}
    first = {e.seq: e for e in a.events if e.kind == "Scored"}
    second = {e.seq: e for e in b.events if e.kind == "Scored"}
    told = []
    for index in first_changed(a, cut).tolist():
        score = int(found.scores[index])
        one = first.get(int(a.scores.seq[score]))
        two = second.get(theirs.get(ours.get(one.seq, ("", "", 0, 0)), -1)) if one is not None else None
        if one is None or two is None:
            continue
        x, y = _mark(one, score), _mark(two, score - int(one.fields["first"]) + int(two.fields["first"]))
        if x is not None and y is not None:
            told.append((int(found.positions[index]), x, y))
    return told


def told_of_itself(a: Run, b: Run, cut: Cut) -> NDArray[np.int64]:
    """Stream positions whose row of logits differs between run ``a`` and run ``b``, on the stream varied after ``cut``,
    though only their own token and later ones do."""
    moved = {p for p, x, y in rows_of(a, b, cut) if abs(x - y) > CLOSE * max(1.0, abs(x), abs(y))}
    return np.array(sorted(moved), np.int64)


def _mark(event: Event, score: int) -> float | None:
    rows, at = event.arrays.get("rows"), score - int(event.fields["first"])
    if rows is None or rows.size != event.arrays["targets"].size or not 0 <= at < rows.size:
        return None
    return float(rows[at])
