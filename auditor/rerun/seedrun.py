"""One seed's real run from launch to end: lines, files and meter read, budgets kept, the result put together."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditor.core.submission import Submission
from auditor.record.facts import RecordFacts
from auditor.rerun import result
from auditor.rerun.facts import PhaseKind, PhaseSpan, SeedEnd, SeedRun
from auditor.rerun.interrupts import quiet
from auditor.rerun.launch import MAX_OUTPUT, MOST_LINES, Launch, Line, Process
from auditor.rerun.meter import Meter
from auditor.rerun.options import TimeLimits
from auditor.rerun.phases import Phases
from auditor.rerun.record import open_own
from auditor.rerun.spans import Spent, counted
from auditor.rerun.watch import Watch, Written, artifact_of

TICK = 0.1
LOOK = 0.2
MAX_WRITTEN = 64 << 30
"""Bytes of a run's folder."""
MAX_KEPT = 64 << 20
"""Bytes up to which the artifact is kept beside the record."""
SHRUNK = "{} had {:,} bytes when the score was taken, and was made smaller or removed afterwards"


@dataclass(frozen=True, slots=True)
class Now:
    """What a seed is doing at this moment, for whoever watches."""

    seed: int
    seconds: float
    kind: PhaseKind
    name: str
    budget: str
    """Which budget runs down."""
    left: float
    """Seconds of it, before the grace."""
    last: str = ""
    """The last line printed."""
    spent: Spent | None = None


@dataclass(frozen=True, slots=True)
class SeedSpec:
    """Everything that one run needs."""

    seed: int
    launch: Launch
    run_folder: Path
    """As the host sees it."""
    record: Path
    """The record's folder."""
    limits: TimeLimits
    gpus: tuple[int, ...]
    """Indices of those in use."""
    submission: Submission
    facts: RecordFacts
    code_bytes: int | None
    scratch: Path
    on_now: Callable[[Now], None] | None = None
    on_line: Callable[[str], None] | None = None
    on_start: Callable[[int], None] | None = None
    """Told the process's number as soon as it runs."""


@dataclass(slots=True)
class Tape:
    """The raw log and its stamps on disk, and in memory what is needed at the end."""

    folder: Path
    name: str
    lines: list[str] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    _raw: Any = None
    _stamped: Any = None

    def __enter__(self) -> Tape:
        """Open both files anew."""
        self._raw = open_own(self.folder / f"{self.name}.log", "w", "utf-8")
        self._stamped = open_own(self.folder / f"{self.name}.jsonl", "w", "ascii")
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._raw.close()
        self._stamped.close()

    def line(self, line: Line) -> None:
        """One line of the run."""
        text = line.text.replace("\n", " ")
        self.lines.append(text)
        self.stamps.append(line.seconds)
        self._raw.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")
        self._raw.flush()
        self.event("line", line.seconds, stream=line.stream, line=len(self.lines), text=text)

    def phases(self, spans: tuple[PhaseSpan, ...]) -> None:
        """The spans of the run, once they are known."""
        for s in spans:
            self.event("phase", s.start, kind=s.kind.value, name=s.name, end=s.end, because=s.because)

    def event(self, kind: str, seconds: float, /, **values: Any) -> None:
        """Anything else with its moment."""
        written = {"event": kind, "seconds": round(seconds, 6), **values}
        self._stamped.write(json.dumps(written, ensure_ascii=True) + "\n")
        self._stamped.flush()


def run_seed(spec: SeedSpec, name: str) -> SeedRun:
    """Run it to its end. ``name``: of its files in the record's folder.

    A KeyboardInterrupt kills the run and comes back as the end `SeedEnd.INTERRUPTED`. Raises OSError when it cannot be
    started, when the record cannot be written, and when something of it survives being killed.
    """
    phases, files = Phases(), Watch(spec.run_folder)
    with Tape(spec.record, name) as tape, Process(spec.launch) as process:
        if spec.on_start is not None:
            spec.on_start(process.pid)
        with Meter(spec.gpus, process.begun) as meter:
            end, reason = _until_the_end(spec, process, phases, files, tape)
            seconds = process.seconds
            with quiet():
                process.kill()
            for line in process.rest():
                tape.line(line)
            for sample in meter.samples():
                tape.event("gpu", sample.seconds, used=sample.used, watts=sample.watts)
        status = process.poll()
        if end is None:
            end, reason = (SeedEnd.FINISHED, "") if status == 0 else result.failure(tape.lines, status)
        spans = phases.close(seconds)
        tape.phases(spans)
    return _summary(spec, name, tape, files, meter, SeedRun(spec.seed, end, status, seconds, spans, reason=reason))


