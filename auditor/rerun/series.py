"""A whole re-run: set-up, the seeds one after another, the record; resumed where an earlier one was broken off."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from auditor import __version__
from auditor.core.submission import Submission
from auditor.core.text import plain
from auditor.record.facts import RecordFacts
from auditor.rerun import leftovers, record
from auditor.rerun.environment import SetupError
from auditor.rerun.facts import RerunRecord, SeedEnd, SeedRun
from auditor.rerun.interrupts import quiet
from auditor.rerun.options import CAP_BYTES, Options
from auditor.rerun.plan import Plan, document
from auditor.rerun.seedrun import Now
from auditor.sandbox import scratch
from auditor.sandbox.watch import identify

SETUP, CLOSING = "set-up", "record"


class Watcher(Protocol):
    """Whoever shows what happens."""

    def say(self, text: str) -> None:
        """A step of the harness itself."""

    def now(self, now: Now) -> None:
        """A seed's run at this moment."""

    def line(self, text: str) -> None:
        """A line of the run's log."""


@dataclass(slots=True)
class Stages:
    """Time of the harness, cut into stages without a gap; seconds of the monotonic clock."""

    begun: float = field(default_factory=time.monotonic)
    parts: list[tuple[str, float]] = field(default_factory=list)
    _last: float = 0.0

    def since_process_start(self, name: str) -> None:
        """Count from the start of this process; what was done until now was ``name``."""
        seen = identify(os.getpid())
        if seen is not None:
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(seen.started) / os.sysconf("SC_CLK_TCK")
            self.begun = time.monotonic() - max(age, 0.0)
        self.mark(name)

    def mark(self, name: str) -> float:
        """What was done since the last mark was ``name``; its seconds."""
        now = time.monotonic() - self.begun
        seconds, self._last = now - self._last, now
        self.parts.append((name, seconds))
        return seconds

    @property
    def total(self) -> float:
        """From the beginning to the last mark."""
        return self._last


@dataclass(frozen=True, slots=True)
class Done:
    """A re-run that came to its end, or to where it was interrupted."""

    record: RerunRecord
    stages: Stages
    fresh: tuple[SeedRun, ...]
    """Runs of this invocation; others were in the record already."""
    interrupted: bool = False


class Runner(Protocol):
    """Runs single seeds: for real, or at toy scale."""

    torch: str
    """Version in the run's environment, known after `prepare`; empty: not known."""

    def prepare(self) -> None:
        """Whatever must be there before the first seed. Raises `SetupError`."""

    def run(self, seed: int, name: str) -> SeedRun:
        """One seed; ``name`` is of its files in the record. A KeyboardInterrupt gives an interrupted run."""

    def close(self) -> None:
        """Remove what was prepared."""


MakeRunner = Callable[["Job"], Runner]


@dataclass(frozen=True, slots=True)
class Job:
    """What a runner gets."""

    submission: Submission
    facts: RecordFacts
    plan: Plan
    options: Options
    folder: Path
    """The record's."""
    scratch: Path
    watcher: Watcher


def rerun(
    submission: Submission, plan: Plan, options: Options, watcher: Watcher, make: MakeRunner, stages: Stages
) -> Done:
    """Do it. Raises `record.Busy`, `record.RecordError` and OSError before anything ran; later it is recorded."""
    folder = Path(plan.folder)
    begun = RerunRecord(
        __version__, datetime.now(UTC).isoformat(timespec="seconds"), plan.submission, plan.script, plan.script_sha256,
        plan.hardware, plan.settings, plan.seeds, options.limits.train, options.limits.evaluation, options.limits.grace,
        CAP_BYTES, folder=str(folder), notes=plan.notes, isolation=plan.isolation, limit_other=options.limits.other,
    )  # fmt: skip
    kept = _kept(folder, plan)
    writer = record.Writer(folder)
    try:
        writer.head(begun, plan.identity, document(plan, options))
        _cleared(folder, writer, watcher)
        if kept:
            watcher.say(f"{len(kept)} finished seed(s) are in the record already")
        with _scratch() as place:
            job = Job(submission, plan.facts, plan, options, folder, place, watcher)
            fresh, interrupted = _seeds(job, make(job), kept, writer, stages)
    finally:
        writer.close()
    return Done(record.read(folder), stages, tuple(fresh), interrupted)


def _kept(folder: Path, plan: Plan) -> Counter[int | None]:
    """How often each seed has finished already in the record there. Raises `record.RecordError` on another's."""
    before = record.identity_of(folder)
    if before is None:
        return Counter()
    if before != plan.identity:
        differs = [n for n in record.Identity.__slots__ if getattr(before, n) != getattr(plan.identity, n)]
        raise record.RecordError(
            f"{folder} holds the record of another run ({', '.join(differs)} differ): give --keep another folder"
        )
    runs = record.read(folder).seeds
    return Counter(run.seed for run in runs if run.end is SeedEnd.FINISHED)


def _cleared(folder: Path, writer: record.Writer, watcher: Watcher) -> None:
    """End what a harness that was killed left running."""
    running, killed = leftovers.clear(folder)
    if running is None:
        return
    text = f"seed {running.seed} was in progress when an earlier harness ended"
    text += f"; {killed} process(es) of it were still running and were killed" if killed else ""
    writer.write("note", text=text)
    watcher.say(text)


def _seeds(
    job: Job, runner: Runner, kept: Counter[int | None], writer: record.Writer, stages: Stages
) -> tuple[list[SeedRun], bool]:
    """Set up and run what is not there yet; the runs, and whether it was interrupted."""
    fresh: list[SeedRun] = []
    left, count = Counter(kept), Counter[int]()
    try:
        todo = []
        for seed in job.plan.seeds:
            count[seed] += 1
            name = f"seed{seed}" if count[seed] == 1 else f"seed{seed}-{count[seed]}"
            if left[seed] > 0:
                left[seed] -= 1
            else:
                todo.append((seed, name))
        if todo:
            if job.plan.problems:
                raise SetupError("; ".join(job.plan.problems))
            runner.prepare()
            if runner.torch:
                writer.write("torch", version=runner.torch)
        stages.mark(SETUP)
        for seed, name in todo:
            run = runner.run(seed, name)
            with quiet(later=True):
                writer.seed(run)
                fresh.append(run)
                stages.mark(name)
            if run.end is SeedEnd.INTERRUPTED:
                return fresh, True
    except KeyboardInterrupt:
        stages.mark(SETUP if not fresh else CLOSING)
        writer.write("note", text="interrupted during set-up" if not fresh else "interrupted between two seeds")
        return fresh, True
    except SetupError as error:
        stages.mark(SETUP)
        writer.write("setup_error", text=str(error))
    except Exception as error:
        if job.options.verbose:
            traceback.print_exc()
        writer.write("harness_error", text=f"{type(error).__name__}: {plain(error, 300)}")
    finally:
        with quiet():
            runner.close()
    return fresh, False


@contextmanager
def _scratch() -> Iterator[Path]:
    """A private folder, removed at the end however it ends."""
    place = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX))
    try:
        yield place
    finally:
        with quiet():
            try:
                scratch.remove(place)
            except OSError as error:
                print(f"golf-audit: {error}", file=sys.stderr)
