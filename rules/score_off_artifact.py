"""The claimed score is not made with the weights of the counted artifact."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from rules._examples import script
from rules._trace import always, ruled


class ScoreOffArtifact(Rule):
    """What it does:
    Runs the script at toy scale once more with other weights in the artifact that it reads back: a score that stays
    the same to the bit was made with weights that never went through the artifact (the float model before
    quantisation, a copy, another file).

    Why it is not allowed:
    The bytes that are counted must hold the model that is scored. Otherwise the score belongs to a model of any size.

    How to fix it:
    Load the artifact into the model that the final evaluation scores, and report that score.

    Known limits:
    An artifact that is never read back, or in a way that cannot be changed, gives no answer. No ruling on a scored
    float model was found, so a finding goes to review.

    Authority:
    README O1 (code plus compressed model are the artifact); no ruling on this form.
    """

    title = "The claimed score is not made with the artifact's weights"
    ruling = Ruling.UNRULED
    kind = Kind.INTEGRITY
    authority = "README O1 [M]; no ruling on a score of unquantised weights"
    since = "2026-03-18"

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: the judged score stays when the artifact's weights change."""
        return ruled(facts, Question.ROUND_TRIP, self.id(), always(self.id()))

    VALID = [Example("plain evaluation", {"train_gpt.py": script()})]
