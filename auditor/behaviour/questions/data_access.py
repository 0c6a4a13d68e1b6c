"""Data access: what was read, run through the model or asked of the network, and in which phase of the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Answer, Evidence, Question
from auditor.behaviour.questions.common import backwards, path, quoted, spot, took_part, train_locators, unknown
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, SHORT
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.wire import Event
from auditor.core.types import Confidence, Outcome

CLOCK = re.compile(r"stopping_early|wallclock_cap|peak memory|training (?:done|finished|complete)", re.I)
"""Lines that the competition's scripts print when the training clock stops."""
NETWORK, TRAIN_AT_EVAL, TRAIN_AFTER_CLOCK, VAL_TRAINED, VAL_STEERS = 1.0, 2.0, 3.0, 4.0, 5.0
"""The figure ``kind`` of an evidence."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Event numbers at which phases end; a phase that was not seen ends with the run."""

    last_step: int
    """Last update from training tokens; -1 where there was none."""
    clock: int
    """The line after it that says the training clock stopped."""
    artifact: int
    """The last artifact written before the judged pass."""
    judged: int
    """First event of the judged pass."""
    end: int
    """The headline."""


def ask(
    run: Run, world: World, changes: Sequence[tuple[str, str, str, str]] = (), varied: Run | None = None,
    repeated: Run | None = None,
) -> Answer:  # fmt: skip
    """What the events prove. ``varied`` is a run on another validation stream; ``changes`` tell of a time reserve;
    ``repeated`` is the run again, on its own stream."""
    if run.headline is None:
        return unknown(Question.DATA_ACCESS, run.log.failure() or "the run printed no score")
    when = phases(run, world)
    reserve = any(role == "reserve" for *_, role in changes)
    found = [*_network(run), *_training_data(run, world, when, reserve), *_trained_on_val(run, when)]
    chance = steered(run, repeated) is not None if repeated is not None else False
    found += [] if chance else _steered(run, varied, when)
    if not found and chance:
        said = "the script is not deterministic: run again on the same files it trains on other losses"
        return unknown(Question.DATA_ACCESS, said)
    if found:
        return Answer(Question.DATA_ACCESS, Outcome.FOUND, found[0].message, tuple(found))
    late = _late(run, world, when)
    if late and not reserve and when.clock == when.end:
        said = f"{_what(late[0])} after the last training step, and no line tells when the training clock stopped"
        return unknown(Question.DATA_ACCESS, said)
    note = "; training text was read after the training loop, within a reserve of its clock" if reserve else ""
    return Answer(
        Question.DATA_ACCESS, Outcome.CLEAR,
        "no training text was read after training, no validation text trained on before it was scored, and nothing "
        "was asked of the network" + (note if late else ""),
    )  # fmt: skip


def phases(run: Run, world: World) -> Phases:
    """The phases of a run, from its events."""
    end = run.headline.seq if run.headline is not None else len(run.events)
    judged = run.judged.first_seq if run.judged is not None else end
    trained = [e.seq for e in run.events if e.kind == "Trained" and e.seq < judged and not _on_val(e, run)]
    last = max(trained, default=-1)
    after = [e for e in run.events if e.kind in ("Stepped", "Trained") and e.seq > last]
    if trained and after and after[0].kind == "Stepped":  # else by hand, or the gradients are thrown away
        last = after[0].seq
    clock = min(
        (e.seq for e in run.events if e.kind == "Printed" and e.seq > last and CLOCK.search(str(e.fields["text"]))),
        default=end,
    )
    written = [e.seq for e in run.events if e.kind == "ArtifactWritten" and last < e.seq < judged]
    return Phases(last, clock, max(written, default=end), judged, end)


def _on_val(event: Event, run: Run) -> bool:
    labels = took_part(event, run.scores)
    return bool(labels.size) and bool((run.scores.position[labels] != NOWHERE).mean() > 0.5)


def _network(run: Run) -> list[Evidence]:
    asked = [e for e in run.events if e.kind == "Connected"]
    if not asked:
        return []
    hosts = ", ".join(sorted({str(e.fields.get("host")) for e in asked})[:4])
    late = any(e.kind in ("Stepped", "Trained") and e.seq < asked[0].seq for e in run.events)
    level = Confidence.HIGH if late else Confidence.MEDIUM
    message = f"the network was asked for {hosts} {'after training had begun' if late else 'before training'}"
    figures = {"kind": NETWORK, "times": float(len(asked))}
    return [Evidence(level, message, spot(asked[0], "asked here"), figures=figures)]


