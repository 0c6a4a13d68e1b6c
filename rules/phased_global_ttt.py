"""Recognised: per-document adapters, and base weights trained on scored documents."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import Order, SourceFacts, StateKind
from rules._examples import TTT_FLAGS, score_first, scored, script
from rules._examples_calib import PHASED, mark
from rules._order import Standing, pair_findings, pairs, recognise

_FLAG = 'prefix_docs = int(os.environ.get("PHASED_TTT_PREFIX_DOCS", 2000))\n'
_EVAL = scored("eval_phased(args, model, val_tokens, byte_lut)", "quantized_ttt_phased")
_ALL_VAL = mark(PHASED).replace("torch.cat(scored))", "val_tokens)")


class PhasedGlobalTtt(Rule):
    """What it does:
    Documents are scored with an adapter of their own that learns after each chunk; once a prefix of documents has
    been scored, the base weights are trained on those documents, and the rest is scored with the new base.

    Why it is allowed:
    Every document is scored before any update that uses it; merged several times. Sorting documents by length was
    accepted in practice.

    How to fix it:
    Nothing to fix; make sure that each document is scored exactly once.

    Known limits:
    Told by two updates from scored tokens, one of them on tokens collected over the loop.

    Authority:
    Merges #1610, #1626, #1729, #1736, #1769, #1787, #1855 [M-git].
    """

    title = "Phased test-time training on scored documents"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "merges #1610, #1626, #1729, #1736, #1769, #1787, #1855 [M-git]"
    since = "2026-04-13"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a score has two score-first updates, and one of them runs a loop of its own beside the score's."""
        told = [p for p in pairs(facts, StateKind.WEIGHTS) if p.standing is Standing.REPORTED]
        early = {p.update.id for p in told if p.order is not Order.SCORE_FIRST}
        good = [p for p in told if p.order is Order.SCORE_FIRST and p.update.id not in early]
        phased = [
            pair for pair in good
            if not set(pair.update.loops) <= set(pair.score.loops)
            and any(other.score.id == pair.score.id and set(other.update.loops) <= set(other.score.loops)
                    for other in good if other.update.site != pair.update.site)
        ]
        findings = pair_findings(phased, "base weights learn here from documents that have been scored already")
        sure = [finding for finding in findings if finding.confidence is not Confidence.LOW]
        return recognise(facts, sure, "phased test-time training", "no phased test-time training was found")

    VALID = [
        Example("score-first by chunks only", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS, after=scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)"))}),
        Example("the phase trains on all of validation", {"train_gpt.py": script(_ALL_VAL, flags=_FLAG, after=_EVAL)}),
        Example("no adaptation", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("documents by length, one phase", {"train_gpt.py": script(
            mark(PHASED, "phased-global-ttt"), flags=_FLAG, after=_EVAL)}),
    ]
