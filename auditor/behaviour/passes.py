"""Which scores make which printed number: the pass behind a report.

The script adds losses up at some line, divides by their count, and prints the quotient. So each printed number is
held against the running means of what was added up before it, place by place, and the stretch of scores whose mean
it is becomes its pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.scores import NOWHERE, ScoreTable
from auditor.behaviour.tallies import Tally, tallies
from auditor.behaviour.wire import Event

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d{2,}(?:[eE][-+]?\d+)?")
LOSS_RANGE = (1e-4, 60.0)
LABEL = 6
"""Letters from which on a label is taken for one."""
MIN_SCORES = 16
NEAR_EVENTS = 40
ONCE = 0.98
"""Share of distinct positions from which a pass scores each once: a last window that was pushed back repeats some."""
TRIED = 60
"""How many stretches with the right mean are looked at."""
SAME = 2e-8
"""Relative difference of two sums in double precision of the same losses."""
DIGITS = 5
"""Decimals from which on a printed loss is hardly the mean of other scores by chance."""


@dataclass(frozen=True, slots=True)
class Report:
    """One printed line with numbers."""

    seq: int
    text: str
    site: tuple[str, int]
    values: tuple[tuple[float, int], ...]
    """Each number that could be a loss, with its count of decimals."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The scores behind one printed number, in the order in which they were added up."""

    report: Report
    value: float
    """The printed loss in nats per token."""
    scores: NDArray[np.int64]
    """Numbers of the scores, shape [n]."""
    values: NDArray[np.float64]
    """What was added up for each, in nats."""
    positions: NDArray[np.int64]
    """Their stream positions."""
    first_seq: int
    last_seq: int
    how: str
    """``added up``, ``model losses`` or ``last model losses`` (nothing printed matched)."""
    site: tuple[str, int]
    """Where they were added up."""
    seqs: NDArray[np.int64]
    """Number of the event that told each value."""
    offsets: NDArray[np.int64]
    """Index of the value in that event."""
    decimals: int = 8
    """Digits after the point with which the loss was printed."""
    begins: bool = False
    """Whether the first score stands where an evaluation may begin: see `auditor.behaviour.tallies.Tally.begins`."""

    @property
    def exact(self) -> bool:
        """Whether the printed number is the mean of these scores to its last digit, and has enough of them to tell."""
        error = abs(float(self.values.mean()) - self.value)
        return self.decimals >= DIGITS and error <= 0.51 * 10.0**-self.decimals + SAME * abs(self.value)

    @property
    def once(self) -> float:
        """Distinct positions for each score that could be placed: 1 when every position counts once."""
        known = self.positions[self.positions != NOWHERE]
        return float(np.unique(known).size / known.size) if known.size else 1.0

    @property
    def matched(self) -> bool:
        """Whether the printed number is the mean of these scores."""
        return self.how != "last model losses"


def reports(events: Sequence[Event]) -> list[Report]:
    """Printed lines that hold a number which could be a loss; a line printed twice in a row counts once."""
    found: list[Report] = []
    for event in events:
        if event.kind != "Printed":
            continue
        text = str(event.fields["text"])
        values = [(float(m), _decimals(m)) for m in NUMBER.findall(text)]
        values = [(v, d) for v, d in values if LOSS_RANGE[0] <= v <= LOSS_RANGE[1]]
        if values and not (found and found[-1].text == text):
            site = event.fields["site"]
            found.append(Report(event.seq, text, (site[0], site[1]), tuple(values)))
    return found


def _decimals(text: str) -> int:
    return len(re.split(r"[eE]", text.partition(".")[2])[0])


def find_pass(report: Report, events: Sequence[Event], scores: ScoreTable) -> Pass | None:
    """The pass behind ``report``, or None when no stretch of scores has a printed number as its mean."""
    wanted = dict.fromkeys([*report.values, *_neighbours(report, events)])
    matches = [
        match
        for how, tally in tallies(events, scores, report.seq)
        for value, decimals in wanted
        if (match := _stretch(how, tally, report, value, decimals, scores)) is not None
    ]
    best = max(matches, key=_merit, default=None)
    if best is not None and best.exact:
        return best
    return _set_back(report, events, scores, wanted) or best


