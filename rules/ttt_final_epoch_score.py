"""The reported score is that of a later epoch."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import MixKind, Order, SourceFacts, StateKind
from rules._examples import TTT_FLAGS, score_first, scored, script
from rules._examples_epochs import (
    CHUNK_OBJECTS,
    DOC_DICT_OVERWRITTEN,
    FIRST_EPOCH,
    LAST_EPOCH,
    RESET_PER_EPOCH,
    marked,
)
from rules._order import conclude, pair_findings, pairs
from rules._trace import order_ruled

_ID = "ttt-final-epoch-score"
_EVAL = scored("eval_epochs(args, model, val_tokens, byte_lut)")


class TttFinalEpochScore(Rule):
    """What it does:
    A loop of several epochs over the same validation tokens trains on them, and the reported loss is taken from an
    epoch after the first, in which these tokens have been trained on already.

    Why it is not allowed:
    Only the first score of a token is a prediction. The loss after training on it is a training loss ("equivalent
    to training on test").

    How to fix it:
    Accumulate the loss in the first epoch only, or score once before all epochs.

    Known limits:
    A loop whose number of turns resolves to one is no repetition. Where the turns cannot be resolved the loop is
    taken to repeat. Minima over epochs are reported by ``min-nll-epochs``.

    Authority:
    valerio-oai on #568, #596, #605, #642 and others [M*], pull requests of 23 to 25 March.
    """

    title = "The reported score comes from a later epoch over the same tokens"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #568, #596, #605, #642 [M*]; README O9 [M]"
    since = "2026-03-23"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a loop repeats update and score over the same data, and later turns are reported."""
        minima = {s for mix in facts.mixes if mix.kind is MixKind.MIN_OVER_PASSES for s in mix.scores}
        illegal = [
            pair for pair in pairs(facts, StateKind.WEIGHTS)
            if pair.order is Order.REPEATED and pair.score.id not in minima
        ]
        message = "validation tokens are trained on here, and their loss in a later epoch is what is reported"
        return conclude(
            facts, pair_findings(illegal, message), "the reported score comes from a later epoch over the same tokens",
            "no score is taken from a later epoch over the same tokens",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: an earlier epoch of the same loop trained on the tokens."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("epochs after the score", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS, after=scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)"))}),
        Example("first epoch counts", {"train_gpt.py": script(FIRST_EPOCH, flags=TTT_FLAGS, after=_EVAL)}),
        Example("one epoch by default", {"train_gpt.py": script(
            marked(RESET_PER_EPOCH), flags='ttt_epochs = int(os.environ.get("TTT_EPOCHS", 1))\n', after=_EVAL)}),
        Example("chunks as objects", {"train_gpt.py": script(CHUNK_OBJECTS, flags=TTT_FLAGS, after=_EVAL)}),
        Example("no adaptation", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("last epoch counts", {"train_gpt.py": script(marked(LAST_EPOCH, _ID), flags=TTT_FLAGS, after=_EVAL)}),
        Example("sums reset in each epoch", {"train_gpt.py": script(
            marked(RESET_PER_EPOCH, _ID), flags=TTT_FLAGS, after=_EVAL)}),
        Example("losses overwritten in a dict", {"train_gpt.py": script(
            marked(DOC_DICT_OVERWRITTEN, _ID), flags=TTT_FLAGS, after=_EVAL)}),
        Example("one epoch by default, five in the run script", {
            "train_gpt.py": script(
                marked(RESET_PER_EPOCH, _ID), flags='ttt_epochs = int(os.environ.get("TTT_EPOCHS", 1))\n', after=_EVAL),
            "run.sh": "TTT_EPOCHS=5 torchrun --standalone --nproc_per_node=8 train_gpt.py\n"}),
    ]
