"""What a run's log says when it has ended: scores, steps, the script's own times, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auditor.core.guard import Answer, contained
from auditor.core.submission import LogFile, Submission
from auditor.core.text import plain
from auditor.record import lines as ln
from auditor.record.analyse import analyse
from auditor.record.facts import RecordFacts, Run, SizeKind
from auditor.record.parse import read_log
from auditor.record.times import with_times
from auditor.rerun.facts import MeasuredScore, SeedEnd
from auditor.rerun.phases import readable

_MEMORY = re.compile(
    r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|^MemoryError|\bMemoryError\b(?:$|:)"
    r"|std::bad_alloc|Cannot allocate memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED"
)
_KILLED = re.compile(r"Signal 9 \(SIGKILL\)|exitcode\s*:\s*-9\b")
_ERROR = re.compile(r"^\s*(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b|Fatal|Segmentation fault)")
READ_SECONDS = 60.0
"""Of processor time, for one log."""
MOST_READ = 20_000
"""Lines of either end of a log that are read at most."""
SHOWN = 500
"""Characters of a line in which a cause is looked for."""
TAIL = 400
"""Lines from the end in which the cause of a failure is looked for."""
SIGKILL_STATUS = (-9, 137)


@dataclass(frozen=True, slots=True)
class LogResult:
    """What the lines say."""

    scores: tuple[MeasuredScore, ...] = ()
    steps: int | None = None
    tokens: int | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    model_bytes: tuple[int, ...] = ()
    """Sizes of the artifact that the log states, the last first."""


def stated_record(submission: Submission) -> RecordFacts:
    """What the submission's own logs and metadata claim."""
    return analyse(submission)


def read_safely(lines: Sequence[str], stamps: Sequence[float], source: str) -> tuple[LogResult, str]:
    """`read_result` of a stranger's log: what it says, and why it could not be read (empty when it was)."""
    read = contained(lambda: read_result(lines, stamps, source), seconds=READ_SECONDS)
    if isinstance(read, Answer):
        return read.value, ""
    return LogResult(), f"its log could not be read: {read.reason}"


def read_result(lines: Sequence[str], stamps: Sequence[float], source: str = "") -> LogResult:
    """Read a whole log; ``stamps`` are the seconds at which its lines came, ``source`` the script's text."""
    log = LogFile("run.log", _readable(lines), "")
    runs = read_log(log, frozenset(line.strip() for line in source.splitlines() if line.strip()))
    timed = [with_times(run, log) for run in runs]
    scores = [score for run in timed for score in _scores(run, stamps)]
    last = next((run for run in reversed(timed) if run.steps or run.stop), timed[-1] if timed else None)
    if last is None:
        return LogResult()
    reached = max([s.step for s in last.steps] + ([last.stop.step] if last.stop else []), default=None)
    sizes = [s.bytes for s in reversed(last.sizes) if s.kind is SizeKind.MODEL]
    return LogResult(
        tuple(scores), reached, _tokens(last, reached), last.stop.train_seconds if last.stop else None,
        _eval_seconds(last), tuple(sizes),
    )  # fmt: skip


def _readable(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines as they are read; of very many those of beginning and end, at their numbers."""
    cut = [readable(line) for line in lines]
    if len(cut) > 2 * MOST_READ:
        cut[MOST_READ:-MOST_READ] = [""] * (len(cut) - 2 * MOST_READ)
    return tuple(cut)


def _scores(run: Run, stamps: Sequence[float]) -> list[MeasuredScore]:
    found = []
    for one in run.evaluations:
        if one.val_bpb is None or one.at.line is None:
            continue
        label = plain(one.label if one.step is None else f"step {one.step}", 60)
        loss = one.val_loss.value if one.val_loss is not None else None
        seconds = stamps[one.at.line - 1] if one.at.line <= len(stamps) else 0.0
        found.append(MeasuredScore(label, one.val_bpb.value, loss, one.at.line, seconds))
    return found


def _tokens(run: Run, steps: int | None) -> int | None:
    """Trained on: steps times the batch that the log states."""
    stated = run.settings.get("train_batch_tokens")
    if stated is None or steps is None:
        return None
    try:
        return steps * int(stated[0].replace(",", "").replace("_", ""))
    except ValueError:
        return None


def _eval_seconds(run: Run) -> float | None:
    times = run.times
    if times is None:
        return None
    if times.eval_total is not None:
        return times.eval_total.value
    return sum(seconds for _, seconds, _ in times.evals) if times.evals else None


def headline(scores: Sequence[MeasuredScore], submission: Submission, facts: RecordFacts) -> MeasuredScore | None:
    """The score that stands for the claimed one: of the label under which the submission's logs state it.

    Where no log states it: the last score after training that its own words do not call a diagnostic. A score inside
    training stands for nothing.
    """
    logged = {log.path: log.lines for log in submission.logs}
    labels = set()
    for _, at in facts.metric.logged_as:
        if at.log in logged and at.line is not None and at.line <= len(logged[at.log]):
            labels.add(_label(logged[at.log][at.line - 1]))
    own = [s for s in scores if s.label in labels]
    if own:
        return own[-1]
    final = [s for s in scores if not s.label.startswith("step ") and not _diagnostic(s.label)]
    return final[-1] if final else None


def _label(line: str) -> str:
    from auditor.core.types import Place
    from auditor.record.events import evaluation

    found = evaluation(ln.clean(line), Place())
    return plain(found.label, 60) if found is not None and found.step is None else ""


def _diagnostic(label: str) -> bool:
    return bool(re.search(r"diagnos|debug|\bdiag\b|raw_final|pre-?quant|pre_quant", label, re.I))


def failure(lines: Sequence[str], status: int | None) -> tuple[SeedEnd, str]:
    """Why a run that did not finish ended: out of memory told from a crash, with the line that says so."""
    tail = [ln.clean(line[:SHOWN]) for line in lines[-TAIL:]]
    memory = next((line for line in reversed(tail) if _MEMORY.search(line)), None)
    if memory is not None:
        return SeedEnd.OUT_OF_MEMORY, plain(memory, 300)
    killed = next((line for line in reversed(tail) if _KILLED.search(line)), None)
    if status in SIGKILL_STATUS or killed is not None:
        said = f": {plain(killed, 200)}" if killed is not None else ""
        return SeedEnd.OUT_OF_MEMORY, f"killed from outside by signal 9, as the kernel does without memory{said}"
    errors = [line for line in tail if _ERROR.match(line) and "ChildFailedError" not in line]
    last = errors[-1] if errors else next((line for line in reversed(tail) if line.strip()), "it printed nothing")
    return SeedEnd.CRASHED, f"exit status {status}: {plain(last, 300)}"