def _set_back(
    report: Report, events: Sequence[Event], scores: ScoreTable, wanted: Iterable[tuple[float, int]]
) -> Pass | None:
    """A pass that adds up tokens several times and keeps one value of each: where the last ones or those of each
    document's best epoch make a number of ``wanted``, digit for digit."""
    sharp = [printed for printed in wanted if printed[1] > DIGITS]
    for how, tally in tallies(events, scores, report.seq) if sharp else ():
        if how != "added up":
            continue
        for start in np.flatnonzero(tally.begins(scores))[::-1][:TRIED]:
            whole = _as_pass(how, tally, int(start), report, sharp[0], scores, True)
            if whole.once >= ONCE:
                continue
            for kept, (value, decimals) in product((_last(whole), _lowest(whole)), sharp):
                found = replace(
                    whole, value=value, decimals=decimals, scores=whole.scores[kept], values=whole.values[kept],
                    positions=whole.positions[kept], seqs=whole.seqs[kept], offsets=whole.offsets[kept],
                )  # fmt: skip
                if found.exact and kept.size >= MIN_SCORES:
                    return found
    return None


def _last(whole: Pass) -> NDArray[np.int64]:
    """Indices of the last score of each position."""
    _, back = np.unique(whole.positions[::-1], return_index=True)
    return np.sort(whole.positions.size - 1 - back)


def _lowest(whole: Pass) -> NDArray[np.int64]:
    """Indices of the scores of that epoch which is the best of a document; between documents a token is not scored."""
    positions, where = np.unique(whole.positions, return_inverse=True)
    order = np.argsort(where, kind="stable")
    first = np.searchsorted(where[order], np.arange(positions.size))
    epoch = np.empty(where.size, np.int64)
    epoch[order] = np.arange(where.size) - first[where[order]]
    document = np.concatenate([[0], np.cumsum(np.diff(positions) > 1)])[where]
    totals = np.zeros((int(document.max()) + 1, int(epoch.max()) + 1))
    counts = np.zeros_like(totals)
    np.add.at(totals, (document, epoch), whole.values)
    np.add.at(counts, (document, epoch), 1)
    totals[counts < counts.max(axis=1, keepdims=True)] = np.inf
    return np.flatnonzero(epoch == totals.argmin(axis=1)[document])


def _neighbours(report: Report, events: Sequence[Event]) -> Iterator[tuple[float, int]]:
    """Numbers of other lines that print one of the report's numbers too (a BPB alone is no mean of losses)."""
    near = [r for r in reports(events) if r.seq != report.seq and abs(r.seq - report.seq) <= NEAR_EVENTS]
    for other in near:
        if any(_same(a, b) for a in report.values for b in other.values):
            yield from other.values


def _same(left: tuple[float, int], right: tuple[float, int]) -> bool:
    """Whether two printed numbers are one number, to the coarser one's decimals (at least three)."""
    decimals = min(left[1], right[1])
    return decimals >= 3 and abs(left[0] - right[0]) <= 0.51 * 10.0**-decimals


def _cover(found: Pass) -> int:
    """How many stream positions a pass reaches."""
    return int(np.unique(found.positions[found.positions != NOWHERE]).size)


def _stretch(
    how: str, tally: Tally, report: Report, value: float, decimals: int, scores: ScoreTable
) -> Pass | None:
    """The stretch at the end of ``tally`` whose mean is ``value``, the likeliest of several; None where none is.

    Likely is a stretch that begins where an evaluation begins and that scores each position once. Others than those
    are taken only for a mean that is right to more digits than chance gives.
    """
    totals, counts = np.asarray(tally.totals)[::-1].cumsum(), np.asarray(tally.counts)[::-1].cumsum()
    off = np.abs(totals / counts - value)
    rounding = 0.51 * 10.0**-decimals
    close = (off <= rounding + 2e-6 * abs(value)) & (counts >= MIN_SCORES)
    begins, last = tally.begins(scores)[::-1], len(tally.seqs) - 1
    sharp = off <= rounding + SAME * abs(value)
    order = sorted(np.flatnonzero(close).tolist(), key=lambda n: (not sharp[n], not begins[n], -n))
    best: Pass | None = None
    for length in order[:TRIED]:
        found = _as_pass(how, tally, last - length, report, (value, decimals), scores, bool(begins[length]))
        if _sound(found) and (best is None or _merit(found) > _merit(best)):
            best = found
    return best


