"""Intake: from a path to a ``Submission``.

Nothing of a submission is ever executed, no link is followed out of its folder, nothing is written anywhere.
"""

from __future__ import annotations

from auditor.intake.errors import IntakeError, NoSubmission, NoSuchFolder, SeveralSubmissions
from auditor.intake.load import load_submission

__all__ = ["IntakeError", "NoSubmission", "NoSuchFolder", "SeveralSubmissions", "load_submission"]
