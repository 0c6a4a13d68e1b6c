"""What each place of a script added up, in order: the material of which a printed mean is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.scores import NOWHERE, ScoreTable
from auditor.behaviour.wire import OF_ARRAY, Event

BREAKS = ("Printed", "ArtifactWritten", "ArtifactRead")
"""What a script does between evaluations."""


@dataclass(slots=True)
class Tally:
    """What one place of the script added up, in order; one entry for each event that told of it."""

    site: tuple[str, int]
    breaks: NDArray[np.int64]
    """Numbers of the events that stand between evaluations, sorted."""
    seqs: list[int] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[NDArray[np.float64]] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)

    def add(
        self, seq: int, labels: NDArray[np.int64], values: NDArray[np.float64], offsets: NDArray[np.int64]
    ) -> None:
        """What event ``seq`` told: scores by number, what was added up for each, and where they stand in the event."""
        self.seqs.append(seq)
        self.totals.append(float(values.sum()))
        self.counts.append(int(labels.size))
        self.labels.append(labels)
        self.values.append(values)
        self.offsets.append(offsets)

    def begins(self, scores: ScoreTable) -> NDArray[np.bool_]:
        """Where an evaluation may begin, shape [entries].

        That is at the first entry, after a printed line or an artifact, and where the positions start again: at the
        lowest position of all that follows, with a higher or the same one before it.
        """
        seqs = np.asarray(self.seqs, np.int64)
        marked = np.searchsorted(self.breaks, seqs)
        found = np.ones(seqs.size, np.bool_)
        found[1:] = marked[1:] > marked[:-1]
        low = np.array([_lowest(scores.position[part[part >= 0]]) for part in self.labels], np.int64)
        rest = np.minimum.accumulate(low[::-1])[::-1]
        found[1:] |= (low[1:] == rest[1:]) & (low[:-1] >= low[1:])
        return found


def as_losses(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a sum told, as losses: log-probabilities, none of which is above zero, are negated."""
    return -values if values.size and values.max() <= 0.0 and values.min() < 0.0 else values


def by_hand(events: Sequence[Event], seqs: Sequence[int]) -> bool:
    """Whether scores of the events ``seqs`` were added up as numbers or arrays, where a cache could have changed them,
    and not as tensors."""
    chosen = set(seqs)
    told = {str(event.fields.get("how")) for event in events if event.kind == "Summed" and event.seq in chosen}
    return any(how == "term" or how.endswith(OF_ARRAY) for how in told)


def _lowest(positions: NDArray[np.int64]) -> int:
    known = positions[positions != NOWHERE]
    return int(known.min()) if known.size else np.iinfo(np.int64).max


def tallies(events: Sequence[Event], scores: ScoreTable, before: int) -> Iterator[tuple[str, Tally]]:
    """Places at which validation scores were added up before event ``before``: by line, by function, and all together
    (short documents here, long ones there).

    The last one, ``model losses``, holds the losses of the model itself, whatever became of them.
    """
    breaks = np.array([e.seq for e in events if e.kind in BREAKS], np.int64)
    lines: dict[tuple[str, int, int], Tally] = {}
    functions: dict[tuple[str, str, int], Tally] = {}
    everywhere = Tally(("", 0), breaks)
    for event in events:
        if event.seq >= before:
            break
        if event.kind != "Summed":
            continue
        file, line, function = event.fields["site"]
        # what a mask set to nothing is no score, but a term of its own is one: a mixture may be sure of a token
        real = (event.arrays["values"] != 0.0) | (event.fields.get("how") == "term")
        labels, values = event.arrays["labels"][real], as_losses(event.arrays["values"])[real]
        if not labels.size or (labels >= 0).mean() < 0.5 or labels.max() >= scores.position.size:
            continue
        grad = int(bool(event.fields.get("grad")))  # one line may add up both training losses and scores
        grad = 2 if event.fields.get("how") == "term" else grad
        of_line = lines.setdefault((file, line, grad), Tally((file, line), breaks))
        of_function = functions.setdefault((file, function, grad), Tally((file, line), breaks))
        for tally in (of_line, of_function) if grad else (of_line, of_function, everywhere):
            tally.add(event.seq, labels, values, np.flatnonzero(real))
        if not grad:
            everywhere.site = (file, line)
    for tally in lines.values():
        yield "added up", tally
    for key, tally in functions.items():
        if len({t.site for t in lines.values() if t.site[0] == key[0]}) > 1:
            yield "added up", tally
    if len([key for key in functions if not key[2]]) > 1:
        yield "added up", everywhere
    model = _model_tally(scores, before, breaks)
    if model is not None:
        yield "model losses", model


def _model_tally(scores: ScoreTable, before: int, breaks: NDArray[np.int64]) -> Tally | None:
    """All validation losses of the model itself without gradients, one entry for each event."""
    chosen = np.flatnonzero((scores.position != NOWHERE) & ~scores.grad & (scores.seq < before))
    if not chosen.size:
        return None
    edges = np.flatnonzero(np.diff(scores.seq[chosen])) + 1
    tally = Tally(("", 0), breaks)
    for part in np.split(chosen, edges):
        first = int(np.searchsorted(scores.seq, scores.seq[part[0]]))
        tally.add(int(scores.seq[part[0]]), part, scores.loss[part].astype(np.float64), part - first)
    return tally
