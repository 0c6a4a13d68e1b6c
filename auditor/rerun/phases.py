"""What a run is doing, told from the lines it prints and the files it writes, as they come.

Most lines are printed when something has ended (a score, a size), some when it begins (the first adaptation line).
So each line either closes a stretch that reaches back, or opens the next. How far a closed stretch reaches back is what
the line states (``eval_time:1234ms``), but never past the mark before it: the harness's clock bounds the script's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditor.core.text import plain
from auditor.core.types import Place
from auditor.record import events
from auditor.record import lines as ln
from auditor.record.facts import LineKind, Step
from auditor.rerun.facts import PhaseKind, PhaseSpan
from auditor.rerun.spans import (
    ADAPTATION,
    BEFORE,
    DIAGNOSTIC,
    EVAL_WARM_UP,
    OUTSIDE,
    VALIDATION,
    Spent,
    budget_of,
)

LEAST = 0.0005
"""Seconds; a shorter stretch belongs to the one before it."""
LONGEST = 500
"""Characters of a line that are read, its last ones: what a longer one holds is no line of the competition's."""
_HERE = Place()
_TOOK = re.compile(rf"\(({ln.NUMBER})\s*s\)")
_ENDLESS = re.compile(r"[\w./-]{120,}")


def readable(line: str) -> str:
    """The part of a line that is read: nothing of one that takes the readers' patterns too long, by an endless word."""
    end = line[-LONGEST:]
    return "" if _ENDLESS.search(end) else end


@dataclass(frozen=True, slots=True)
class _Step:
    """The last line with the training clock: when it came, what it states, and the number of its training step."""

    at: float
    stated: float | None
    number: int | None


