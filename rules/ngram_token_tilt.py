"""Recognised: a hint from the prefix tilts the logits."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import scored, script
from rules._examples_tables import DICT_CACHE, GATED_HINTS, HINT_INLINE, HINT_SWEEP
from rules._lookups import legal_reads, lookup_findings
from rules._order import recognise

_EVAL = scored("eval_tilted(args, model, val_tokens, byte_lut)")


class NgramTokenTilt(Rule):
    """What it does:
    A table of the tokens before a position proposes one next token; the logit of that token is raised by a constant
    before the softmax, so that the distribution stays normalised, and the table is updated afterwards.

    Why it is allowed:
    The hint depends on scored tokens only and the result is a distribution over the vocabulary; merged #1514 and row
    #2135 do it.

    How to fix it:
    Nothing to fix. Count the making of the hint table into the evaluation time.

    Known limits:
    Hints made in C or Triton side files are not seen.

    Authority:
    Merge of #1514, leaderboard row #2135 [M-git]; #1145 as quoted by #1437 [M-q].
    """

    title = "Hint from the prefix tilts the logits"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "merged #1514, row #2135 [M-git]"
    since = "2026-04-29"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: hints read by context reach the score, and no look-up by the target does."""
        findings = lookup_findings(facts, legal_reads(facts, "hint"), "a hint is read here from the prefix's table")
        return recognise(facts, findings, "a hint from the prefix tilts the logits", "no such hint was found")

    VALID = [
        Example("target-keyed cache", {"train_gpt.py": script(
            DICT_CACHE, after=scored("eval_cache(args, model, val_tokens, byte_lut)"))}),
        Example("gated by the target", {"train_gpt.py": script(
            GATED_HINTS, after=scored("eval_gated(args, model, val_tokens, byte_lut)"))}),
        Example("no table", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("hints from one sweep", {"train_gpt.py": script(HINT_SWEEP, after=_EVAL)}),
        Example("hints as it goes", {"train_gpt.py": script(HINT_INLINE, after=_EVAL)}),
    ]
