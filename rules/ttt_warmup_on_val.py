"""A throw-away update on validation tokens warms up the compiler."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import TTT_FLAGS, prequant, score_first, scored, script
from rules._examples_calib import WARMUP, mark
from rules._examples_prequant import RANDOM_WARMUP
from rules._order import Standing, conclude, distinct, place, standing, trains_on_val

_ID = "ttt-warmup-on-val"
_TTT = scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)")


class TttWarmupOnVal(Rule):
    """What it does:
    Before scoring, an update step runs on real validation tokens with objects that no score depends on: a throw-away
    adapter, or weights that are put back afterwards, usually to warm up the compiler.

    Why it is not allowed:
    Disputed and tolerated: participants flagged it, the leaderboard row of #1530 was kept. Nothing is learned if all
    state is reset.

    How to fix it:
    Warm up on random tokens.

    Known limits:
    If state survives the warm-up, a score depends on it and ``ttt-pre-quant`` reports it.

    Authority:
    Merged #1530 [M-git]; flagged by participants on #1530, #1899, #1900 [P].
    """

    title = "Warm-up steps on validation tokens"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "merged #1530 kept [M-git]; flagged on #1530, #1899, #1900 [P]"
    since = "2026-04-11"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: an update from validation tokens, before the last score, on which no score or diagnostic depends."""
        scores = [score for score in facts.scores if standing(facts, score) is not Standing.TRAINING_LOSS]
        used = {update for score in scores for update in score.depends_on}
        last = max((score.position for score in scores), default=-1)
        idle = [
            update for update in facts.updates
            if update.kind in (StateKind.WEIGHTS, StateKind.VECTOR) and Origin.VAL in update.origins
            and update.id not in used and update.position < last and not trains_on_val(facts, update)
        ]
        findings = [
            Finding(
                Confidence.MEDIUM if update.guard else Confidence.HIGH,
                "a step on validation tokens that no score depends on, before scoring", place(update.site), update.path,
            )
            for update in idle
        ]
        return conclude(
            facts, distinct(findings), "a throw-away update runs on validation tokens before scoring",
            "no throw-away update on validation tokens",
        )

    VALID = [
        Example("random tokens", {"train_gpt.py": script(
            RANDOM_WARMUP + score_first(), flags=TTT_FLAGS, after="warm_up(args, model)\n" + _TTT)}),
        Example("the update is used", {"train_gpt.py": script(score_first(), flags=TTT_FLAGS, after=_TTT)}),
        Example("state survives: another rule's", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS, before="ttt_adapt(args, model, val_tokens, log0)\n")}),
    ]
    INVALID = [
        Example("throw-away adapter", {"train_gpt.py": script(
            mark(WARMUP, _ID), after="compile_warmup(args, model, val_tokens)\n"
            + scored("eval_val(args, model, val_tokens, byte_lut)"))}),
        Example("copy of the model", {"train_gpt.py": script(
            prequant(_ID), flags=TTT_FLAGS, imports="import copy\n",
            before="probe = copy.deepcopy(model)\nttt_adapt(args, probe, val_tokens[:4097], log0)\ndel probe\n")}),
    ]
