"""The same moments of two runs: the n-th score or sum of one line stands against the n-th of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.passes import Pass
from auditor.behaviour.run import Run
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
