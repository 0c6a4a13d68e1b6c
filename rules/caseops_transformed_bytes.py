"""Bits per byte of transformed text: the denominator counts the case operators' bytes."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import Ratio, RecordFacts
from rules._metric import CANONICAL_BYTES, is_caseops
from rules._record import folder, log

_EXCESS = (1.05, 1.12)
"""Share of the transformed over the original bytes: 1.0895 over the whole validation text, 1.093 over 10,000 documents.
Larger excesses are other mixtures of loss and bytes (``metric-ratio``)."""


class CaseopsTransformedBytes(Rule):
    """What it does:
    For runs on text with case operators: compares the bytes per token that each final score implies with those of the
    original text (the official byte total over the validation tokens, or the run's other scores).

    Why it is not allowed:
    The transformed text is about nine per cent longer than the original. Dividing by its bytes makes the score nine
    per cent lower without any better prediction.

    How to fix it:
    Divide by the original bytes, from a sidecar with one count per token (``caseops-sidecar``).

    Known limits:
    A run on part of the documents is compared with its own other scores only.

    Authority:
    cocohearts on #2138: 164,594,398 transformed bytes instead of 151,074,309; #2071, #2039, #2076 [M*].
    """

    title = "Bits per byte over transformed instead of original bytes"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "cocohearts on #2138, #2071, #2039, #2076 [M*]"
    since = "2026-05-02"

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: a final score of a run with case operators divides by too many bytes."""
        if not is_caseops(facts):
            return Ruled.not_applicable("the logs show no run on text with case operators")
        final = [r for r in facts.metric.ratios if r.label != "step"]
        expected = self._expected(facts)
        if expected is None or not final:
            return Ruled.not_applicable("the logs do not state loss, bits per byte and validation tokens")
        stated = {(place.log, place.line) for _, place in facts.metric.logged_as}
        found = [
            self._finding(r, expected, (r.at.log, r.at.line) in stated)
            for r in final if _EXCESS[0] < r.bytes_per_token / expected < _EXCESS[1]
        ]
        if found:
            return Ruled.found(found[:6], "the denominator holds the bytes of the transformed text")
        return Ruled.clear(f"final scores imply about {expected:.4f} bytes per token, those of the original text")

    @staticmethod
    def _expected(facts: RecordFacts) -> float | None:
        """Bytes per token of the original text."""
        tokens = [t.value for run in facts.judged() for t in run.val_tokens]
        if tokens and 0.98 < max(tokens) / 47_851_520 < 1.02:
            return CANONICAL_BYTES / max(tokens)
        return facts.metric.ratio

    @staticmethod
    def _finding(ratio: Ratio, expected: float, headline: bool) -> Finding:
        message = (
            f"{ratio.label}: {ratio.bytes_per_token:.4f} bytes per token, the original text has {expected:.4f} "
            f"({100 * (ratio.bytes_per_token / expected - 1):.1f} % too many)")
        return Finding(Confidence.HIGH if headline else Confidence.MEDIUM, message, ratio.at)

    VALID = [
        Example("original bytes", folder(train_log=log(
            ["caseops_enabled: True"], tokens=47_851_520, loss="2.31940000", bpb="1.05990000"))),
        Example("no case operators", folder()),
    ]
    INVALID = [
        Example("transformed bytes", folder(train_log=log(
            ["caseops_enabled: True"], tokens=47_851_520, loss="2.31940000", bpb="0.97280000")),
            expect=("train.log:12", "train.log:13")),
    ]