def _training_data(run: Run, world: World, when: Phases, reserve: bool) -> list[Evidence]:
    """Training text read or run through the model after training."""
    if when.last_step < 0:
        return []
    late = _late(run, world, when)
    at_eval = [e for e in late if e.seq > when.artifact]
    if at_eval:
        message = f"training text was read after the artifact had been written ({_what(at_eval[0])})"
        level = Confidence.HIGH
        if _only_scored(at_eval) and not _mixed(run):
            message += "; its losses were only looked at, as where a temperature is chosen: merged records did that too"
            level = Confidence.MEDIUM
        return [Evidence(level, message, spot(at_eval[0], "read here"), figures={"kind": TRAIN_AT_EVAL})]
    after = [e for e in late if e.seq > when.clock]
    if not after or reserve:
        return []
    message = (
        f"training text was read after the training clock had stopped ({_what(after[0])}); whether the time of it was "
        "counted cannot be seen at toy scale"
    )
    return [Evidence(Confidence.MEDIUM, message, spot(after[0], "read here"), figures={"kind": TRAIN_AFTER_CLOCK})]


def _late(run: Run, world: World, when: Phases) -> list[Event]:
    """Events after the last training step and before the headline that touch training text."""
    locators = train_locators(world)
    late = []
    for event in run.events:
        if not max(when.last_step, 0) < event.seq < when.end:
            continue
        if event.kind == "Loaded" and event.fields.get("split") == "train":
            late.append(event)
        elif event.kind in ("Fed", "Scored"):
            tokens = event.arrays["tokens" if event.kind == "Fed" else "targets"]
            if any((locator.locate(tokens) != NOWHERE).mean() > 0.5 for locator in locators):
                late.append(event)
    return late


def _only_scored(late: Sequence[Event]) -> bool:
    """Whether training text was scored, and no gradient was taken of it."""
    scored = [e for e in late if e.kind == "Scored"]
    return bool(scored) and not any(e.fields.get("grad") for e in scored)


def _mixed(run: Run) -> bool:
    """Whether the judged pass counts other losses than the model's own: then training text may feed a table."""
    found = run.judged
    if found is None:
        return True
    own = run.scores.loss[found.scores]
    return not np.allclose(found.values, own, rtol=1e-3, atol=1e-3)


def _what(event: Event) -> str:
    if event.kind == "Loaded":
        return "a training shard was opened"
    return "training tokens went through the model"


def _trained_on_val(run: Run, when: Phases) -> list[Evidence]:
    """Validation tokens in the training proper: before the last step on training text, or where there is none such."""
    early = [b for b in backwards(run) if b.seq < (when.last_step if when.last_step >= 0 else when.judged)]
    if when.last_step < 0:
        early = [b for b in early if b.seq < when.artifact]
    if not early or _undone(run, early):
        return []
    positions = np.unique(np.concatenate([b.positions for b in early]))
    message = f"{positions.size:,} validation tokens are trained on in the training loop: positions {quoted(positions)}"
    where = spot(early[0].event, "gradients are taken here")
    return [Evidence(Confidence.HIGH, message, where, path(where), figures={"kind": VAL_TRAINED,
                     "tokens": float(positions.size)})]  # fmt: skip


def _undone(run: Run, early: Sequence[object]) -> bool:
    """Whether the weights went back to what they were before these steps (a warm-up)."""
    from auditor.behaviour.questions.score_before_update import undone

    return all(undone(run, b) for b in early)  # type: ignore[arg-type]


def _steered(run: Run, varied: Run | None, when: Phases) -> list[Evidence]:
    """Training losses that differ between two runs whose validation streams differ: validation text steers training."""
    if varied is None:
        return []
    differing = steered(run, varied)
    if differing is None:
        return []
    at, ours, theirs = differing
    message = (
        "the losses of training tokens change when validation tokens change: validation text reaches the training "
        f"(first at training loss {at}: {ours:.6f} against {theirs:.6f})"
    )
    read = next((e for e in run.events if e.kind == "Loaded" and e.fields.get("split") == "val"), None)
    where = spot(read, "validation text is read here") if read is not None else None
    return [Evidence(Confidence.HIGH, message, where, path(where), figures={"kind": VAL_STEERS, "first": float(at)})]


def steered(run: Run, other: Run) -> tuple[int, float, float] | None:
    """Where the training losses of two runs first differ, with both; None where they do not."""
    judged = run.judged.first_seq if run.judged is not None else run.headline.seq if run.headline is not None else 0
    ours, theirs = _training_losses(run, judged), _training_losses(other, judged)
    size = min(ours.size, theirs.size)
    ours, theirs = ours[:size], theirs[:size]
    apart = np.flatnonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))
    return (int(apart[0]), float(ours[apart[0]]), float(theirs[apart[0]])) if apart.size else None


def _training_losses(run: Run, before: int) -> NDArray[np.float32]:
    """Losses with gradients of calls that hold no token of the validation stream, in order, before event ``before``.

    Calls of a few scores are left out, for theirs cannot be placed; padding beside validation tokens is no training
    text.
    """
    table = run.scores
    chosen = table.grad & (table.seq < before)
    calls, which = np.unique(table.seq[chosen], return_inverse=True)
    placed = np.bincount(which, table.position[chosen] != NOWHERE, calls.size)
    plain = (placed == 0) & (np.bincount(which, minlength=calls.size) >= SHORT)
    losses: NDArray[np.float32] = table.loss[chosen][plain[which]]
    return losses
