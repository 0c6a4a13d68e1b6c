"""What the logs and sizes give a page to draw: curves, final scores, the artifact's bytes by part, seconds by phase."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from auditor.core.exhibits import ByteBar, Curve, Exhibits, Part, PhaseTime
from auditor.record.facts import BUDGET_SECONDS, RecordFacts, Run, SizeFacts

MAX_RUNS = 5
MAX_POINTS = 240
"""Points of one curve; what is longer is thinned evenly, its ends and its extremes kept."""
MAX_FINALS = 24
MAX_FILES = 8


def exhibits(facts: RecordFacts) -> Exhibits:
    """Everything that the record witness knows to draw, of the runs behind the headline."""
    runs = facts.judged()[:MAX_RUNS]
    return Exhibits(
        curves=tuple(curve for run in runs for curve in _curves(run)),
        finals=tuple(final for run in runs for final in _finals(run))[:MAX_FINALS],
        bytes=_bytes(facts.sizes) if facts.sizes is not None else None,
        phases=tuple(phase for run in runs for phase in _phases(run)),
    )


def _curves(run: Run) -> Iterator[Curve]:
    by_step = [(step.step, step.train_loss) for step in run.steps]
    scored = [(e.step, e.val_bpb.value) for e in run.evaluations if e.step is not None and e.val_bpb is not None]
    chunks = [(t.chunk, t.bpb) for t in run.ttt if t.chunk is not None and t.bpb is not None]
    for quantity, points in (("train_loss", by_step), ("val_bpb", scored), ("ttt_bpb", chunks)):
        kept = thinned(points)
        if len(kept) > 1:
            yield Curve(run.name, quantity, kept)


def thinned(points: Iterable[tuple[float, float]], limit: int = MAX_POINTS) -> tuple[tuple[float, float], ...]:
    """At most ``limit`` finite points in the order of their x, the lowest and highest of each stretch among them."""
    finite = sorted((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
    if len(finite) <= limit:
        return tuple(finite)
    stretches = max(1, (limit - 2) // 2)
    kept = {0, len(finite) - 1}
    for number in range(stretches):
        span = range(number * len(finite) // stretches, (number + 1) * len(finite) // stretches)
        kept |= {min(span, key=lambda i: finite[i][1]), max(span, key=lambda i: finite[i][1])}
    return tuple(finite[index] for index in sorted(kept))


def _finals(run: Run) -> Iterator[tuple[str, str, float]]:
    for one in run.evaluations:
        if one.step is None and one.val_bpb is not None and math.isfinite(one.val_bpb.value):
            yield run.name, one.label[:120], one.val_bpb.value


def _bytes(sizes: SizeFacts) -> ByteBar:
    files = sorted(sizes.code_files, key=lambda file: (-file[1], file[0]))
    parts = [Part("compressed model", sizes.model)] if sizes.model is not None else []
    parts += [Part(name, size) for name, size in files[:MAX_FILES]]
    if len(files) > MAX_FILES:
        rest = files[MAX_FILES:]
        parts.append(Part(f"{len(rest)} more files", sum(size for _, size in rest)))
    whole = (("stated", sizes.claimed), ("logged last", sizes.logged), ("as shipped", sizes.shipped),
             ("with the code compressed", sizes.packed))  # fmt: skip
    totals = tuple(Part(name, size) for name, size in whole if size is not None)
    return ByteBar(sizes.cap, tuple(parts), totals, f"{sizes.decision.value}: {sizes.why}")


def _phases(run: Run) -> Iterator[PhaseTime]:
    times = run.times
    if times is None:
        return
    rows: tuple[tuple[str, float | None, float | None], ...] = (
        ("training clock", times.train, BUDGET_SECONDS),
        ("compile and warm-up", times.compile_warmup, None),
        ("calibration after the clock", times.calibration, None),
        ("serialisation", times.serialisation, None),
        ("evaluation that the score needs", times.eval_needed, BUDGET_SECONDS),
    )
    for phase, seconds, budget in rows:
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            yield PhaseTime(run.name, phase, seconds, budget)
