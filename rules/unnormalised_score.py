"""The counted probabilities are no distribution of the past alone."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from rules._examples import script
from rules._trace import ruled, unnormalised


class UnnormalisedScore(Rule):
    """What it does:
    Bets on the counted probabilities against the known generator of a toy validation stream. A scorer whose
    probabilities sum to at most one and are made of the past alone cannot let such a bet grow a millionfold but with
    a chance of one in a million. Faults whose way is known (a scaled loss, the better of two, a keyed cache) are
    reported by the rules for these.

    Why it is not allowed:
    Bits per byte are those of a normalised distribution over the vocabulary, fixed before the token is seen.

    How to fix it:
    Make the whole distribution first, normalise it, and pick the token's entry last.

    Known limits:
    A small excess at toy scale, or a mixture that the toy text hardly ever reaches, is not seen.

    Authority:
    valerio-oai on #779 ("do not renormalize correctly") and #1185 [M*]; the condition C2.
    """

    title = "The counted probabilities are not normalised, or use the token that they score"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #779, #1185 [M*]; cocohearts on #2103 [M]"
    since = "2026-03-27"

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a fault of normalisation of unknown way."""
        return ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission))

    VALID = [Example("plain evaluation", {"train_gpt.py": script()})]
