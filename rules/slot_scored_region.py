"""A small vector is fitted to the targets that it then scores."""

from __future__ import annotations

import re

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import Order, SourceFacts
from rules._examples import PLAIN_RUN, logged, scored, script
from rules._examples_calib import ETLB_AFTER, SLOT, SLOT_GRAD, SLOT_LBFGS, mark
from rules._order import conclude, pair_findings, vectors
from rules._trace import order_ruled

_ID = "slot-scored-region"
_EVAL = scored("eval_slot(args, model, val_tokens, byte_lut)", "final_slot_exact")
_FLAGS = (
    'slot_enabled = bool(int(os.environ.get("SLOT_ENABLED", "0")))\n'
    'slot_steps = int(os.environ.get("SLOT_STEPS", 8))\nslot_stride = 64\n'
)
_GATED = (
    "if args.slot_enabled:\n    val_loss, val_bpb = eval_slot(args, model, val_tokens, byte_lut)\n"
    "else:\n    val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)\n"
    'log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")\n'
)


class SlotScoredRegion(Rule):
    """What it does:
    For each window a small tensor (a hidden-state delta, a logit bias) is optimised on the loss of the very positions
    that are scored with it afterwards (SLOT).

    Why it is not allowed:
    No ruling was seen. By the wording of the README it trains on tokens before they are evaluated; changing one
    target changes the losses of the others. No record with it was merged.

    How to fix it:
    Optimise on positions that have been scored before, or leave it off.

    Known limits:
    Whether the optimised and the scored positions overlap is told by slices; where that cannot be told they are taken
    to overlap.

    Authority:
    No ruling seen; #1240 and #1336 [P]; merged #1204 ships it switched off [M-git].
    """

    title = "A vector is optimised on the positions that it then scores"
    ruling = Ruling.UNRULED
    kind = Kind.INTEGRITY
    authority = "no ruling seen; #1240, #1336 [P]"
    since = "2026-04-02"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a fresh vector learns within the turn from positions that are scored with it."""
        told = [
            pair for pair in vectors(facts)
            if pair.order in (Order.TRAIN_FIRST, Order.REPEATED) and not pair.update.carried
        ]
        message = "a vector is optimised here on targets that are scored with it afterwards"
        return conclude(
            facts, pair_findings(told, message), "a vector is optimised on the positions that it scores",
            "no vector is optimised on positions that it then scores",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found, suggestive only: the headline is logged under a label that names SLOT."""
        findings = [
            Finding(Confidence.LOW, f"the headline is logged as {label!r}", at)
            for label, at in facts.metric.logged_as if re.search(r"(^|[_\W])slot", label, re.I)
        ]
        if findings:
            return Ruled.found(findings, "the headline's label names SLOT")
        return Ruled.not_applicable("no label of the headline names SLOT")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a small vector optimised on tokens that are scored with it."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("off by default", {
            "train_gpt.py": script(mark(SLOT), flags=_FLAGS, after=_GATED), "README.md": PLAIN_RUN}),
        Example("context only: another rule's", {"train_gpt.py": script(
            mark(SLOT, slice_="[:s]"), flags=_FLAGS, after=_EVAL)}),
        Example("bias learned after scoring: another rule's", {"train_gpt.py": script(
            mark(ETLB_AFTER), after=scored("eval_biased(args, model, val_tokens, byte_lut)"))}),
        Example("plain evaluation", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("delta fitted on the whole window", {"train_gpt.py": script(
            mark(SLOT, _ID), flags=_FLAGS, after=_EVAL)}),
        Example("delta fitted on the scored tail", {"train_gpt.py": script(
            mark(SLOT, _ID, "[s:]"), flags=_FLAGS, after=_EVAL)}),
        Example("torch.autograd.grad and a hand-written step", {"train_gpt.py": script(
            mark(SLOT_GRAD, _ID), flags=_FLAGS, after=_EVAL)}),
        Example("L-BFGS with a closure", {"train_gpt.py": script(mark(SLOT_LBFGS, _ID), flags=_FLAGS, after=_EVAL)}),
        Example("turned on by the run script", {
            "train_gpt.py": script(mark(SLOT, _ID), flags=_FLAGS, after=_GATED),
            "run.sh": "SLOT_ENABLED=1 torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("headline labelled SLOT", {
            "train_gpt.py": script(), **logged("final_slot_exact")}, expect=("train_seed42.log:6",)),
    ]
