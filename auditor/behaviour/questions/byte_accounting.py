"""Byte accounting: bits per byte recomputed from the recorded losses and the true bytes of the scored tokens."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Answer, Evidence, Question, Spot
from auditor.behaviour.questions.common import another, path, unknown
from auditor.behaviour.questions.printed import Stated, stated
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE
from auditor.behaviour.toyworld.pieces import of
from auditor.behaviour.toyworld.spec import World
from auditor.core.types import Confidence, Outcome

TOLERANCE = 5e-4
"""Relative; the first token or a document's first space may be counted either way."""
LOOSE = 0.03
"""Relative, where it is not known which tokens were scored: other tokens have other bytes."""

UNMATCHED = 0.02
"""Relative; a printed loss whose tokens are not known may be that of longer or shorter ones than the stream has."""


def ask(run: Run, world: World) -> Answer:
    """Hold the printed bits per byte against the true bytes of the tokens behind the printed loss."""
    question = Question.BYTE_ACCOUNTING
    if run.headline is None:
        return unknown(question, run.log.failure() or "the run printed no score")
    told = stated(run)
    if told.bpb is None:
        return unknown(question, "the headline states no bits per byte")
    true = true_bpb(run, told)
    if true is None:
        return unknown(question, "the printed score is the mean of no recorded losses, and no loss stands by it")
    value, count, size, sure = true
    slack = 0.6 * 10.0**-told.bpb_decimals + TOLERANCE * value
    slack += 0.6 * 10.0**-told.loss_decimals if told.loss is not None else 0.0
    if abs(told.bpb - value) <= slack:
        how = f"{value:.6f} from {size:,} bytes of {count:,} tokens"
        return Answer(question, Outcome.CLEAR, f"the printed {told.bpb:.6f} bits per byte are right: {how}")
    if run.judged is not None and another(run, run.judged):
        return unknown(question, "the losses behind the printed loss and bits per byte were not recorded")
    matched = run.judged is not None and run.judged.matched
    if not sure or (not matched and abs(told.bpb - value) <= UNMATCHED * value):
        return unknown(question, f"the printed {told.bpb:.6f} bits per byte belong to losses that were not recorded")
    if not matched and abs(told.bpb / value - 1.0) < LOOSE:
        said = f"the printed {told.bpb:.6f} bits per byte would be {value:.6f} over the whole stream"
        return unknown(question, f"{said}; which of its tokens the printed loss is made of was not seen")
    return _wrong(run, world, told, value, count, size)


def true_bpb(run: Run, told: Stated) -> tuple[float, int, int, bool] | None:
    """True bits per byte, tokens, true bytes, and whether a pass or a printed loss vouches for it; None: not known."""
    found = run.judged
    if found is not None and (found.matched or told.loss is None):
        where = found.positions[found.positions != NOWHERE]
        size = int(run.stream.bytes[where].sum())
        nats = float(found.value) * where.size
        return (nats / math.log(2) / size, int(where.size), size, found.matched) if size else None
    if told.loss is None:
        return None
    size, count = int(run.stream.bytes[1:].sum()), run.stream.tokens.size - 1
    return told.loss * count / math.log(2) / size, count, size, True


def _wrong(run: Run, world: World, told: Stated, value: float, count: int, size: int) -> Answer:
    assert told.bpb is not None and run.headline is not None
    implied = size * value / told.bpb
    error = 0.6 * 10.0**-told.bpb_decimals / told.bpb
    error += 0.6 * 10.0**-told.loss_decimals / told.loss if told.loss else 0.0
    cause, code = likely_cause(run, world, implied, count, size, implied * error)
    said = f"the printed {told.bpb:.6f} bits per byte should be {value:.6f}"
    message = f"{said}: {implied:,.0f} bytes were counted where the text has {size:,} ({count:,} tokens){cause}"
    site = run.headline.site
    spot = Spot(site[0], site[1], "printed here") if site[0] else None
    figures = {
        "stated_bpb": told.bpb, "true_bpb": value, "counted_bytes": implied, "true_bytes": float(size),
        "tokens": float(count), "cause": float(code),
    }  # fmt: skip
    evidence = Evidence(Confidence.HIGH, message, spot, path(spot), figures=figures)
    return Answer(Question.BYTE_ACCOUNTING, Outcome.FOUND, said, (evidence,))


OTHER, DOUBLE_SPACE, NO_SPACE, CONTROL, CONSTANT, SHORT = range(6)
"""Likely causes, as the figure ``cause``: unknown, spaces counted twice, not at all, control tokens counted, a fixed
number of bytes per token, other piece lengths."""


def likely_cause(
    run: Run, world: World, implied: float, count: int, size: int, error: float = 1e-3
) -> tuple[str, int]:
    """What kind of miscount gives ``implied`` bytes (known to ``error`` bytes), in words and as a number."""
    found = run.judged
    tokens = run.stream.tokens.astype(np.int64)
    if found is not None and found.matched:
        where = found.positions[found.positions != NOWHERE]
    else:
        where = np.arange(1, tokens.size)
    scored = tokens[where]
    spaces = _spaces(world)[scored]
    before = tokens[np.maximum(where - 1, 0)] == world.spec.bos_id
    control = int((scored == world.spec.bos_id).sum())
    close = max(3.0, 4e-4 * size)
    extra = implied - size
    if spaces.any():
        for many in (int(spaces.sum()), int((spaces & ~before).sum())):
            if abs(extra - many) <= close:
                return ": as if leading spaces were counted twice", DOUBLE_SPACE
            if abs(extra + many) <= close:
                return ": as if leading spaces were not counted", NO_SPACE
    for length in (1, 3, 4, 5, 6):
        if control and abs(extra - control * length) <= max(3.0, 0.02 * control * length):
            return ": as if documents' first tokens had bytes", CONTROL
    constant = _constant(implied, count, error)
    if constant is not None:
        return f": as if every token had {constant:g} bytes", CONSTANT
    return "", OTHER


def _constant(implied: float, count: int, error: float) -> float | None:
    """The round number of bytes for each token that gives ``implied``; bytes that were counted are a whole number."""
    per_token = implied / count
    counted = error < 0.1 and abs(implied - round(implied)) <= max(error, 0.01)
    for digits in range(2 if counted else 5):
        rounded = round(per_token, digits)
        if rounded > 0 and abs(per_token / rounded - 1) < 2e-6 * 10 ** (2 - min(digits, 2)):
            return rounded
    return None


def _spaces(world: World) -> NDArray[np.bool_]:
    """Which tokens begin with a space, shape [vocabulary]."""
    return of(world.spec).space


__all__ = ["CONSTANT", "CONTROL", "DOUBLE_SPACE", "NO_SPACE", "OTHER", "ask", "likely_cause", "true_bpb"]
