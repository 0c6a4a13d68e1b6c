"""What the questions share: spots of events, positions that were trained on, and the first score of each position."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Answer, Question, Spot
from auditor.behaviour.passes import Pass
from auditor.behaviour.questions.printed import stated
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, Locator, ScoreTable
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.wire import Event
from auditor.core.types import Outcome

AGREES = 5e-4
"""Relative difference up to which two figures are one; the first token or space may be counted either way."""


@dataclass(frozen=True, slots=True)
class Backward:
    """One taking of gradients from validation tokens, and the update that used it."""

    seq: int
    update: int
    """Number of the event that changed the weights: the step, or the backward itself where none follows it."""
    positions: NDArray[np.int64]
    """Stream positions of the targets that took part."""
    event: Event
    step: Event | None


def unknown(question: Question, reason: str) -> Answer:
    """An answer that could not be had."""
    return Answer(question, Outcome.UNKNOWN, reason)


def no_pass(run: Run, question: Question) -> Answer | None:
    """Why a run has no pass that could be judged, as an answer; None when it has one that matches its printed score."""
    if run.headline is None:
        return unknown(question, run.log.failure() or "the run printed no score")
    if run.judged is None:
        return unknown(question, "no score of validation tokens was recorded before the printed score")
    if not run.judged.matched:
        return unknown(question, "the printed score is the mean of no losses that were recorded")
    if another(run, run.judged):
        said = f"the mean of the recorded losses is {run.judged.value:g}, another figure than the printed loss"
        return unknown(question, said)
    return None


def another(run: Run, found: Pass) -> bool:
    """Whether a matched pass makes some other number by the headline, while its loss and its bits per byte agree with
    each other: then the scores behind those were not recorded."""
    told = stated(run)
    if told.loss is None or told.bpb is None or not told.consistent or not found.matched:
        return False
    where = found.positions[found.positions != NOWHERE]
    size = int(run.stream.bytes[where].sum())
    bpb = found.value * where.size / math.log(2) / size if size else 0.0
    loss_apart = abs(found.value - told.loss) > 10.0**-told.loss_decimals + AGREES * told.loss
    return loss_apart and abs(bpb - told.bpb) > 10.0**-told.bpb_decimals + AGREES * told.bpb


def spot(event: Event, note: str) -> Spot | None:
    """The submission's line behind an event."""
    return spot_of(event.fields.get("site") or ["", 0, ""], note)


def spot_of(site: Any, note: str) -> Spot | None:
    """A line of the submission, from ``[file, line, function]``; None where none is known."""
    if not site or not site[0]:
        return None
    return Spot(str(site[0]), int(site[1]), note, str(site[2]) if len(site) > 2 else "")


def path(*spots: Spot | None) -> tuple[Spot, ...]:
    """The spots that are known."""
    return tuple(s for s in spots if s is not None)


def by_seq(run: Run) -> dict[int, Event]:
    """Events by number."""
    return {event.seq: event for event in run.events}


def first_scores(found: Pass, scores: ScoreTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions that the pass scores, sorted, and for each the index in the pass of its first score."""
    known = np.flatnonzero(found.positions != NOWHERE)
    positions, first = np.unique(found.positions[known], return_index=True)
    return positions, known[first]


def took_part(event: Event, scores: ScoreTable) -> NDArray[np.int64]:
    """Numbers of the scores whose loss a ``Trained`` event took gradients of (those with a weight of zero did not)."""
    parts = [np.arange(first, first + count) for first, count in event.fields["groups"]]
    labels = np.concatenate([np.zeros(0, np.int64), *parts])
    unused = event.arrays.get("unused")
    if unused is not None and unused.size:
        labels = np.setdiff1d(labels, unused)
    return labels[labels < scores.position.size]


def backwards(run: Run) -> Iterator[Backward]:
    """Every backward that took gradients of validation tokens, with its update."""
    steps = [event for event in run.events if event.kind == "Stepped"]
    seqs = np.asarray([event.seq for event in steps], np.int64)
    for event in run.events:
        if event.kind != "Trained":
            continue
        positions = run.scores.position[took_part(event, run.scores)]
        positions = np.unique(positions[positions != NOWHERE])
        if not positions.size:
            continue
        at = int(np.searchsorted(seqs, event.seq))
        step = steps[at] if at < len(steps) else None
        by_hand = step is None or event.fields.get("how") == "grad"
        yield Backward(event.seq, event.seq if by_hand or step is None else step.seq, positions, event, step)


def train_locators(world: World) -> list[Locator]:
    """Locators of the training shards."""
    return [Locator(stream, world.spec) for stream in world.train]


def quoted(positions: NDArray[np.int64], limit: int = 3) -> str:
    """A few positions in words: ``1, 2, 3 and 4,093 more``."""
    shown = ", ".join(str(int(p)) for p in positions[:limit])
    return shown + (f" and {positions.size - limit:,} more" if positions.size > limit else "")
