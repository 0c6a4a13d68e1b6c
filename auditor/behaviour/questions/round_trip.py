"""Round trip: the scored weights come from the artifact that was written; change it and the score must move."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.align import values_of
from auditor.behaviour.facts import Answer, Evidence, Question
from auditor.behaviour.questions.common import by_seq, no_pass, path, spot, unknown
from auditor.behaviour.run import Run
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.wire import Event
from auditor.core.types import Confidence, Outcome

NO_WEIGHTS = re.compile(r"\.(?:json|txt|log|csv|tsv|md|yaml|yml|py|npy|png)$", re.I)
TINY = 0.02
"""Bytes for each parameter below which a file cannot be the model."""


def ask(run: Run, world: World, perturbed: Run | None = None) -> Answer:
    """Judge by the order of writing, reading and scoring, and by a run whose loads of the artifact were perturbed."""
    question = Question.ROUND_TRIP
    missing = no_pass(run, question)
    if missing is not None:
        return missing
    assert run.judged is not None
    written = [e for e in run.events if e.kind == "ArtifactWritten" and e.seq < run.judged.first_seq]
    weights = [e for e in written if not NO_WEIGHTS.search(str(e.fields["path"]))]
    if not weights:
        return unknown(question, "no artifact was written before the judged score")
    artifact = weights[-1]
    other = _elsewhere(run, artifact)
    if other is not None:
        return other
    if perturbed is None:
        return unknown(question, "the artifact was not perturbed")
    changes = [e for e in perturbed.events if e.kind == "Perturbed"]
    if not changes:
        read = [e for e in run.events if e.kind == "ArtifactRead" and artifact.seq < e.seq < run.judged.last_seq]
        if read:
            return unknown(question, "the artifact is read back in a way that could not be perturbed")
        return _never_read(artifact)
    theirs, _ = values_of(run, perturbed, run.judged, np.arange(run.judged.values.size))
    told = ~np.isnan(theirs)
    if not told.any():
        why = perturbed.log.failure() or "no score"
        return unknown(question, f"with a perturbed artifact the run ended early: {why}")
    return _compare(run, run.judged.values[told], theirs[told], artifact, changes)


def _compare(
    run: Run, ours: NDArray[np.float64], theirs: NDArray[np.float64], artifact: Event, changes: list[Event]
) -> Answer:
    assert run.judged is not None
    size = ours.size
    moved = float((ours != theirs).mean())
    name = str(artifact.fields["path"]).rsplit("/", 1)[-1]
    if moved > 0.5:
        said = f"the score comes from {name}: with its weights perturbed {moved:.0%} of the losses move"
        return Answer(Question.ROUND_TRIP, Outcome.CLEAR, said)
    said = f"the score does not come from {name}: with every weight in it changed, {1 - moved:.0%} of the losses stay"
    loaded = spot(changes[0], "the artifact is loaded here")
    score = by_seq(run).get(int(run.scores.seq[run.judged.scores[0]]))
    scored = spot(score, "the score is taken here") if score is not None else None
    evidence = Evidence(
        Confidence.HIGH, said, scored or loaded, path(spot(artifact, "the artifact is written here"), loaded, scored),
        figures={"moved": moved, "losses": float(size), "artifact_bytes": float(artifact.fields.get("bytes", 0))},
    )  # fmt: skip
    return Answer(Question.ROUND_TRIP, Outcome.FOUND, said, (evidence,))


def _never_read(artifact: Event) -> Answer:
    name = str(artifact.fields["path"]).rsplit("/", 1)[-1]
    said = f"{name} is written and never read back before the score: it is made from memory"
    return unknown(Question.ROUND_TRIP, said)


def _counted(run: Run, size: int) -> bool:
    """Whether a printed count of bytes is large enough to hold a file of ``size`` bytes."""
    lines = [str(e.fields["text"]) for e in run.events if e.kind == "Printed" and "bytes" in str(e.fields["text"])]
    numbers = [int(n.replace(",", "").replace("_", "")) for line in lines for n in re.findall(r"\d[\d,_]*", line)]
    return any(number >= size for number in numbers)


def _elsewhere(run: Run, artifact: Event) -> Answer | None:
    """Weights read from a file that is far larger than the counted artifact, which is too small to hold them."""
    assert run.judged is not None
    size = int(artifact.fields.get("bytes", 0))
    parameters = max((int(e.fields["parameters"]) for e in run.events if e.kind == "Stepped"), default=0)
    read = [
        e for e in run.events
        if e.kind == "ArtifactRead" and artifact.seq < e.seq < run.judged.last_seq
        and e.fields["path"] != artifact.fields["path"] and int(e.fields.get("bytes", 0)) > 10 * size
    ]
    parameters = max(parameters, *(int(e.fields["bytes"]) // 4 for e in read)) if read else parameters
    if not read or size > TINY * parameters or _counted(run, int(read[0].fields["bytes"])):
        return None
    name = str(artifact.fields["path"]).rsplit("/", 1)[-1]
    said = (
        f"{name} has {size:,} bytes for {parameters:,} parameters, and {int(read[0].fields['bytes']):,} bytes are read "
        "from another file before the score"
    )
    where = spot(read[0], "the other file is read here")
    figures = {"artifact_bytes": float(size), "other_bytes": float(read[0].fields["bytes"])}
    evidence = Evidence(Confidence.HIGH, said, where, path(spot(artifact, "the artifact"), where), figures=figures)
    return Answer(Question.ROUND_TRIP, Outcome.FOUND, said, (evidence,))


