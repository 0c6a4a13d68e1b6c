"""What a report says of the submission itself: its folder, its script, the settings of its launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditor.core.submission import Submission
from auditor.core.types import SubmissionInfo


def submission_info(submission: Submission) -> SubmissionInfo:
    """Folder, track and script."""
    entry = submission.entry
    return SubmissionInfo(
        path=shown(submission.root),
        track=submission.track,
        script=entry.path if entry else None,
        script_sha256=entry.sha256 if entry else None,
        packed=entry.packed if entry else None,
    )


def shown(root: Path) -> str:
    """The folder as the reader knows it: relative to where the command was started, when it lies below."""
    here = Path.cwd()
    return str(root.relative_to(here)) if root != here and root.is_relative_to(here) else str(root)


def settings(submission: Submission) -> tuple[tuple[str, str, str], ...]:
    """Launch settings in force, each with where it stands; what the log says ran wins."""
    launch = submission.launch
    chosen = {**launch.env, **launch.logged}
    return tuple((s.name, s.value, f"{s.how}, {s.origin}") for _, s in sorted(chosen.items()))


def fact_notes(facts: Any) -> list[str]:
    """A witness's own sentences on what it could not follow, and on what is switched off."""
    notes = [str(note) for note in getattr(facts, "notes", ())]
    if not getattr(facts, "complete", True):
        notes.append("The source witness's walk was cut short: part of the code was not followed.")
    notes.extend(str(sentence) for sentence in getattr(facts, "unresolved", ()))
    notes.extend(
        f"Switched off: in {d.function} at {d.site.file}:{d.site.line}, because {d.value}"
        for d in getattr(facts, "disabled", ())
    )
    return notes