def _sound(found: Pass) -> bool:
    """Whether a stretch may be the pass: mostly validation tokens, and no chance match of several evaluations."""
    known = found.positions[found.positions != NOWHERE]
    if known.size < found.positions.size * 0.5:
        return False
    if found.once >= ONCE:
        return True
    # What was counted of the model's losses is not known (overlapping windows are left out): only the exact mean tells.
    return found.begins and (found.how == "added up" or found.exact)


def _merit(found: Pass) -> tuple[bool, bool, bool, int, bool, int, int]:
    """What speaks for a match, in order of weight."""
    return (
        found.exact, found.begins, found.once >= ONCE, _cover(found), found.how == "added up", found.last_seq,
        -found.positions.size,
    )  # fmt: skip


def _as_pass(
    how: str, tally: Tally, start: int, report: Report, printed: tuple[float, int], scores: ScoreTable, begins: bool
) -> Pass:
    """The pass of the entries of ``tally`` from ``start`` on; ``printed`` is the value with its decimals."""
    labels = np.concatenate(tally.labels[start:])
    values = np.concatenate(tally.values[start:])
    seqs = np.repeat(np.asarray(tally.seqs[start:], np.int64), tally.counts[start:])
    offsets = np.concatenate(tally.offsets[start:])
    known = labels >= 0
    labels, values = labels[known], values[known]
    return Pass(
        report, printed[0], labels, values, scores.position[labels], tally.seqs[start], tally.seqs[-1], how, tally.site,
        seqs[known], offsets[known], printed[1], begins,
    )  # fmt: skip


def last_sweep(report: Report, scores: ScoreTable) -> Pass | None:
    """For a report that matches nothing: the last loss of the model for each position before it, without gradients."""
    chosen = np.flatnonzero((scores.position != NOWHERE) & ~scores.grad & (scores.seq < report.seq))
    if chosen.size < MIN_SCORES:
        return None
    _, back = np.unique(scores.position[chosen][::-1], return_index=True)
    labels = np.sort(chosen[chosen.size - 1 - back])
    values = scores.loss[labels].astype(np.float64)
    seqs = scores.seq[labels]
    return Pass(
        report, float(values.mean()), labels, values, scores.position[labels],
        int(seqs.min()), int(seqs.max()), "last model losses", report.site,
        seqs, labels - np.searchsorted(scores.seq, seqs),
    )  # fmt: skip


def headline(found: Sequence[Report], stated: Sequence[str], source: str = "") -> Report | None:
    """The report that prints what the log's headline lines print; else the last one that names a BPB or a loss.

    ``stated`` are log lines of the claimed score; lines are compared with their numbers taken out. Where ``source``,
    the script's text, can print the claimed line and the run did not, there is none: another line would be judged.
    """
    wanted = [_skeleton(line) for line in stated]
    for report in reversed(found):
        if _skeleton(report.text) in wanted:
            return report
    labels = {label for line in wanted if len(label := _label(line)) >= LABEL}
    if any(label in source for label in labels):
        named = [r for r in found if _label(_skeleton(r.text)) in labels]
        return named[-1] if named else None
    words = [set(w.split()) for w in wanted]
    best = max(found, key=lambda r: (_alike(r.text, words), r.seq), default=None)
    if best is not None and _alike(best.text, words) >= 0.6:
        return best
    for names in ("bpb", "loss"):
        named = [r for r in found if names in r.text.lower() and "train_loss" not in r.text.lower()]
        if named:
            return named[-1]
    return found[-1] if found else None


def _label(skeleton: str) -> str:
    """What stands before the first figure's name: ``final_ttt_exact`` of ``final_ttt_exact val_loss:#``."""
    return re.split(r"\s*\b[\w.]*[:=]?\s*#", skeleton, maxsplit=1)[0].strip()


def _skeleton(line: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", "#", line)).strip()


def _alike(text: str, wanted: Sequence[set[str]]) -> float:
    """Share of words in common with the most similar wanted line."""
    words = set(_skeleton(text).split())
    return max((len(words & w) / max(1, len(words | w)) for w in wanted), default=0.0)
