"""The audit's way to the behaviour witness: can it run here, what is asked of it, and what the report gets to know.

Nothing heavy is imported before the witness runs.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.core.submission import Submission
from auditor.core.types import BehaviourInfo, SmokeInfo

if TYPE_CHECKING:
    from auditor.behaviour.facts import Evidence, Smoke, TraceFacts

INSTALL_TORCH = "torch is not installed (pip install 'golf-audit[torch]')"
OR_UNSANDBOXED = "or --unsandboxed runs the submission's code without isolation"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the witness; see `auditor.behaviour.probe.ProbeOptions`."""

    unsandboxed: bool = False
    run_seconds: float = 60.0
    witness_dir: Path | None = None
    stated: tuple[str, ...] = ()
    executed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    on_progress: Callable[[str, float | None], None] | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the witness said, and the witness files that were written for it."""

    facts: TraceFacts
    written: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report's coverage."""
        return self.facts.notes


def why_not(unsandboxed: bool) -> str:
    """Why the witness cannot run on this machine, with what to do about it; empty when it can."""
    if importlib.util.find_spec("torch") is None:
        return INSTALL_TORCH
    if unsandboxed:
        return ""
    from auditor.sandbox import Level, detect

    found = detect()
    if found.level is not Level.NONE:
        return ""
    hint = f"{found.hint}, " if found.hint else ""
    return f"nothing isolates untrusted code here: {found.reason} ({hint}{OR_UNSANDBOXED})"


def listen(submission: Submission, request: Request) -> Heard:
    """Run the probe. Raises what `auditor.behaviour.probe.probe` raises, and OSError when a file cannot be written."""
    from auditor.behaviour import witness
    from auditor.behaviour.probe import ProbeOptions, probe

    options = ProbeOptions(
        unsandboxed=request.unsandboxed, wall_seconds=request.run_seconds, witness_dir=request.witness_dir,
        stated=request.stated, executed=request.executed, on_progress=request.on_progress,
    )  # fmt: skip
    result = probe(submission, options)
    written: tuple[str, ...] = ()
    if request.witness_dir is not None:
        written = tuple(str(path) for path in witness.write(result.witnesses, request.witness_dir))
    return Heard(located(result.facts, written), written)


def located(facts: TraceFacts, written: tuple[str, ...]) -> TraceFacts:
    """The facts with each witness file under the name by which it can be opened; None where it was not written."""
    places = {os.path.basename(path): path for path in written}

    def evidence(one: Evidence) -> Evidence:
        return replace(one, witness_file=places.get(os.path.basename(one.witness_file or "")))

    answers = {q: replace(a, evidence=tuple(evidence(e) for e in a.evidence)) for q, a in facts.answers.items()}
    return replace(facts, answers=answers)


def not_run(submission: Submission, reason: str) -> BehaviourInfo:
    """The report's block when nothing was executed; the size of the code is known all the same."""
    return BehaviourInfo(not_run=reason, smoke=SmokeInfo(code_bytes=code_bytes(submission)))


def info(submission: Submission, heard: Heard) -> BehaviourInfo:
    """The report's block from what the witness said."""
    facts = heard.facts
    return BehaviourInfo(
        not_run="", level=facts.level, reached=facts.reached, failure=failure_line(facts), headline=facts.headline,
        attempts=facts.attempts, toy_settings=len(facts.changes), passes=len(facts.passes),
        answers=tuple((a.question.value, a.outcome, a.reason) for _, a in sorted(facts.answers.items())),
        witness_files=heard.written, seconds=facts.seconds, peak_bytes=facts.peak_bytes,
        smoke=smoke_info(submission, facts.smoke), picture=facts.picture,
    )  # fmt: skip


def failure_line(facts: TraceFacts) -> str:
    """Why the run did not get to its score, with the script's own line once."""
    spot = facts.failure_spot
    at = f"{spot.file}:{spot.line}" if spot is not None else ""
    return f"{facts.failure} ({at})" if at and at not in facts.failure else facts.failure


def smoke_info(submission: Submission, smoke: Smoke) -> SmokeInfo:
    """The smoke block as reports know it."""
    size = smoke.code_bytes if smoke.code_bytes is not None else code_bytes(submission)
    return SmokeInfo(
        smoke.imports, smoke.builds, smoke.parameters, smoke.forward_backward, size, smoke.seconds, smoke.notes
    )


def code_bytes(submission: Submission) -> int | None:
    """Bytes of the script and of the code beside it that the run loads, as shipped."""
    from auditor.core.submission import Role

    if submission.entry is None:
        return None
    beside = (f for f in submission.modules if f.role in (Role.MODULE, Role.NATIVE) and "!/" not in f.path)
    return submission.entry.shipped_bytes + sum(f.shipped_bytes for f in beside)
