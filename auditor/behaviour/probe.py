"""The behaviour witness from submission to facts: plan, run A, cuts, varied runs, questions, witness files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from auditor.behaviour import smoke, witness
from auditor.behaviour.align import after, last_key, placed_as
from auditor.behaviour.facts import HABITS, Answer, Question, Spot, TraceFacts
from auditor.behaviour.host import GuestGone, RunLog, WireError
from auditor.behaviour.order import EARLY, Cut, comparable, cuts
from auditor.behaviour.picture import picture
from auditor.behaviour.questions.control import Control, lost, needed, whole
from auditor.behaviour.questions.every import ask_all
from auditor.behaviour.questions.normalisation import undecided
from auditor.behaviour.questions.own_target import first_changed, told_of_itself
from auditor.behaviour.questions.prefix_invariance import Comparison, compare
from auditor.behaviour.readings import read_before
from auditor.behaviour.run import Run
from auditor.behaviour.scale.implied import IMPLIED, with_implied
from auditor.behaviour.scale.model import Failure, Frame, Plan
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.scale.retry import retry
from auditor.behaviour.session import Session
from auditor.behaviour.timeline import passes_of, timeline
from auditor.behaviour.toyworld.habits import with_habits
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.toyworld.vary import vary
from auditor.behaviour.witness import Variation, WitnessFile
from auditor.core.submission import Submission
from auditor.core.types import Outcome

NAMES = "BCDEFGH"
LOST = "the varied run was lost"
FEW_CALLS = 150_000
"""Calls of torch in run A (a figure that is the same each time) below which one more cut is tried."""
COPIES = 2
"""Paused copies of run A: weights changed as loaded objects, and as decompressed bytes."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What the caller asks of a probe."""

    unsandboxed: bool = False
    wall_seconds: float = 60.0
    """For one run of the script."""
    witness_dir: Path | None = None
    stated: tuple[str, ...] = ()
    """Log lines that state the claimed score."""
    executed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """File to the lines of print calls that the logs show to have run: `auditor.behaviour.scale.implied`."""
    on_progress: Callable[[str, float | None], None] | None = None
    """Called with a sentence and the share done (None: unknown)."""
    varied_runs: int = 2
    """How many cuts are tried, until one shows a difference; one more where the run is cheap."""
    smoke: bool = True
    """Build the full-size model too."""


