"""A hint or its weight depends on a property of the token being scored."""

from __future__ import annotations

import re

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import SourceFacts
from auditor.source.metric_facts import Reach
from rules._examples import scored, script
from rules._examples_native import NATIVE_GATE, NATIVE_PREFIX, native
from rules._examples_tables import GATED_HINTS, GATED_VECTOR, HINT_INLINE, PREFIX_GATED
from rules._lookups import lookup_findings
from rules._order import conclude

_EVAL = scored("eval_gated(args, model, val_tokens, byte_lut)")
_GATE = re.compile(r"within|word|agree", re.I)
_LOG = "ngram_tilt:hints total=100 gated=90 token_gate=90 within_gate={0} word_gate={1} agree2plus=0\n"


class NgramTargetGated(Rule):
    """What it does:
    Whether an n-gram hint is used, or how strongly, depends on a property of the token that is being scored, such as
    whether it starts a word.

    Why it is not allowed:
    The prediction at a position may depend on the tokens before it only. A gate that reads the class of the current
    target tells the model something about it.

    How to fix it:
    Gate by the tokens before the target (the previous token's class), or set the weights of the gated experts to
    zero.

    Known limits:
    C and C++ are read loosely: a gate found there alone needs review, the log's counts of passed hints decide. Triton
    kernels are not read.

    Authority:
    cocohearts on #2041 and #2118 (2 May): such gates "depend on current target-token class" [M*]; merged #1514 sets
    them to zero [M-git].
    """

    title = "An n-gram hint is gated by a property of the scored token"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "cocohearts on #2041, #2118 [M*]; merged #1514 [M-git]"
    since = "2026-05-02"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a property of the target selects a value that reaches a reported score."""
        looks = [look for look in facts.lookups if look.target_in_key and look.why == "gate"]
        message = "a property of the scored token decides here what its prediction becomes"
        return conclude(
            facts, lookup_findings(facts, looks, message) + self._native(facts),
            "a hint is gated by a property of the scored token", "no property of the scored token gates its prediction",
        )

    @staticmethod
    def _native(facts: SourceFacts) -> list[Finding]:
        """Gates in C or C++ text that no setting switches off; whether hints passed them is for the log to say."""
        return [
            Finding(
                Confidence.MEDIUM, f"{gate.what} ({gate.function}; {gate.why})", Place(file=gate.file, line=gate.line),
                gate.path)
            for gate in facts.metric.gates if gate.reach is not Reach.OFF
        ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: the log counts hints that a within-word, word-start or agreement gate let through."""
        lines = [gates for run in facts.judged() for gates in run.gates]
        findings = []
        for line in lines:
            open_gates = {name: count for name, count in line.gates.items() if _GATE.search(name) and count > 0}
            if open_gates:
                counts = ", ".join(f"{name}={count}" for name, count in open_gates.items())
                message = f"gates by the current token's class let hints through: {counts}"
                findings.append(Finding(Confidence.HIGH, message, line.at))
        if findings:
            return Ruled.found(findings, "the log counts hints gated by the scored token's class")
        if lines:
            return Ruled.clear("the log counts no hint gated by the scored token's class")
        return Ruled.not_applicable("no log line counts gated hints")

    VALID = [
        Example("hint by context", {"train_gpt.py": script(
            HINT_INLINE, after=scored("eval_tilted(args, model, val_tokens, byte_lut)"))}),
        Example("gated by the previous token", {"train_gpt.py": script(PREFIX_GATED, after=_EVAL)}),
        Example("C: gated by the token before", {"train_gpt.py": script(native()), "hints.c": NATIVE_PREFIX}),
        Example("C: gate of no weight", {"train_gpt.py": script(native("0.0")), "hints.c": NATIVE_GATE}),
        Example("closed gates in the log", {"train_gpt.py": script(), "train_seed42.log": _LOG.format(0, 0)}),
    ]
    INVALID = [
        Example("if on the target's class", {"train_gpt.py": script(GATED_HINTS, after=_EVAL)}),
        Example("weights by the targets' classes", {"train_gpt.py": script(GATED_VECTOR, after=_EVAL)}),
        Example("C: gated by the token itself", {"train_gpt.py": script(native()), "hints.c": NATIVE_GATE},
                expect=("hints.c:8",)),
        Example("open gates in the log", {"train_gpt.py": script(), "train_seed42.log": _LOG.format(981, 0)},
                expect=("train_seed42.log:1",)),
    ]