class Phases:
    """The spans of one run; feed it lines and files in order. Seconds from the launch."""

    def __init__(self, stated: bool = True) -> None:
        """``stated``: durations that lines state count; not where the script runs under a clock that is not real."""
        self._stated = stated
        self._spans: list[PhaseSpan] = []
        self._kind, self._name, self._because = PhaseKind.START, PhaseKind.START.value, "launch"
        self._from = 0.0
        self._last = 0.0
        self._step: _Step | None = None
        self._trained = False
        self._written = False
        self.scored = 0
        """Scores that were printed after the artifact."""

    @property
    def kind(self) -> PhaseKind:
        """What it is in now, as far as is known."""
        return self._kind

    @property
    def name(self) -> str:
        """Of the present stretch."""
        return self._name

    @property
    def budget(self) -> str:
        """The field of `Spent` that grows now."""
        if self._kind is PhaseKind.SERIALISE and self._written:
            return "evaluation"
        return budget_of(self._current(self._from), self._begun)

    def line(self, raw: str, at: float) -> None:
        """A line was printed at ``at``."""
        text = ln.clean(readable(raw).rpartition("\r")[2])
        kind = ln.kind_of(text)
        take = _TAKES.get(kind)
        if take is not None and not ln.looks_like_python(text):
            take(self, text, max(at, self._from))
        self._last = max(at, self._from)

    def artifact(self, path: str, at: float) -> None:
        """The first file of weights was written at ``at``."""
        self._last = max(at, self._from)
        training = self._kind is PhaseKind.TRAIN and self._step is not None
        if training or (self._trained and not self._written):
            self._open(PhaseKind.SERIALISE, self._last, f"{plain(path, 80)} was written")

    def spent(self, now: float) -> Spent:
        """Of each budget, up to ``now``; what is open after the artifact counts as evaluation."""
        sums = {"start": 0.0, "train": 0.0, "other": 0.0, "evaluation": 0.0}
        begun = False
        for span in self._spans:
            begun = begun or span.kind is PhaseKind.TRAIN
            sums[budget_of(span, begun)] += span.end - span.start
        sums[self.budget] += max(now - self._from, 0.0)
        return Spent(**sums)

    @property
    def _begun(self) -> bool:
        return self._kind is PhaseKind.TRAIN or any(span.kind is PhaseKind.TRAIN for span in self._spans)

    def close(self, at: float) -> tuple[PhaseSpan, ...]:
        """The run ended at ``at``: all spans, from 0 to there without a gap."""
        end = max(at, self._from)
        if self._kind is PhaseKind.SERIALISE and self._written:
            self._kind, self._name = PhaseKind.END, PhaseKind.END.value
        self._advance(end)
        if not self._spans:
            self._spans.append(PhaseSpan(self._kind, self._name, 0.0, end, self._because))
        return tuple(self._spans)

    def _current(self, now: float) -> PhaseSpan:
        return PhaseSpan(self._kind, self._name, self._from, now, self._because)

    def _emit(self, kind: PhaseKind, name: str, start: float, end: float, because: str) -> None:
        if end <= start:
            return
        last = self._spans[-1] if self._spans else None
        if last is not None and ((last.kind, last.name) == (kind, name) or end - start < LEAST):
            self._spans[-1] = PhaseSpan(last.kind, last.name, last.start, end, last.because)
        else:
            self._spans.append(PhaseSpan(kind, name, start, end, because))

    def _advance(self, at: float) -> None:
        """What is open goes on, and is known up to ``at``."""
        self._emit(self._kind, self._name, self._from, at, self._because)
        self._from = max(self._from, at)

    def _open(self, kind: PhaseKind, at: float, because: str, name: str = "") -> None:
        at = max(at, self._from)
        if self._kind is PhaseKind.END:
            self._gap(at, name or kind.value)
        self._advance(at)
        self._kind, self._name, self._because = kind, name or kind.value, because

    def _closed(self, kind: PhaseKind, name: str, at: float, seconds: float | None, because: str) -> None:
        """A stretch of ``kind`` ended at ``at``, after ``seconds`` where they are stated."""
        start = self._from
        if seconds is not None and self._stated:
            start = min(max(start, at - seconds), at)
        if start > self._from:
            self._gap(start, name)
        self._emit(kind, name, start, at, because)
        self._from = at

    def _gap(self, until: float, before: str) -> None:
        kind, name, because = self._kind, self._name, self._because
        if kind is PhaseKind.END or (kind is PhaseKind.SERIALISE and self._written):
            kind, name, because = PhaseKind.EVALUATION, f"{OUTSIDE}{before}", "neither serialised nor timed"
        self._emit(kind, name, self._from, until, because)
        self._from = until

    def _after(self, kind: PhaseKind, because: str) -> None:
        self._kind, self._name, self._because = kind, kind.value, because

    def _take_warm_up(self, text: str, at: float) -> None:
        took = _TOOK.search(text)
        seconds = float(took.group(1)) if took else ln.seconds_of(ln.pairs(text))
        if self._kind in BEFORE:
            if self._kind is PhaseKind.START:
                self._open(PhaseKind.WARM_UP, self._last, "from the line before the first of the warm-up")
            self._advance(at)
        elif self._trained and seconds is not None:
            self._closed(PhaseKind.WARM_UP, EVAL_WARM_UP, at, seconds, plain(text, 80))
            self._after(PhaseKind.END if self._written else PhaseKind.SERIALISE, "after that warm-up")
        elif self._trained and self._kind is not PhaseKind.WARM_UP:
            self._open(PhaseKind.WARM_UP, at, plain(text, 80), EVAL_WARM_UP)

    def _take_step(self, text: str, at: float) -> None:
        step = events.step(text, _HERE, need_loss=False)
        stated = step.train_seconds if step is not None and self._stated else None
        if self._kind in BEFORE:
            start = self._last if stated is None else max(self._from, at - stated)
            self._open(PhaseKind.TRAIN, start, "the clock of the first step line")
        elif self._kind is not PhaseKind.TRAIN:
            self._closed(PhaseKind.TRAIN, PhaseKind.TRAIN.value, at, None, "a step line follows")
            self._after(PhaseKind.TRAIN, "a step line follows")
        self._advance(at)
        self._step = _Step(at, stated, step.step if step is not None else None)
        self._trained = False
        self._maybe_last(step)

    def _maybe_last(self, step: Step | None) -> None:
        """After step N of N comes what follows training."""
        if step is not None and step.of is not None and step.step >= step.of:
            self._trained = True
            self._after(PhaseKind.SERIALISE, "the last step was printed")

    def _take_validation(self, text: str, at: float) -> None:
        """A score inside training. The script's own clock stands still while it is taken."""
        step = events.step(text, _HERE, need_loss=False)
        number = step.step if step is not None else "?"
        stated = step.train_seconds if step is not None and self._stated else None
        known = self._step
        if known is not None and step is not None and known.number == step.step:
            inside = at - self._from
        elif self._kind in BEFORE:
            trained = stated or 0.0
            self._advance(max(self._from, self._last if trained == 0 else at - trained))
            inside = at - self._from if trained == 0 else 0.0
            self._kind, self._name = PhaseKind.TRAIN, PhaseKind.TRAIN.value
            self._because = "the training clock starts after the first validation"
        elif known is not None and known.stated is not None and stated is not None:
            inside = (at - known.at) - (stated - known.stated)
        else:
            inside = 0.0
        inside = min(max(inside, 0.0), at - self._from)
        if self._kind is not PhaseKind.TRAIN:
            self._after(PhaseKind.TRAIN, "a step line follows")
        self._advance(at - inside)
        self._emit(PhaseKind.EVALUATION, f"{VALIDATION}{number}", self._from, at, "the training clock stood still")
        self._from, self._step = at, _Step(at, stated, None)
        self._maybe_last(step)

    def _take_stop(self, text: str, at: float) -> None:
        if self._kind in BEFORE:
            return
        if self._kind is PhaseKind.TRAIN:
            self._open(PhaseKind.SERIALISE, at, plain(text, 80))
        self._trained = True

    def _take_memory(self, text: str, at: float) -> None:
        if self._kind is PhaseKind.TRAIN and self._step is not None:
            self._take_stop(text, at)

    def _take_calibration(self, text: str, at: float) -> None:
        if self._kind in BEFORE:
            return
        self._trained = True
        seconds = events.calibration(text, after_clock=True, at=_HERE).seconds
        if seconds is not None:
            self._closed(PhaseKind.CALIBRATION, PhaseKind.CALIBRATION.value, at, seconds, plain(text, 80))
            self._after(PhaseKind.SERIALISE, "calibration ended")
        elif self._kind is PhaseKind.CALIBRATION:
            self._advance(at)
        else:
            self._open(PhaseKind.CALIBRATION, at, plain(text, 80))

    def _take_size(self, text: str, at: float) -> None:
        if self._kind in BEFORE or not events.size(text, _HERE):
            return
        if self._kind in (PhaseKind.CALIBRATION, PhaseKind.EVALUATION, PhaseKind.WARM_UP):
            self._advance(at)
        else:
            self._closed(PhaseKind.SERIALISE, PhaseKind.SERIALISE.value, at, None, plain(text, 80))
        self._after(PhaseKind.SERIALISE, plain(text, 80))
        self._trained = self._written = True

    def _take_adaptation(self, text: str, at: float) -> None:
        if not self._trained:
            return
        line = events.ttt(text, before_quant=not self._written, at=_HERE)
        if line is not None and line.stage == "done" and line.seconds is not None:
            self._closed(PhaseKind.EVALUATION, ADAPTATION, at, line.seconds, plain(text, 80))
            self._kind, self._name, self._because = PhaseKind.EVALUATION, ADAPTATION, plain(text, 80)
        elif self._kind is PhaseKind.EVALUATION:
            self._advance(at)
        else:
            self._open(PhaseKind.EVALUATION, at, plain(text, 80), ADAPTATION)

    def _take_score(self, text: str, at: float) -> None:
        score = events.evaluation(text, _HERE)
        if score is None:
            return
        name = plain(score.label, 60) or PhaseKind.EVALUATION.value
        name = f"{DIAGNOSTIC}{name}" if score.diagnostic else name
        last = self._spans[-1] if self._spans else None
        if last is not None and last.name == ADAPTATION == self._name and not score.diagnostic:
            self._spans.pop()
            self._from = last.start
            self._emit(PhaseKind.EVALUATION, name, last.start, at, last.because)
            self._from = at
        else:
            self._closed(PhaseKind.EVALUATION, name, at, score.eval_seconds, plain(text, 80))
        self._trained = True
        if self._written:
            self.scored += 1
            self._after(PhaseKind.END, "the score was printed")
        else:
            self._after(PhaseKind.SERIALISE, "the score was printed")


_TAKES = {
    LineKind.WARMUP: Phases._take_warm_up,
    LineKind.TRAIN_STEP: Phases._take_step,
    LineKind.VAL_STEP: Phases._take_validation,
    LineKind.STOP: Phases._take_stop,
    LineKind.MEMORY: Phases._take_memory,
    LineKind.CALIBRATION: Phases._take_calibration,
    LineKind.SIZE: Phases._take_size,
    LineKind.TTT: Phases._take_adaptation,
    LineKind.NGRAM: Phases._take_adaptation,
    LineKind.EVALUATION: Phases._take_score,
}
