"""The best of several losses of the same token."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import MixKind, SourceFacts
from rules._examples import TTT_FLAGS, score_first, scored, script
from rules._examples_epochs import (
    FIRST_EPOCH,
    KEEP_BEST_WEIGHTS,
    MIN_BUILTIN,
    MIN_EPOCH_DOC,
    MIN_PASS_TORCH,
)
from rules._order import conclude, distinct, event_finding
from rules._trace import order_ruled

_EVAL = scored("eval_best(args, model, val_tokens, byte_lut)")


class MinNllEpochs(Rule):
    """What it does:
    The same validation tokens are scored in several epochs or passes and the lowest loss is kept.

    Why it is not allowed:
    The choice is made after the outcome is known, and all but the first pass have been trained on the tokens.

    How to fix it:
    Report the first score of each token.

    Known limits:
    Minima over things that are no losses of validation targets (learning rates, clip ranges) are not meant.

    Authority:
    valerio-oai on #573 ("choosing the best NLL"), #614 ("leaks information"), #685 [M*].
    """

    title = "The lowest loss over epochs or passes is reported"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #573, #614, #685 [M*]"
    since = "2026-03-23"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a minimum over passes reaches a reported score."""
        message = "the lowest of several losses of the same tokens is kept here"
        findings = [
            event_finding(facts, mix.site, mix.path, mix.guard, mix.scores, message)
            for mix in facts.mixes if mix.kind is MixKind.MIN_OVER_PASSES
        ]
        return conclude(
            facts, distinct([f for f in findings if f]), "the lowest loss over epochs or passes is reported",
            "no minimum over several losses of the same tokens is taken",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: the lowest of several losses is counted, after training on the tokens."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("score-first", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS, after=scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)"))}),
        Example("first epoch counts", {"train_gpt.py": script(
            FIRST_EPOCH, flags=TTT_FLAGS, after=scored("eval_epochs(args, model, val_tokens, byte_lut)"))}),
        Example("minimum of weights, not of losses", {"train_gpt.py": script(KEEP_BEST_WEIGHTS, after=_EVAL)}),
    ]
    INVALID = [
        Example("best epoch per window", {"train_gpt.py": script(MIN_EPOCH_DOC, flags=TTT_FLAGS, after=_EVAL)}),
        Example("torch.minimum across passes", {"train_gpt.py": script(MIN_PASS_TORCH, flags=TTT_FLAGS, after=_EVAL)}),
        Example("built-in min over a list", {"train_gpt.py": script(MIN_BUILTIN, flags=TTT_FLAGS, after=_EVAL)}),
    ]
