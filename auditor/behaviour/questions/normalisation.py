"""Normalisation: no causal scorer whose probabilities sum to one can beat the generator of the toy stream.

The tokens of the toy validation stream are independent draws with known probabilities g. A scorer that gives each
token a probability p made of its past alone, with p summing to at most one over the vocabulary, has
E[p(token) / g(token) | past] <= 1 at every position. So a player who bets a share lambda of his fortune on every
token has an expected fortune of at most 1, and by Ville's inequality reaches a fortune of e with a chance of at most
1/e. A fortune of a million disproves "causal and normalised" (Shafer and Vovk; the mean over several lambdas is a
fortune too).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import HABITS, Answer, Evidence, Question, Sample, Spot
from auditor.behaviour.passes import Pass
from auditor.behaviour.questions.common import first_scores, no_pass, path, spot_of, unknown
from auditor.behaviour.questions.printed import Stated, stated
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE
from auditor.behaviour.tallies import by_hand
from auditor.behaviour.toyworld.spec import Stream, World, WorldSpec
from auditor.behaviour.toyworld.stream import stop_probability
from auditor.core.types import Confidence, Outcome

LAMBDAS = np.geomspace(0.001, 0.5, 12)
PROOF = math.log(1e6)
ENOUGH = 200
"""Positions at which a mixture must have changed the model's probability before its silence means something."""
SAME = 1e-4
EXACT = 1e-6
"""Relative difference above which two losses are not the same number with another rounding."""
PLACED = 0.98
"""Share of the judged scores that must lie where run A's do for the other stream's to be judged."""
FAR_BELOW = 0.85
"""Share of the generator's bits per byte below which printed ones are more than another way to count bytes."""
MIXES = re.compile(
    r"n_?gram|ppm|cache_(?:lambda|weight|alpha|mix)|backoff|mixer|knn|phrase|unigram|bigram_(?:mix|counts)", re.I
)
"""Words of scripts that mix the model's probabilities with others. They decide over one more run, over no finding."""


@dataclass(frozen=True, slots=True)
class Values:
    """What the judged pass counts for each position, in scoring order; arrays of one shape."""

    positions: NDArray[np.int64]
    counted: NDArray[np.float64]
    """Nats that were added up."""
    model: NDArray[np.float64]
    """The loss that was recorded where the score began."""
    changed: NDArray[np.bool_]
    """Where the two differ."""


