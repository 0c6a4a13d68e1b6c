"""A vector that lives through the evaluation learns from its windows."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import Order, SourceFacts
from rules._examples import TTT_FLAGS, score_first, scored, script
from rules._examples_calib import ETLB_AFTER, ETLB_BEFORE, SLOT, mark
from rules._order import conclude, pair_findings, vectors

_ID = "etlb"
_EVAL = scored("eval_biased(args, model, val_tokens, byte_lut)")


class Etlb(Rule):
    """What it does:
    A bias over the vocabulary (or another small vector) is carried through the evaluation and learns from each
    window, before or after that window is scored.

    Why it is not allowed:
    Disputed. Learned after scoring it stands like score-first training, on which there is no ruling for vectors;
    learned before scoring it is trained on what it scores.

    How to fix it:
    Update the bias after the window has been scored.

    Known limits:
    A bias fitted over all of validation before scoring is reported by ``ttt-pre-quant``.

    Authority:
    #1399, #1415 [P]; no ruling seen.
    """

    title = "Eval-time logit bias"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "#1399, #1415 [P]; no ruling seen"
    since = "2026-04-06"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a carried vector learns from validation windows as they are scored."""
        told = [
            pair for pair in vectors(facts)
            if pair.update.carried and pair.order is not Order.EARLIER_PASS
        ]
        message = "a vector carried through the evaluation learns here from validation tokens"
        return conclude(
            facts, pair_findings(told, message), "an eval-time bias learns from validation windows",
            "no vector is carried through the evaluation and trained",
        )

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("weights, score-first", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS, after=scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)"))}),
        Example("fresh vector per window: another rule's", {"train_gpt.py": script(
            mark(SLOT), flags="slot_steps = 8\nslot_stride = 64\n",
            after=scored("eval_slot(args, model, val_tokens, byte_lut)"))}),
    ]
    INVALID = [
        Example("learned after the window's score", {"train_gpt.py": script(mark(ETLB_AFTER, _ID), after=_EVAL)}),
        Example("learned before the window's score", {"train_gpt.py": script(mark(ETLB_BEFORE, _ID), after=_EVAL)}),
    ]