def _until_the_end(
    spec: SeedSpec, process: Process, phases: Phases, files: Watch, tape: Tape
) -> tuple[SeedEnd | None, str]:
    """Follow the run; an end that the harness made, with its reason, or None where the run ended by itself."""
    looked, first = 0.0, False
    try:
        while process.poll() is None:
            for line in process.lines(TICK):
                _take(line, phases, tape, spec)
            if process.seconds - looked >= LOOK:
                looked = process.seconds
                first = _files(files.look(phases.scored), phases, tape, looked, first)
                now = present(spec.seed, phases, looked, spec.limits, tape.lines[-1] if tape.lines else "")
                if spec.on_now is not None:
                    spec.on_now(now)
                if now.left + spec.limits.grace <= 0:
                    return SeedEnd.TIMED_OUT, over(now, spec.limits)
            if process.too_much:
                return SeedEnd.CRASHED, f"killed: it printed more than {MAX_OUTPUT >> 20} MiB or {MOST_LINES:,} lines"
            if files.bytes > MAX_WRITTEN:
                return SeedEnd.CRASHED, f"killed: it wrote more than {MAX_WRITTEN >> 30} GiB"
    except KeyboardInterrupt:
        return SeedEnd.INTERRUPTED, "interrupted"
    for line in process.rest():
        _take(line, phases, tape, spec)
    _files(files.look(phases.scored), phases, tape, process.seconds, first)
    return None, ""


def _take(line: Line, phases: Phases, tape: Tape, spec: SeedSpec) -> None:
    tape.line(line)
    phases.line(line.text, line.seconds)
    if spec.on_line is not None:
        spec.on_line(line.text)


def _files(fresh: list[Written], phases: Phases, tape: Tape, seconds: float, first: bool) -> bool:
    """Note new files; whether one of weights has been seen."""
    for one in fresh:
        tape.event("file", seconds, path=one.path, size=one.size)
        if one.weights and not first:
            first = True
            phases.artifact(one.path, seconds)
    return first


def present(seed: int, phases: Phases, seconds: float, limits: TimeLimits, last: str = "") -> Now:
    """The budget that runs down now, and the one that is over where one is."""
    spent = phases.spent(seconds)
    budgets = {
        "start-up": limits.other - spent.start, "training": limits.train - spent.train,
        "serialising": limits.other - spent.other, "evaluation": limits.evaluation - spent.evaluation,
    }  # fmt: skip
    gone = min(budgets, key=lambda name: budgets[name])
    budget = gone if budgets[gone] + limits.grace <= 0 else _BUDGETS[phases.budget]
    return Now(seed, seconds, phases.kind, phases.name, budget, budgets[budget], last, spent)


_BUDGETS = {"start": "start-up", "train": "training", "other": "serialising", "evaluation": "evaluation"}


def over(now: Now, limits: TimeLimits) -> str:
    """Why a run is killed, as a sentence."""
    limit = {"training": limits.train, "evaluation": limits.evaluation}.get(now.budget, limits.other)
    return (
        f"killed after {now.seconds:.1f} s: {now.budget} had {limit:g} s and {limits.grace:g} s of grace "
        f"(it was in: {now.name})"
    )


def _summary(spec: SeedSpec, name: str, tape: Tape, files: Watch, meter: Meter, run: SeedRun) -> SeedRun:
    source = spec.submission.entry.text if spec.submission.entry is not None else ""
    said, unread = result.read_safely(tape.lines, tape.stamps, source)
    artifact = artifact_of(files.written(), said.model_bytes)
    if artifact is not None:
        keep_artifact(spec.run_folder, artifact, spec.record / name)
        if artifact in files.shrunk():
            unread = "; ".join(filter(None, (unread, SHRUNK.format(artifact.path, artifact.size))))
    sums = counted(run.phases)
    return replace(
        run, reason="; ".join(filter(None, (run.reason, unread))), scores=said.scores,
        headline=result.headline(said.scores, spec.submission, spec.facts), steps=said.steps, tokens=said.tokens,
        artifact=artifact.path if artifact is not None else None,
        artifact_bytes=artifact.size if artifact is not None else None,
        code_bytes=spec.code_bytes, train_seconds=sums.train, eval_seconds=sums.evaluation,
        train_seconds_strict=sums.train_strict, eval_seconds_strict=sums.evaluation_strict,
        stated_train_seconds=said.train_seconds, stated_eval_seconds=said.eval_seconds,
        peak_gpu_bytes=meter.peak_bytes(), mean_gpu_watts=meter.mean_watts(), log=f"{name}.log",
    )  # fmt: skip


def keep_artifact(run: Path, artifact: Written, place: Path) -> str:
    """Copy the artifact beside the record, if it is not too large; its SHA-256, empty where it was not copied.

    The folder is a stranger's: no link is followed.
    """
    if artifact.size > MAX_KEPT:
        return ""
    parts = artifact.path.split("/")
    fd = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        with open(os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            data = file.read(MAX_KEPT)
    except OSError:
        return ""
    finally:
        os.close(fd)
    if len(data) != artifact.size:
        return ""
    place.mkdir(exist_ok=True)
    (place / parts[-1]).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def disk_free(folder: Path) -> int:
    """Bytes that can still be written where ``folder`` is, or would be."""
    here = folder.absolute()
    while not here.exists():
        here = here.parent
    return shutil.disk_usage(here).free