def bet(counted: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Log of the betting fortune. ``counted`` in nats; ``reference`` the generator's natural log-probabilities."""
    if not counted.size:
        return 0.0
    ratio = np.exp(np.clip(-counted - reference, -700.0, 60.0))
    fortunes = np.array([np.log1p(share * (ratio - 1.0)).sum() for share in LAMBDAS])
    top = float(fortunes.max())
    return top + math.log(float(np.exp(fortunes - top).mean()))


def reference(stream: Stream, spec: WorldSpec) -> NDArray[np.float64]:
    """The generator's log-probability of each token, given also that the document goes on (NaN: first token, BOS).

    A scorer may know where documents end; with that knowledge no other token is likelier than said here.
    """
    stop = stop_probability(spec)
    known = stream.log_prob - (math.log1p(-stop) if stop < 1 else 0.0)
    known = np.where(stream.tokens == spec.bos_id, np.nan, np.minimum(known, 0.0))
    known[:1] = np.nan
    return known


def values_of(found: Pass, run: Run) -> Values:
    """The first value of each position of the pass, in scoring order."""
    positions, first = first_scores(found, run.scores)
    order = np.argsort(first, kind="stable")
    positions, first = positions[order], first[order]
    counted = found.values[first]
    model = run.scores.loss[found.scores[first]].astype(np.float64)
    return Values(positions, counted, model, _differ(counted, model))


def ask(run: Run, world: World, invariance: Answer | None = None, habits: Run | None = None) -> Answer:
    """Judge the probabilities behind the judged pass; ``invariance``: the answer on prefix invariance, if there is one.

    ``habits``: the same script on a stream that repeats itself, where mixtures that hardly spoke on the toy stream do.
    A score that saw later tokens is no news here: then the question stays open.
    """
    question = Question.NORMALISATION
    if invariance is not None and invariance.outcome is Outcome.FOUND:
        return unknown(question, "the scores depend on later tokens (prefix invariance): this test cannot tell more")
    missing = no_pass(run, question)
    if missing is not None:
        return _printed_only(run, missing)
    assert run.judged is not None
    values = values_of(run.judged, run)
    scale = scaling(values)
    if scale is not None:
        return _scaled(run.judged, values, scale)
    answer = _judge(run.judged, values, reference(run.stream, run.spec), invariance, "the toy stream")
    if answer.outcome is Outcome.FOUND or not undecided(run):
        return answer
    problem = _unheard(run.judged, habits)
    if problem or habits is None or habits.judged is None:
        return answer if answer.outcome is Outcome.UNKNOWN else unknown(question, problem)
    again = values_of(habits.judged, habits)
    if not again.changed.any():
        return answer
    known = reference(habits.stream, habits.spec)
    answer = _judge(habits.judged, again, known, invariance, "a stream that repeats itself")
    return replace(answer, evidence=tuple(replace(one, stream=HABITS) for one in answer.evidence))


def undecided(run: Run) -> bool:
    """Whether the judged pass hardly shows a mixture, though its script may have one: then another stream is worth a
    run.

    A few changed scores say that there is one; where there are none, the script's words may, or how it adds them up.
    """
    if run.judged is None or not run.judged.matched:
        return False
    changed = int(values_of(run.judged, run).changed.sum())
    if changed:
        return changed < ENOUGH
    return MIXES.search(run.source) is not None or by_hand(run.events, np.unique(run.judged.seqs).tolist())


def _unheard(found: Pass, habits: Run | None) -> str:
    """Why the run on a stream that repeats itself says nothing; empty when it can be judged."""
    asked = "the script may mix its probabilities with a cache, and the text that repeats itself tells nothing: "
    if habits is None:
        return asked + "that run was not made"
    missing = no_pass(habits, Question.NORMALISATION)
    if missing is not None:
        return asked + missing.reason
    assert habits.judged is not None
    return "" if _follows(habits.judged, found) else asked + "its order of scoring hangs on the text"


def _follows(found: Pass, first: Pass) -> bool:
    """Whether nearly all scores of ``found`` could be placed by those of run A's pass ``first``.

    A script whose order hangs on the text scores other tokens at the same moments; what is placed then is chosen by
    what it is, and a bet on it proves nothing.
    """
    placed, before = (float((one.positions != NOWHERE).mean()) for one in (found, first))
    return placed >= PLACED * before


def _differ(counted: NDArray[np.float64], model: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(counted - model) > SAME * np.maximum(1.0, np.abs(counted))


def _judge(found: Pass, values: Values, known: NDArray[np.float64], invariance: Answer | None, text: str) -> Answer:
    """The bet on ``values`` against the generator's log-probabilities ``known`` [tokens] of the stream ``text``."""
    question = Question.NORMALISATION
    known = known[values.positions]
    ok = ~np.isnan(known)
    log_e = bet(values.counted[ok], known[ok])
    if log_e >= PROOF:
        return _beaten(found, values, log_e, invariance, text)
    changed = int(values.changed.sum())
    if changed >= ENOUGH and never_worse(values):
        return _chosen(found, values, changed, text)
    if 0 < changed < ENOUGH:
        return unknown(question, f"only {changed} scores were mixed with anything else: too few to tell at toy scale")
    if int(ok.sum()) < ENOUGH:
        return unknown(question, f"only {int(ok.sum())} scores could be judged: too few to tell")
    how = f"{changed:,} of them changed after the model's own loss" if changed else "all of them the model's own losses"
    return Answer(
        question, Outcome.CLEAR,
        f"{int(ok.sum()):,} scores do not beat the generator of {text} ({how}; betting fortune {_power(log_e)})",
    )  # fmt: skip


def scaling(values: Values) -> float | None:
    """The one factor by which all losses were multiplied, when there is one that is not 1."""
    large = np.abs(values.model) > 0.5
    if large.sum() < ENOUGH:
        return None
    ratio = values.counted[large] / values.model[large]
    middle = float(np.median(ratio))
    same = np.abs(ratio - middle) <= 1e-4 * abs(middle)
    return middle if abs(middle - 1.0) > 1e-3 and same.mean() > 0.99 and middle > 0 else None


def never_worse(values: Values) -> bool:
    """Whether the counted loss is the smaller of the model's and another one: chosen after the outcome is known.

    A mixture of small weight w gains much at hits and loses only w elsewhere, which is less than `SAME`: so the
    scores that count as unchanged must not be a little worse either, but for rounding, which goes both ways.
    """
    drop = values.model - values.counted
    apart = (np.abs(drop) > EXACT * np.maximum(1.0, np.abs(values.counted))) & ~values.changed
    hidden = int((drop[apart] < 0).sum()) - int((drop[apart] > 0).sum())
    if hidden > 0.001 * int(values.changed.sum()):
        return False
    share = float(values.changed.mean())
    gain = float(drop[values.changed].mean()) if values.changed.any() else 0.0
    return 0.02 < share < 0.98 and gain > 0.01 and bool((drop[values.changed] > 0).mean() > 0.999)


def _scaled(found: Pass, values: Values, scale: float) -> Answer:
    message = f"every loss is multiplied by {scale:.6g} before it is added up: no temperature, which divides logits"
    evidence = Evidence(
        Confidence.HIGH, message, spot_of([*found.site, ""], "added up here"), samples=_samples(values),
        figures={"scale": scale, "scores": float(values.positions.size)},
    )  # fmt: skip
    return Answer(Question.NORMALISATION, Outcome.FOUND, message, (evidence,))


def _beaten(found: Pass, values: Values, log_e: float, invariance: Answer | None, text: str) -> Answer:
    changed = int(values.changed.sum())
    gain = float((values.model - values.counted)[values.changed].mean()) if changed else 0.0
    causal = invariance is not None and invariance.outcome is Outcome.CLEAR
    what = (
        "the counted probabilities are not normalised, or use the token that they score"
        if causal
        else "the counted probabilities are not both normalised and made of the past alone"
    )
    where = (
        f"{changed:,} of {values.positions.size:,} scores differ from the model's own loss, by {gain:.3f} nats a score"
        if changed
        else "they are the model's own losses, so the model is told of the token that it scores"
    )
    message = (
        f"{what}: against the known generator of {text} a bet on them grows to {_power(log_e)}; a normalised "
        f"scorer of the past passes 1e6 with a chance of one in a million (Ville's inequality); {where}"
    )
    figures = {
        "log_e_value": log_e, "changed_scores": float(changed), "scores": float(values.positions.size),
        "mean_gain_nats": gain, "never_worse": float(never_worse(values)), "causal": float(causal),
        "changed_early": float(values.changed[: max(16, values.changed.size // 50)].mean()),
        "changed_late": float(values.changed[-values.changed.size // 4 :].mean()),
    }  # fmt: skip
    site = spot_of([*found.site, ""], "the scores are added up here")
    evidence = Evidence(Confidence.HIGH, message, site, path(site), _samples(values), figures=figures)
    return Answer(Question.NORMALISATION, Outcome.FOUND, what, (evidence,))


def _chosen(found: Pass, values: Values, changed: int, text: str) -> Answer:
    gain = float((values.model - values.counted)[values.changed].mean())
    message = (
        f"{changed:,} of {values.positions.size:,} scores of {text} are below the model's own loss (by {gain:.3f} nats "
        "a score), all others equal it and none is above it: the better of two is taken after the token is known"
    )
    site = spot_of([*found.site, ""], "the scores are added up here")
    figures = {"changed_scores": float(changed), "mean_gain_nats": gain, "never_worse": 1.0}
    evidence = Evidence(Confidence.MEDIUM, message, site, path(site), _samples(values), figures=figures)
    return Answer(Question.NORMALISATION, Outcome.FOUND, message, (evidence,))


def _samples(values: Values) -> tuple[Sample, ...]:
    chosen = np.flatnonzero(values.changed)[:5]
    return tuple(Sample(int(values.positions[i]), float(values.model[i]), float(values.counted[i])) for i in chosen)


def _printed_only(run: Run, missing: Answer) -> Answer:
    """Where no recorded scores make the printed loss: hold the printed total against the generator's entropy.

    Of bits per byte alone it is not known what bytes they are of: more of them (counted wrongly) may make the figure
    small too, so it must be far below.
    """
    if run.headline is None:
        return missing
    told = stated(run)
    known = reference(run.stream, run.spec)
    known = known[~np.isnan(known)]
    if told.loss is None:
        return _printed_bits(run, told, known, missing)
    log_e = known.size * (-float(known.mean()) - told.loss)
    if log_e < PROOF or told.loss > 0.98 * -float(known.mean()):
        return missing
    own = run.judged.value if run.judged is not None else math.nan
    message = (
        f"the printed loss of {told.loss:.4f} nats is below the {-float(known.mean()):.4f} nats of the toy stream's "
        f"own generator: no normalised scorer of the past gets there (chance below {_power(-log_e)})"
    )
    spot = Spot(run.headline.site[0], run.headline.site[1], "printed here") if run.headline.site[0] else None
    level = Confidence.HIGH if told.consistent else Confidence.MEDIUM
    figures = {"printed_loss": told.loss, "generator_nats": -float(known.mean()), "log_e_value": log_e}
    if not math.isnan(own):
        figures["model_loss"] = own
    return Answer(Question.NORMALISATION, Outcome.FOUND, message, (Evidence(level, message, spot, figures=figures),))


def _printed_bits(run: Run, told: Stated, known: NDArray[np.float64], missing: Answer) -> Answer:
    """The same where only bits per byte are printed."""
    size = int(run.stream.bytes[1:].sum())
    least = -float(known.sum()) / math.log(2) / max(size, 1)
    if run.headline is None or told.bpb is None or told.bpb > FAR_BELOW * least:
        return missing
    message = (
        f"the printed {told.bpb:.4f} bits per byte are below the {least:.4f} of the toy stream's own generator: no "
        "normalised scorer of the past gets there, on the bytes of that text: either probabilities or bytes are wrong"
    )
    spot = Spot(run.headline.site[0], run.headline.site[1], "printed here") if run.headline.site[0] else None
    figures = {"printed_bpb": told.bpb, "generator_bpb": least}
    evidence = Evidence(Confidence.MEDIUM, message, spot, figures=figures)
    return Answer(Question.NORMALISATION, Outcome.FOUND, message, (evidence,))


def _power(log_e: float) -> str:
    return f"10^{log_e / math.log(10):.1f}"
