"""The smoke block, host side: does the script import, build its full-size model, and learn a step at toy size?"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass

from auditor.behaviour.audit import code_bytes
from auditor.behaviour.facts import Smoke
from auditor.behaviour.host import GuestGone, RunCommand, RunLog, WireError
from auditor.behaviour.run import Run
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.scale.plan import guest_path, read_sources
from auditor.behaviour.scale.rewrite import with_helpers
from auditor.behaviour.session import BASE, GUEST_ENV, RUN, Session
from auditor.core.submission import Submission

WALL_SECONDS = 8.0
FOLDER = "full"
_STATED = re.compile(
    r"\b(?:model_params|n_params|num_params|total_params|parameters|params)\s*[:=]\s*([\d,_]{5,})", re.I
)
MAX_LINES = 4000
_NO_IMPORT = frozenset({"ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError"})


@dataclass(frozen=True, slots=True)
class Built:
    """What came of building the full-size model. ``parameters`` is None where ``reason`` says why."""

    parameters: int | None
    model: str = ""
    """Name of its class."""
    reason: str = ""
    seconds: float = 0.0


def build(session: Session, submission: Submission, plan: Plan) -> Built:
    """Build the full-size model in ``session``'s guest, under the launch settings.

    First without its memory; a constructor that reads a value of a tensor cannot do without, and is given memory, but
    no initial values. Raises nothing: a lost guest is a reason too.
    """
    _write_full(session, submission, plan)
    first = _try(session, submission, plan, "meta")
    if first.parameters is not None or "timed out" in first.reason:
        return first
    second = _try(session, submission, plan, "memory")
    seconds = first.seconds + second.seconds
    reason = "" if second.parameters is not None else first.reason
    return Built(second.parameters, second.model, reason, seconds)


def _write_full(session: Session, submission: Submission, plan: Plan) -> None:
    """The files that the toy plan rewrites, as they are, below the guest's read-only folder."""
    folder = session.base / FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    if not any(change.how == "rewrite" for change in plan.changes):
        return
    for source in read_sources(submission):
        target = folder / guest_path(source.file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(with_helpers(source.parsed), encoding="utf-8", errors="surrogateescape")


def full_env(submission: Submission, plan: Plan) -> dict[str, str]:
    """The plan's environment with every toy value taken back to the launch's, or to none."""
    launch = {name: setting.value for name, setting in submission.launch.env.items()}
    env = dict(plan.env)
    for change in plan.changes:
        if change.how == "env":
            env.pop(change.name, None)
            if change.name in launch and "\0" not in launch[change.name]:
                env[change.name] = launch[change.name]
    return env


def _try(session: Session, submission: Submission, plan: Plan, how: str) -> Built:
    plain = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/golf", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
    command = RunCommand(
        plan.script, submission.launch.argv, {**full_env(submission, plan), **GUEST_ENV, **plain}, RUN, session.seed,
        WALL_SECONDS, copy=session.copies(), smoke=(how, f"{BASE}/{FOLDER}"),
    )  # fmt: skip
    try:
        log = session.send(command)
    except (GuestGone, WireError) as error:
        return Built(None, reason=str(error))
    return _read(log)


def _read(log: RunLog) -> Built:
    fields = next((e.fields for e in log.events if e.kind == "Built"), None)
    if fields is None:
        return Built(None, reason=log.failure() or "no answer", seconds=log.seconds)
    if int(fields["parameters"]) > 0:
        return Built(int(fields["parameters"]), str(fields["model"]), "", log.seconds)
    if not fields["error"]:
        return Built(None, reason="no module was constructed", seconds=log.seconds)
    own = [f for f in fields["frames"] if str(f[0]).startswith("/golf/")]
    at = f" at {os.path.basename(own[-1][0])}:{own[-1][1]}" if own else ""
    return Built(None, reason=f"{fields['error']}: {fields['message']}{at}", seconds=log.seconds)


def block(submission: Submission, run: Run | None, built: Built | None) -> Smoke:
    """The smoke block from run A and what building gave; either may be missing."""
    notes: list[str] = []
    if built is not None and built.parameters is None:
        notes.append(f"the full-size model was not built: {built.reason}")
    elif built is not None and built.parameters is not None:
        notes += _other_count(submission, built.parameters)
    log = run.log if run is not None else None
    return Smoke(
        imports=_imports(log, built),
        builds=True if built is not None and built.parameters is not None else None,
        parameters=built.parameters if built is not None else None,
        forward_backward=_learns(log),
        code_bytes=code_bytes(submission),
        seconds=log.seconds if log is not None else None,
        notes=tuple(notes),
    )


def stated_parameters(submission: Submission) -> tuple[int, ...]:
    """Numbers of parameters that the logs state, each once, in their order."""
    found: dict[int, None] = {}
    for log in submission.logs:
        for line in log.lines[:MAX_LINES]:
            match = _STATED.search(line) if len(line) < 400 else None
            if match and (digits := match.group(1).replace(",", "").replace("_", "")).isdigit():
                found[int(digits)] = None
    return tuple(found)


def _other_count(submission: Submission, parameters: int) -> list[str]:
    """A sentence when the logs state another size: then a setting of the claimed run is not known."""
    stated = stated_parameters(submission)
    if not stated or parameters in stated:
        return []
    return [
        f"the log states {stated[0]:,} parameters, the script under the known launch settings builds {parameters:,}: "
        "a setting that decides the size is stated nowhere"
    ]


def _imports(log: RunLog | None, built: Built | None) -> bool | None:
    """Whether the script's own first lines, with what they import, ran."""
    if built is not None and built.parameters is not None:
        return True
    if log is None:
        return None
    if log.ended or any(e.kind in ("Scored", "Trained", "Loaded") for e in log.events):
        return True
    if log.finished.get("error") in _NO_IMPORT:
        return False
    inside = [f for f in log.finished.get("frames", []) if str(f[0]).startswith("/golf/") and f[2] != "<module>"]
    return True if inside else None


def _learns(log: RunLog | None) -> bool | None:
    """Whether a loss was computed and gradients taken of it at toy size."""
    if log is None:
        return None
    kinds = {e.kind for e in log.events}
    if {"Scored", "Trained"} <= kinds:
        return True
    return None if log.ended else False
