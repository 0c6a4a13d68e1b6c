"""The behaviour witness from submission to facts: plan, run A, cuts, varied runs, questions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from auditor.behaviour.host import GuestGone, RunLog, WireError
from auditor.behaviour.order import Cut, cuts
from auditor.behaviour.questions.prefix_invariance import Comparison, compare
from auditor.behaviour.run import Run
from auditor.behaviour.scale.model import Failure, Frame, Plan
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.scale.retry import retry
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.toyworld.vary import vary
from auditor.core.submission import Submission


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What the caller asks of a probe."""

    unsandboxed: bool = False
    wall_seconds: float = 60.0
    """For one run of the script."""
    witness_dir: Path | None = None
    stated: tuple[str, ...] = ()
    """Log lines that state the claimed score."""
    on_progress: Callable[[str, float | None], None] | None = None
    """Called with a sentence and the share done (None: unknown)."""
    varied_runs: int = 2
    """How many cuts are tried."""


@dataclass(slots=True)
class Trial:
    """Everything that the runs of one probe gave."""

    plan: Plan
    world: World
    a: Run | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    varied: list[Run] = field(default_factory=list)
    attempts: int = 0
    level: str = ""
    peak_bytes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def attempt(submission: Submission, options: ProbeOptions) -> Trial:
    """Run the submission until it comes to its end, and then again on varied streams.

    Raises `NoIsolation` where nothing isolates, ``ValueError`` where there is no script.
    """
    start = time.monotonic()
    plan: Plan | None = make_plan(submission)
    assert plan is not None
    trial = Trial(plan, make_world(plan.world))
    while plan is not None:
        trial.plan, trial.attempts = plan, trial.attempts + 1
        if plan.world != trial.world.spec:
            trial.world = make_world(plan.world)
        plan = _session(submission, options, trial)
    trial.seconds = time.monotonic() - start
    return trial


def _session(submission: Submission, options: ProbeOptions, trial: Trial) -> Plan | None:
    """One sandbox: run A and, when it came to its end, the varied runs; else the next plan to try."""
    try:
        with Session(submission, trial.plan, trial.world, options.unsandboxed) as session:
            trial.level = session.level
            _say(options, "run A", None)
            log = session.run(trial.world.val, options.wall_seconds)
            trial.a = Run(log, trial.world.val, trial.world.spec, options.stated, "A")
            trial.peak_bytes = max(trial.peak_bytes, log.peak_bytes)
            if not log.ended:
                trial.failures.append(log.failure())
                slow = log.seconds > options.wall_seconds / 3
                return None if slow else retry(trial.plan, submission, failure_of(log))
            _vary(session, options, trial)
            assert session.process is not None
            trial.peak_bytes = max(trial.peak_bytes, session.process.peak_memory())
    except (GuestGone, WireError) as error:
        trial.failures.append(str(error))
    return None


def _vary(session: Session, options: ProbeOptions, trial: Trial) -> None:
    a = trial.a
    assert a is not None
    if a.judged is None:
        return
    chosen = cuts(a.judged, a.scores, a.updates, a.stream.tokens.size)[: options.varied_runs]
    for index, cut in enumerate(chosen):
        _say(options, f"run {'BCDE'[index]}: {cut.why}", (index + 1) / (len(chosen) + 1))
        b = varied(session, options, trial, cut, index + 1)
        trial.varied.append(b)
        trial.comparisons.append(compare(a, b, cut))


def varied(session: Session, options: ProbeOptions, trial: Trial, cut: Cut, salt: int) -> Run:
    """A run on the stream whose tokens outside ``cut.keep`` are others."""
    stream = vary(trial.world, cut.keep, salt)
    log = session.run(stream, options.wall_seconds)
    trial.peak_bytes = max(trial.peak_bytes, log.peak_bytes)
    return Run(log, stream, trial.world.spec, options.stated, "BCDE"[salt - 1])


def failure_of(log: RunLog) -> Failure:
    """A run's failure as the scale-down reads it."""
    if not log.finished:
        return Failure("Killed", log.failure())
    frames = tuple(
        Frame(str(f[0]).removeprefix("/golf/run/"), int(f[1]), str(f[2]), str(f[3]))
        for f in log.finished.get("frames", [])
    )
    return Failure(str(log.finished["error"]), str(log.finished["message"]), frames)


def _say(options: ProbeOptions, text: str, share: float | None) -> None:
    if options.on_progress is not None:
        options.on_progress(text, share)