@dataclass(slots=True)
class Trial:
    """Everything that the runs of one probe gave."""

    plan: Plan
    world: World
    a: Run | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    varied: list[Run] = field(default_factory=list)
    control: Control | None = None
    """Run A repeated, where a varied run differs from it."""
    perturbed: Run | None = None
    habits: Run | None = None
    """On a stream that repeats itself, where run A hardly showed a mixture."""
    built: smoke.Built | None = None
    attempts: int = 0
    level: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    peak_bytes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    real_bfloat16: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found, and the witness files that let anyone see it again."""

    facts: TraceFacts
    witnesses: tuple[WitnessFile, ...]
    trial: Trial


def probe(submission: Submission, options: ProbeOptions) -> ProbeResult:
    """Run the submission at toy scale, twice and more, and answer every question.

    Raises `auditor.sandbox.NoIsolation` where nothing isolates, ``ValueError`` where there is no script, OSError.
    """
    submission = with_implied(submission, options.executed)
    trial = attempt(submission, options)
    answers: dict[Question, Answer] = {}
    if trial.a is not None and trial.a.log.ended:
        changes = [(c.name, c.old or "", c.new, c.role) for c in trial.plan.changes]
        answers = ask_all(
            trial.a, trial.world, trial.comparisons, trial.varied, changes, trial.perturbed, trial.control, trial.habits
        )
    files, answers = _witnesses(submission, options, trial, answers)
    return ProbeResult(_facts(submission, trial, answers), files, trial)


def attempt(submission: Submission, options: ProbeOptions) -> Trial:
    """Run the submission until it comes to its end, and then again on varied streams. Raises as `probe`."""
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
    """One sandbox: run A and, when it came to its end, the other runs; else the next plan to try."""
    try:
        session = Session(submission, trial.plan, trial.world, options.unsandboxed, real_bfloat16=trial.real_bfloat16)
        with session:
            trial.level, trial.versions = session.level, session.versions
            _say(options, "run A", None)
            log = session.run(trial.world.val, options.wall_seconds, branch=True)
            trial.a = Run(log, trial.world.val, trial.world.spec, options.stated, "A", source_of(submission))
            trial.peak_bytes = max(trial.peak_bytes, log.peak_bytes)
            if not log.ended:
                trial.failures.append(log.failure())
                return _next(submission, options, trial, log)
            _others(session, submission, options, trial)
            assert session.process is not None
            trial.peak_bytes = max(trial.peak_bytes, session.process.peak_memory())
    except (GuestGone, WireError) as error:
        trial.failures.append(str(error))
        trial.comparisons = [replace(c, problem=f"{LOST}: {error}") if c.problem == LOST else c
                             for c in trial.comparisons]  # fmt: skip
    return None


def _next(submission: Submission, options: ProbeOptions, trial: Trial, log: RunLog) -> Plan | None:
    """What to try after a failed run: real bfloat16 where its bits were looked at, else another scale."""
    failure = failure_of(log)
    said = failure.message + " ".join(frame.source for frame in failure.frames)
    if not trial.real_bfloat16 and ("bfloat16" in said or ".view(" in said):
        trial.real_bfloat16 = True
        return trial.plan
    slow = log.seconds > options.wall_seconds / 3
    return None if slow else retry(trial.plan, submission, failure)


def _others(session: Session, submission: Submission, options: ProbeOptions, trial: Trial) -> None:
    """The runs after run A: varied streams, the perturbed artifact, the full-size build."""
    a = trial.a
    assert a is not None
    if a.judged is not None:
        _perturb(session, options, trial)
        found = cuts(a.judged, a.scores, a.updates, a.stream.tokens.size, read_before(a))
        extra = sum((bool(found) and EARLY in found[0].why, int(a.log.finished.get("calls", 0)) < FEW_CALLS))
        chosen = found[: options.varied_runs + extra]
        trial.comparisons = [lost(cut, LOST) for cut in chosen]
        for index, cut in enumerate(chosen):
            _say(options, f"run {NAMES[index]}: {cut.why}", (index + 1) / (len(chosen) + 2))
            b = varied(session, options, trial, cut, index + 1)
            trial.varied.append(b)
            trial.comparisons[index] = compare(a, b, cut)
            if trial.comparisons[index].differs:
                del trial.comparisons[index + 1 :]
                break
        _repeat(session, options, trial)
        if undecided(a) and not any(c.differs for c in trial.comparisons):
            _say(options, "run H: a stream that repeats itself", 0.9)
            stream = with_habits(trial.world)
            log = session.run(stream, options.wall_seconds)
            trial.habits = Run(log, stream, trial.world.spec, options.stated, "H", a.source)
            trial.habits.scores = placed_as(a, trial.habits)
    if options.smoke:
        _say(options, "full-size build", 0.95)
        trial.built = smoke.build(session, submission, trial.plan)


def varied(session: Session, options: ProbeOptions, trial: Trial, cut: Cut, salt: int) -> Run:
    """A run on the stream whose tokens outside ``cut.keep`` are others; it stops where nothing is compared any more."""
    a = trial.a
    assert a is not None and a.judged is not None
    stream = vary(trial.world, cut.keep, salt)
    chosen = np.union1d(comparable(a.judged, a.scores, cut), first_changed(a, cut))
    log = session.run(stream, options.wall_seconds, stop_after=last_key(a, a.judged, chosen))
    trial.peak_bytes = max(trial.peak_bytes, log.peak_bytes)
    return Run(log, stream, trial.world.spec, options.stated, NAMES[salt - 1])


def _repeat(session: Session, options: ProbeOptions, trial: Trial) -> None:
    """Run A again, as far as anything was compared: what differs between two equal runs proves nothing."""
    a = trial.a
    assert a is not None and a.judged is not None
    if not needed(a, trial.comparisons, trial.varied):
        return
    cut = whole(trial.comparisons)
    trial.control = Control(lost(cut, "the repeated run was lost"))
    _say(options, "run A again: is the script deterministic?", 0.8)
    own = [c.cut for c in trial.comparisons if c.own]
    chosen = [comparable(a.judged, a.scores, cut), *(first_changed(a, c) for c in own)]
    stop = last_key(a, a.judged, np.unique(np.concatenate(chosen)))
    log = session.run(trial.world.val, options.wall_seconds, stop_after=stop)
    again = Run(log, trial.world.val, trial.world.spec, options.stated, "A again")
    moved = tuple(int(p) for c in own for p in told_of_itself(a, again, c))
    trial.control = Control(replace(compare(a, again, cut), own=moved), again)


def _perturb(session: Session, options: ProbeOptions, trial: Trial) -> None:
    """What follows, in run A's paused copies, with other weights in the artifact: as far as the first judged scores."""
    a = trial.a
    assert a is not None and a.judged is not None
    paused = next((e.seq for e in a.events if e.kind == "Branched"), None)
    if paused is None or a.judged.first_seq < paused:
        return
    _say(options, "run P: other weights in the artifact", 0.3)
    few = a.judged.seqs == a.judged.seqs[0]
    stop = after(a, last_key(a, a.judged, few.nonzero()[0]), paused)
    for number in range(COPIES):
        log = session.resume(number, options.wall_seconds, stop)
        log.events = [e for e in a.events if e.seq <= paused] + log.events
        trial.perturbed = Run(log, trial.world.val, trial.world.spec, options.stated, "P")
        if any(event.kind == "Perturbed" for event in log.events):
            return


