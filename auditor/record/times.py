"""Seconds by phase of one run: training clock, calibration, serialisation, evaluations, compile warm-up."""

from __future__ import annotations

import re
from dataclasses import replace

from auditor.core.submission import LogFile, Submission
from auditor.core.types import Place
from auditor.record import lines as ln
from auditor.record.facts import Calibration, Evaluation, Figure, Hardware, LineKind, PhaseTimes, Run
from auditor.record.stated import Claims

_SERIAL = re.compile(r"seriali[sz]e|compress", re.I)


def with_times(run: Run, log: LogFile) -> Run:
    """``run`` with its `PhaseTimes`."""
    texts = [ln.clean(line) for line in log.lines[run.first_line - 1 : run.last_line]]
    train = run.stop.train_seconds if run.stop else None
    calibration = [c for c in run.calibrations if c.after_clock and c.seconds is not None and not _repeats(c, run)]
    evals = [e for e in run.evaluations if e.step is None and e.eval_seconds is not None]
    times = PhaseTimes(
        train=train,
        train_at=run.stop.at if run.stop else None,
        budget=_setting(run, "max_wallclock_seconds"),
        reserve=_setting(run, "gptq_reserve_seconds"),
        calibration=sum(c.seconds or 0.0 for c in calibration) if calibration else None,
        calibration_at=calibration[0].at if calibration else None,
        serialisation=_serialisation(texts, run),
        evals=tuple((e.label, e.eval_seconds or 0.0, e.at) for e in evals if not e.diagnostic),
        diagnostics=tuple((e.label, e.eval_seconds or 0.0, e.at) for e in evals if e.diagnostic),
        eval_total=_eval_total(texts, run),
        compile_warmup=_warmup(texts, run),
    )
    return replace(run, times=times)


def with_needed(run: Run, headline: Evaluation | None) -> Run:
    """Fill in the seconds of evaluation that the headline score needs, at least: an underestimate, not a sum of all.

    The whole that the log itself states (``total_eval_time``) wins. Else the time of the evaluation that gives the
    headline, plus adaptation on validation data that ran before it under its own clock (pre-quantisation TTT), plus
    tables precomputed outside the timer.
    """
    times = run.times
    if times is None:
        return run
    if times.eval_total is not None:
        return replace(run, times=replace(times, eval_needed=times.eval_total.value, eval_at=times.eval_total.at))
    if headline is None or headline.eval_seconds is None:
        return run
    extra = _adaptation(run)
    needed = headline.eval_seconds + extra
    return replace(run, times=replace(times, eval_needed=needed, eval_at=headline.at))


def _adaptation(run: Run) -> float:
    """Seconds of adaptation on validation data before quantisation, from its ``done`` line, counted once."""
    done = [t.seconds for t in run.ttt if t.before_quant and t.stage == "done" and t.seconds and t.bpb is None]
    epochs = [t.seconds for t in run.ttt if t.before_quant and t.stage == "epoch" and t.seconds]
    return max([*done, *epochs], default=0.0)


def hardware(run: Run, submission: Submission, claims: Claims) -> Hardware | None:
    """What the run ran on: the log first, then what submission.json and the README state."""
    logged = run.hardware
    if logged is not None and (logged.equivalent is not None or logged.name):
        return logged
    text, at = claims.hardware if claims.hardware else (submission.readme or "", None)
    stated = _stated_hardware(text)
    if stated is None:
        return logged
    name, gpus = stated
    world = logged.world_size if logged else None
    count = world or gpus
    equivalent = None if count is None else ("H100" in name.upper() and count == 8)
    return Hardware(name, gpus, world, equivalent, at)


def _stated_hardware(text: str) -> tuple[str, int | None] | None:
    """``8xH100`` and the like; the count is None for a bare name."""
    match = re.search(
        r"(\d+)\s*[x×*]\s*(?:NVIDIA\s+)?((?:H|A|B|L)\d{2,3}\w*|RTX\s*\w+|GB?\d{3}|T4|V100|M\d\b|TPU\w*)", text, re.I
    )
    if match:
        return match.group(2), int(match.group(1))
    bare = re.search(
        r"\b(H\d00|A\d0{1,2}|B200|RTX\s*\w+|V100|T4|L40S?|Apple M\d|MLX|M\d (?:Max|Pro|Ultra))\b", text, re.I
    )
    return (bare.group(1), None) if bare else None


def _setting(run: Run, name: str) -> float | None:
    if name not in run.settings:
        return None
    try:
        return float(run.settings[name][0].rstrip("s"))
    except ValueError:
        return None


def _repeats(line: Calibration, run: Run) -> bool:
    """A second line for the same work: ``collected .. in 4.7s`` after one that states the same seconds."""
    return any(o.seconds == line.seconds and (o.at.line or 0) < (line.at.line or 0) for o in run.calibrations)


def _serialisation(texts: list[str], run: Run) -> float | None:
    found = [
        s for text, kind in zip(texts, run.kinds, strict=True)
        if kind is LineKind.OTHER and _SERIAL.search(text) and (s := _in_seconds(text)) is not None
    ]
    return sum(found) if found else None


def _in_seconds(text: str) -> float | None:
    match = re.search(rf"\bin ({ln.NUMBER})\s*s\b", text)
    return ln.number(match.group(1))[0] if match else ln.seconds_of(ln.pairs(text))


def _eval_total(texts: list[str], run: Run) -> Figure | None:
    for offset in range(len(texts) - 1, -1, -1):
        if run.kinds[offset] is LineKind.EVAL_TIME:
            pair = next((p for p in ln.pairs(texts[offset]) if p.seconds() is not None), None)
            if pair is not None:
                return Figure(pair.seconds() or 0.0, pair.digits, Place(log=run.log, line=run.first_line + offset))
    return None


def _warmup(texts: list[str], run: Run) -> float | None:
    for text, kind in zip(texts, run.kinds, strict=True):
        if kind is LineKind.WARMUP and "compile" in text and (match := re.search(rf"\(({ln.NUMBER})s\)", text)):
            return ln.number(match.group(1))[0]
    return None
