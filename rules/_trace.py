"""What the checks of the behaviour witness share: which rule a piece of evidence belongs to, and how sure that is.

A difference or a fault whose way the events do not show belongs to a general rule (`later-tokens`,
`unnormalised-score`), never to one that says more than was seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from auditor.behaviour.facts import Answer, Cause, Evidence, Question, Spot, TraceFacts
from auditor.core.rule import Ruled
from auditor.core.submission import Submission
from auditor.core.types import Finding, Outcome, PathStep, Place

SMALL_SHARE = 0.02
"""Share of the model's parameters up to which what is optimised is a vector, not the weights."""
_PPM = re.compile(r"\bppm", re.I)
_DATA = {
    1.0: "external-access", 2.0: "train-data-at-eval", 3.0: "gptq-train-after-cap", 4.0: "val-train", 5.0: "val-train",
}  # fmt: skip
"""Kinds of evidence of `auditor.behaviour.questions.data_access`."""
Chooser = Callable[[Evidence], str]


def culprit(evidence: Evidence) -> str:
    """The rule that a prefix-invariance difference, or an update before the score, belongs to."""
    figures = evidence.figures
    if evidence.cause in (Cause.TRAINED_BEFORE_PASS, Cause.TRAINED_IN_PASS):
        if figures.get("best_of"):
            return "min-nll-epochs"
        if 0 < figures.get("share_of_weights", 1.0) <= SMALL_SHARE:
            return "slot-scored-region"
        return "ttt-final-epoch-score" if figures.get("same_loop") else "ttt-pre-quant"
    return {
        Cause.SCORED_BEFORE: "rescore-two-pass",
        Cause.CALIBRATED: "gptq-val-calib",
        Cause.SAME_FORWARD: "noncausal-model",
    }.get(evidence.cause, "later-tokens")


def unnormalised(submission: Submission) -> Chooser:
    """Which rule a fault of normalisation belongs to; a cache of scored tokens is told by its empty start."""
    text = submission.entry.text if submission.entry is not None else ""

    def choose(evidence: Evidence) -> str:
        figures = evidence.figures
        if "scale" in figures:
            return "score-scaling"
        if figures.get("never_worse"):
            return "oracle-select"
        if not figures.get("changed_scores"):
            return "unnormalised-score"
        if _PPM.search(text):
            return "ppm-byte-mix"
        if figures.get("changed_early", 1.0) < 0.5 * figures.get("changed_late", 0.0):
            return "ngram-target-key"
        return "hedge-mixer" if figures.get("changed_early", 0.0) > 0.98 else "unnormalised-score"

    return choose


def bytes_rule(evidence: Evidence) -> str:
    """Which rule a wrong count of bytes belongs to."""
    return {1.0: "bpb-double-space", 4.0: "score-scaling"}.get(evidence.figures.get("cause", 0.0), "bpb-token-bytes")


def data_rule(evidence: Evidence) -> str:
    """Which rule a fault of data access belongs to."""
    return _DATA.get(evidence.figures.get("kind", 0.0), "")


def always(rule: str) -> Chooser:
    """A question with one rule."""
    return lambda _: rule


def ruled(facts: TraceFacts, question: Question, rule: str, choose: Chooser) -> Ruled:
    """One rule's share of the answer to ``question``."""
    answer = facts.answer(question)
    if answer.outcome is Outcome.FOUND:
        mine = [e for e in answer.evidence if choose(e) == rule]
        if mine:
            return Ruled.found([finding(e) for e in mine], mine[0].message)
        others = ", ".join(sorted({choose(e) for e in answer.evidence} - {""}))
        return Ruled.unknown(f"what was found is of another kind ({others}) and may hide this one")
    return _plain(answer)


def order_culprit(facts: TraceFacts) -> Chooser:
    """`culprit`, but training proper on validation text, where data access shows it, is `val-train`."""
    data = facts.answer(Question.DATA_ACCESS)
    in_training = data.outcome is Outcome.FOUND and any(data_rule(e) == "val-train" for e in data.evidence)

    def choose(evidence: Evidence) -> str:
        rule = culprit(evidence)
        return "val-train" if in_training and rule in ("ttt-pre-quant", "later-tokens", "gptq-val-calib") else rule

    return choose


def order_ruled(facts: TraceFacts, rule: str) -> Ruled:
    """One rule's share of the questions of order: prefix invariance, and score before update."""
    choose = order_culprit(facts)
    first = ruled(facts, Question.PREFIX_INVARIANCE, rule, choose)
    if first.outcome is Outcome.FOUND:
        return first
    updates = facts.answer(Question.SCORE_BEFORE_UPDATE)
    if updates.outcome is Outcome.FOUND and facts.answer(Question.PREFIX_INVARIANCE).outcome is not Outcome.FOUND:
        mine = [e for e in updates.evidence if choose(e) == rule]
        if mine:
            return Ruled.found([finding(e) for e in mine], mine[0].message)
        return Ruled.unknown(f"tokens are trained on before their score ({choose(updates.evidence[0])})")
    if first.outcome is Outcome.CLEAR and updates.outcome is not Outcome.CLEAR:
        return _plain(updates)
    return first


def either(first: Ruled, second: Ruled) -> Ruled:
    """Two shares of one rule: found by either, clear by both."""
    for outcome in (Outcome.FOUND, Outcome.UNKNOWN):
        for answer in (first, second):
            if answer.outcome is outcome:
                return answer
    return first


def learns_after_scoring(facts: TraceFacts) -> Ruled:
    """The legal pattern: training on tokens after their score, with both questions of order clear."""
    updates, order = facts.answer(Question.SCORE_BEFORE_UPDATE), facts.answer(Question.PREFIX_INVARIANCE)
    seen = [e for e in updates.evidence if e.figures.get("score_first")]
    if updates.outcome is Outcome.CLEAR and order.outcome is Outcome.CLEAR and seen:
        return Ruled.found([finding(e) for e in seen], seen[0].message)
    return Ruled.not_applicable("no training on tokens after their score was seen, or their order is not clear")


def _plain(answer: Answer) -> Ruled:
    if answer.outcome is Outcome.CLEAR:
        return Ruled.clear(answer.reason)
    if answer.outcome is Outcome.NOT_APPLICABLE:
        return Ruled.not_applicable(answer.reason)
    return Ruled.unknown(answer.reason)


def finding(evidence: Evidence) -> Finding:
    """A piece of evidence as a finding; without a line it points at the entry script's first."""
    spot = evidence.spot or Spot("train_gpt.py", 1)
    steps = tuple(PathStep(s.file, s.line, s.note) for s in evidence.path if s.file)
    place = Place(file=spot.file, line=spot.line)
    samples = tuple((s.position, s.first, s.second) for s in evidence.samples)
    return Finding(evidence.confidence, evidence.message, place, steps, evidence.witness_file, samples)
