"""The same moments of two runs: the n-th score or sum of one line stands against the n-th of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.passes import Pass
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, ScoreTable
from auditor.behaviour.tallies import as_losses
from auditor.behaviour.wire import Event

Key = tuple[str, str, int, int]
"""Kind, file, line and how often that line had told something of the kind before."""
TOLD = ("Scored", "Summed")


def keys(events: Sequence[Event]) -> dict[int, Key]:
    """Event number to key, for scores and sums."""
    counts: dict[tuple[str, str, int], int] = defaultdict(int)
    found: dict[int, Key] = {}
    for event in events:
        if event.kind in TOLD:
            file, line = event.fields["site"][:2]
            place = (event.kind, str(file), int(line))
            found[event.seq] = (*place, counts[place])
            counts[place] += 1
    return found


def last_key(a: Run, found: Pass, chosen: NDArray[np.int64]) -> Key | None:
    """The last moment that told one of the scores ``chosen``."""
    return keys(a.events).get(int(found.seqs[chosen].max())) if chosen.size else None


def after(run: Run, key: Key | None, seq: int) -> Key | None:
    """The same moment, counted from event ``seq`` on."""
    if key is None:
        return None
    before = sum(1 for number, k in keys(run.events).items() if number <= seq and k[:3] == key[:3])
    return (*key[:3], key[3] - before)


def values_of(a: Run, b: Run, found: Pass, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What run ``b`` told at the moments of ``found``'s scores ``chosen``: values (NaN: nothing), stream positions."""
    theirs = {key: seq for seq, key in keys(b.events).items()}
    events = {event.seq: event for event in b.events if event.kind in TOLD}
    ours = keys(a.events)
    values, positions = np.full(chosen.size, np.nan), np.full(chosen.size, -1, np.int64)
    seqs = found.seqs[chosen]
    for seq in np.unique(seqs):
        event = events.get(theirs.get(ours.get(int(seq), ("", "", 0, 0)), -1))
        if event is None:
            continue
        at = np.flatnonzero(seqs == seq)
        told, labels = _told(event, b)
        offset = found.offsets[chosen[at]]
        inside = offset < told.size
        values[at[inside]] = told[offset[inside]]
        label = labels[offset[inside]]
        positions[at[inside]] = np.where(label >= 0, b.scores.position[np.maximum(label, 0)], -1)
    return values, positions


def _told(event: Event, run: Run) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if event.kind == "Summed":
        return as_losses(event.arrays["values"]), event.arrays["labels"]
    first = int(event.fields["first"])
    labels = np.arange(first, first + event.arrays["loss"].size)
    return run.scores.loss[labels].astype(np.float64), labels


def placed_as(a: Run, b: Run) -> ScoreTable:
    """The scores of run ``b`` where those of run ``a`` at the same moments lie, for a stream that repeats itself.

    A score of another token than the one that stands there in the stream of ``b`` is `NOWHERE`.
    """
    ours = {key: seq for seq, key in keys(a.events).items()}
    first = {event.seq: int(event.fields["first"]) for event in a.events if event.kind == "Scored"}
    table, tokens = b.scores, b.stream.tokens.astype(np.int64)
    position, row = np.full_like(table.position, NOWHERE), np.full_like(table.row, NOWHERE)
    theirs = keys(b.events)
    for event in b.events:
        start = first.get(ours.get(theirs.get(event.seq, ("", "", 0, 0)), -1))
        if event.kind != "Scored" or start is None:
            continue
        mine = slice(int(event.fields["first"]), int(event.fields["first"]) + event.arrays["targets"].size)
        there = a.scores.position[start : start + event.arrays["targets"].size]
        if there.size == event.arrays["targets"].size:
            same = (there != NOWHERE) & (tokens[np.maximum(there, 0)] == event.arrays["targets"])
            position[mine] = np.where(same, there, NOWHERE)
            row[mine] = np.where(same, a.scores.row[start : start + there.size], NOWHERE)
    return replace(table, position=position, row=row)
