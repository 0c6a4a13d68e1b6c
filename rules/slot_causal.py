"""A small vector is fitted to the context of the scored positions."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import Order, SourceFacts, order
from rules._examples import scored, script
from rules._examples_calib import SLOT, mark
from rules._order import conclude, pair_findings, vectors

_ID = "slot-causal"
_EVAL = scored("eval_slot(args, model, val_tokens, byte_lut)", "final_slot_exact")
_FLAGS = 'slot_steps = int(os.environ.get("SLOT_STEPS", 8))\nslot_stride = 64\n'


class SlotCausal(Rule):
    """What it does:
    For each window a small tensor is optimised on the context positions only, which were scored in earlier windows;
    the scored positions are disjoint from them.

    Why it is not allowed:
    Disputed: no maintainer has answered (#1336). It trains on tokens that have been evaluated already.

    How to fix it:
    Reset the tensor and its optimiser for each window, or carry over state from the prefix only, and say so.

    Known limits:
    Told by complementary slices of one window.

    Authority:
    #1333, #1350, issue #1336 [P]; no ruling seen.
    """

    title = "A vector is optimised on the context of the scored positions"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "#1333, #1350, issue #1336 [P]; no ruling seen"
    since = "2026-04-04"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a fresh vector learns within the turn from positions disjoint from the scored ones."""
        told = [
            pair for pair in vectors(facts)
            if pair.score.id in pair.update.disjoint_from and not pair.update.carried
            and order(facts, pair.update, pair.score) is Order.TRAIN_FIRST
        ]
        message = "a vector is optimised here on the context of the positions that it then scores"
        return conclude(
            facts, pair_findings(told, message), "a vector is optimised on the context of the scored positions",
            "no vector is optimised on the context of scored positions",
        )

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("scored positions: another rule's", {"train_gpt.py": script(mark(SLOT), flags=_FLAGS, after=_EVAL)}),
    ]
    INVALID = [
        Example("delta fitted on the context", {"train_gpt.py": script(
            mark(SLOT, _ID, "[:s]"), flags=_FLAGS, after=_EVAL)}),
    ]
