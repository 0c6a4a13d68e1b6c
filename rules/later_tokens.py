"""Scores depend on tokens that are scored later, by a way that is not known more closely."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from rules._examples import script
from rules._trace import order_ruled


class LaterTokens(Rule):
    """What it does:
    Runs the submission twice on toy data whose validation tokens differ only where they are scored later, and finds
    scores that change all the same. Differences whose way is known (training, a second pass, calibration, the model
    itself) are reported by the rules for these.

    Why it is not allowed:
    A token may be predicted from the artifact and from tokens that were scored before it, nothing else.

    How to fix it:
    Look for state that was made of the validation text before or outside the scoring loop.

    Known limits:
    Only as far as the toy run goes; behaviour that hangs on the size of the data is not seen.

    Authority:
    README O8, O9; cocohearts names the condition C1/C3 in his notes [M].
    """

    title = "Scores depend on tokens that are scored later"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O8, O9 [M]; strict causality (C1) as used by cocohearts [M]"
    since = "2026-03-20"

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a prefix-invariance difference of unknown way."""
        return order_ruled(facts, self.id())

    VALID = [Example("plain evaluation", {"train_gpt.py": script()})]
