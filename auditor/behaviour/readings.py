"""Which validation tokens a model had read before the judged pass began."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, Locator

MARKS = ("Fed", "Scored", "Trained", "Stepped", "Printed", "ArtifactWritten", "ArtifactRead")


def read_before(run: Run) -> NDArray[np.int64]:
    """Stream positions, sorted, of the tokens that were read, scored or trained on before the judged pass.

    What was read just before its first score is that score's own input.
    """
    none = np.zeros(0, np.int64)
    if run.judged is None or not run.judged.scores.size:
        return none
    start = min(run.judged.first_seq, int(run.scores.seq[run.judged.scores].min()))
    marks = [e for e in run.events if e.seq < start and e.kind in MARKS]
    while marks and marks[-1].kind == "Fed":
        marks.pop()
    last = marks[-1].seq if marks else -1
    locator = Locator(run.stream, run.spec)
    fed = [locator.locate(e.arrays["tokens"]) for e in marks if e.kind == "Fed"]
    scored = run.scores.position[run.scores.seq <= last]
    found = np.unique(np.concatenate([none, scored, *fed]))
    known: NDArray[np.int64] = found[found != NOWHERE]
    return known
