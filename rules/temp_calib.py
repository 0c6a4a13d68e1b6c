"""A constant of the evaluation is fitted on validation scores."""

from __future__ import annotations

import re

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import MixKind, Order, SourceFacts, StateKind
from rules._examples import scored, script
from rules._examples_calib import TEMPERATURE_FIT, TEMPERATURE_GRID, mark
from rules._lookups import mix_findings
from rules._order import conclude, distinct, pair_findings, pairs

_ID = "temp-calib"
_TEMPERATURE = re.compile(r"temp", re.I)
"""In the name of the function that fits a vector: it is a temperature, and this rule's business."""
_BEST = '''\
best_t, best_loss = 1.0, float("inf")
for t in (0.94, 0.96, 0.98, 1.0):
    trial, _ = score_at(args, model, val_tokens, byte_lut, t)
    if trial < best_loss:
        best_t, best_loss = t, trial@@
val_loss, val_bpb = score_at(args, model, val_tokens, byte_lut, best_t)
log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_MIN_KEY = '''\
grid = [0.9, 0.95, 1.0]
chosen = min(grid, key=lambda t: score_at(args, model, val_tokens, byte_lut, t)[0])@@
val_loss, val_bpb = score_at(args, model, val_tokens, byte_lut, chosen)
log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_FIT = '''\
temperature = fit_temperature(args, model, @@TOKENS@@)
val_loss, val_bpb = score_at(args, model, val_tokens, byte_lut, temperature)
log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''


class TempCalib(Rule):
    """What it does:
    A temperature, a mixing weight or a similar constant is chosen by the scores of validation tokens, and the same
    tokens are reported with it.

    Why it is not allowed:
    It is fitted on tokens that had not been scored when it was chosen. Part of the closure of #991, known from
    participants' quotations only, therefore listed as disputed.

    How to fix it:
    Fix the constant before the evaluation, or fit it on training text inside the clock.

    Known limits:
    A constant tuned by hand over several runs cannot be seen.

    Authority:
    #991 as quoted [M-q]; README O9 by consequence.
    """

    title = "A temperature is fitted on validation scores"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "#991 as quoted [M-q]"
    since = "2026-03-28"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a constant chosen by validation scores, or a temperature vector trained on them, reaches a score."""
        message = "a constant is chosen here by scores of the validation tokens that are reported with it"
        fitted = [
            pair for pair in pairs(facts, StateKind.VECTOR)
            if pair.order is Order.EARLIER_PASS and _TEMPERATURE.search(pair.update.site.function)
        ]
        findings = mix_findings(facts, MixKind.TUNED_ON_SCORE, message) + pair_findings(fitted, message)
        return conclude(
            facts, distinct(findings), "a constant is fitted on validation scores",
            "no constant is fitted on validation scores",
        )

    VALID = [
        Example("constant temperature", {"train_gpt.py": script(
            TEMPERATURE_GRID, after=scored("score_at(args, model, val_tokens, byte_lut, 0.98)"))}),
        Example("fitted on training tokens", {"train_gpt.py": script(
            mark(TEMPERATURE_FIT) + TEMPERATURE_GRID,
            before="train_tokens = load_data_shard(sorted(glob.glob(args.train_files))[0])\n",
            after=_FIT.replace("@@TOKENS@@", "train_tokens"))}),
        Example("plain evaluation", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("grid with a running minimum", {"train_gpt.py": script(TEMPERATURE_GRID, after=mark(_BEST, _ID))}),
        Example("min with a key", {"train_gpt.py": script(TEMPERATURE_GRID, after=mark(_MIN_KEY, _ID))}),
        Example("gradient fit on validation tokens", {"train_gpt.py": script(
            mark(TEMPERATURE_FIT, _ID) + TEMPERATURE_GRID, after=_FIT.replace("@@TOKENS@@", "val_tokens"))}),
    ]