def _witnesses(
    submission: Submission, options: ProbeOptions, trial: Trial, answers: dict[Question, Answer]
) -> tuple[tuple[WitnessFile, ...], dict[Question, Answer]]:
    """A witness file for each piece of evidence, and the answers with the files' names in them."""
    files: list[WitnessFile] = []
    named: dict[Question, Answer] = {}
    differing = [(i, c) for i, c in enumerate(trial.comparisons) if c.differs]
    for question, answer in answers.items():
        evidence = []
        for number, one in enumerate(answer.evidence, 1):
            invariant = question is Question.PREFIX_INVARIANCE and number <= len(differing)
            salt, comparison = differing[number - 1] if invariant else (0, None)
            variation = None
            if comparison is not None:
                variation = Variation(comparison.cut.index, comparison.cut.why, comparison.cut.keep, salt + 1)
            world = trial.world
            if one.stream == HABITS and trial.habits is not None:
                world = replace(world, val=trial.habits.stream)
            file = witness.make(
                submission, trial.plan, world, question, one, number=number, variation=variation,
                stated=options.stated, torch=trial.versions.get("torch", ""),
                compared=comparison.compared if comparison is not None else 0,
                real_bfloat16=trial.real_bfloat16,
            )  # fmt: skip
            files.append(file)
            evidence.append(replace(one, witness_file=file.name))
        named[question] = replace(answer, evidence=tuple(evidence))
    return tuple(files), named


def _facts(submission: Submission, trial: Trial, answers: dict[Question, Answer]) -> TraceFacts:
    a, plan = trial.a, trial.plan
    reached = a is not None and a.log.ended and a.judged is not None
    return TraceFacts(
        answers=answers,
        reached=reached,
        failure=_why(trial),
        failure_spot=_spot(a.log) if a is not None and not a.log.ended else None,
        headline=a.headline.text.strip()[:200] if a is not None and a.headline is not None else "",
        passes=passes_of(a) if reached and a is not None else (),
        timeline=timeline(a) if a is not None else (),
        picture=picture(a, trial.comparisons) if a is not None else None,
        changes=tuple((c.name, c.old or "", c.new, c.how) for c in plan.changes),
        smoke=smoke.block(submission, a, trial.built),
        level=trial.level,
        stubbed=tuple(sorted({str(e.fields.get("module", "")) for e in a.events if e.kind == "Stubbed"})) if a else (),
        attempts=trial.attempts,
        seconds=trial.seconds,
        peak_bytes=trial.peak_bytes,
        notes=_notes(trial, answers),
    )


def _why(trial: Trial) -> str:
    """Why the questions could not be asked; empty when they could."""
    a = trial.a
    if a is None:
        return trial.failures[-1] if trial.failures else "the script was not run"
    if not a.log.ended:
        return a.log.failure()
    if a.headline is None and a.stated and a.reports:
        return f"the toy run did not print the line of the claimed score ({a.stated[0].strip()[:80]})"
    if a.headline is None:
        return "the script ended without printing a score"
    return "" if a.judged is not None else "no recorded score stands behind the printed one"


def _spot(log: RunLog) -> Spot | None:
    for frame in reversed(failure_of(log).frames):
        if not frame.file.startswith("/"):
            return Spot(frame.file, frame.line, frame.source, frame.function)
    return None


def _notes(trial: Trial, answers: dict[Question, Answer]) -> tuple[str, ...]:
    notes = [f"Toy run: {note}" for note in trial.plan.notes]
    proved = [f"{name}={value}" for name, value, where in trial.plan.settings if where.startswith(f"{IMPLIED}:")]
    if proved:
        notes.append(f"Switched on, for the logs show lines that stand behind it: {', '.join(proved)}.")
    unknown = [q.value for q, a in answers.items() if a.outcome is Outcome.UNKNOWN]
    if unknown:
        notes.append(f"The toy run could not answer: {', '.join(sorted(unknown))}.")
    notes.append("A script written to detect the toy run can behave well under it.")
    notes.append("A script that attacks its own recorder can forge what is seen of it.")
    return tuple(notes)


def source_of(submission: Submission) -> str:
    """The text of the script and its modules."""
    files = (*((submission.entry,) if submission.entry else ()), *submission.modules)
    return "\n".join(file.text for file in files)


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
