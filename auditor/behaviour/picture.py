"""The picture of a toy run: rectangles of (moments, stream positions) for what was scored and trained on, and the cut.

Moments count the events that score or train. Both axes are laid on a grid that is coarse enough for the page; the
limits of a rectangle are therefore those of cells, not of single tokens. Which questions hold is for the questions to
say: this only shows the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Question
from auditor.behaviour.passes import Pass
from auditor.behaviour.questions.common import backwards, first_scores, no_pass
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.behaviour.questions.score_before_update import undone
from auditor.behaviour.run import Run
from auditor.core.exhibits import MAX_BLOCKS, Block, Mark, Picture

COLUMNS, ROWS = 240, 96
"""Cells of the finest grid; halved until the rectangles are few enough."""
COARSEST = 12
MAX_SPANS = 96
MAX_EVENTS = 6
UNDONE_LOOKS = 40
"""Updates for which it is looked up whether the weights were put back; each costs a walk over the events."""
Touched = tuple[int, Mark, NDArray[np.int64]]
"""Moment, mark and stream positions of one event; no positions: tokens of other data."""


def picture(run: Run, comparisons: Sequence[Comparison]) -> Picture | None:
    """The picture of run A, with the comparison that shows most; None where nothing was scored or trained on."""
    moment_of = _moments(run)
    touched = list(_touched(run, moment_of))
    if not touched:
        return None
    tokens, moments = int(run.stream.tokens.size), len(moment_of)
    blocks, left_out = _blocks(touched, moments, tokens)
    counts: dict[Mark, int] = {}
    for _, mark, positions in touched:
        counts[mark] = counts.get(mark, 0) + int(positions.size)
    shown = max(comparisons, key=lambda c: (c.differs, int(c.positions.size) + len(c.own), c.compared), default=None)
    drawn = Picture(
        moments, tokens, blocks, _events(run, moment_of), tuple(sorted(counts.items())), left_out=left_out,
        stand_in=run.judged is not None and no_pass(run, Question.COVERAGE) is not None,
    )  # fmt: skip
    return drawn if shown is None else _with_cut(drawn, run, shown, moment_of)


def _moments(run: Run) -> dict[int, int]:
    """Event number to moment, of every event that scores or trains."""
    seqs = [event.seq for event in run.events if event.kind in ("Scored", "Trained")]
    return {seq: moment for moment, seq in enumerate(seqs)}


def _touched(run: Run, moment_of: dict[int, int]) -> Iterator[Touched]:
    """What each event scored or trained on; one event may give several marks."""
    judged = np.zeros(run.scores.position.size, np.bool_)
    scored = np.full(run.stream.tokens.size, -1, np.int64)
    if run.judged is not None:
        judged[run.judged.scores] = True
        scored = _first(run, run.judged)
    yield from _scores(run, judged, moment_of)
    yield from _training(run, scored, moment_of)


def _first(run: Run, found: Pass) -> NDArray[np.int64]:
    """For each stream position the number of the event that gave its first judged score, -1 where none did."""
    positions, first = first_scores(found, run.scores)
    scored = np.full(run.stream.tokens.size, -1, np.int64)
    scored[positions] = run.scores.seq[found.scores[first]]
    return scored


def _scores(run: Run, judged: NDArray[np.bool_], moment_of: dict[int, int]) -> Iterator[Touched]:
    table = run.scores
    order = np.argsort(table.seq, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(table.seq[order])) + 1) if order.size else ():
        moment = moment_of.get(int(table.seq[part[0]]))
        known = part[table.position[part] >= 0]
        if moment is None or not known.size:
            continue
        for mark, chosen in ((Mark.JUDGED, known[judged[known]]), (Mark.SCORED, known[~judged[known]])):
            if chosen.size:
                yield moment, mark, table.position[chosen]


def _training(run: Run, scored: NDArray[np.int64], moment_of: dict[int, int]) -> Iterator[Touched]:
    validation: set[int] = set()
    looks = 0
    for one in backwards(run):
        validation.add(one.seq)
        before = scored[one.positions] > one.update
        hit, rest = one.positions[before], one.positions[~before]
        moment = moment_of[one.seq]
        if hit.size:
            looks += 1
            back = looks <= UNDONE_LOOKS and undone(run, one, int(scored[hit].min()))
            yield moment, Mark.UNDONE if back else Mark.TRAINED_BEFORE, hit
        if rest.size:
            yield moment, Mark.TRAINED_AFTER, rest
    empty = np.zeros(0, np.int64)
    for event in run.events:
        if event.kind == "Trained" and event.seq not in validation:
            yield moment_of[event.seq], Mark.TRAIN_DATA, empty


def _blocks(touched: Sequence[Touched], moments: int, tokens: int) -> tuple[tuple[Block, ...], str]:
    """Rectangles on the finest grid that has few enough of them."""
    columns, rows = min(COLUMNS, moments), min(ROWS, tokens)
    while True:
        blocks = tuple(_on_grid(touched, moments, tokens, columns, rows))
        if len(blocks) <= MAX_BLOCKS:
            return blocks, ""
        if columns <= COARSEST and rows <= COARSEST:
            return blocks[:MAX_BLOCKS], f"{len(blocks) - MAX_BLOCKS:,} rectangles are left out"
        columns, rows = max(COARSEST, columns * 2 // 3), max(COARSEST, rows * 2 // 3)


def _on_grid(touched: Sequence[Touched], moments: int, tokens: int, columns: int, rows: int) -> Iterator[Block]:
    edges_t = [number * moments // columns for number in range(columns + 1)]
    edges_p = [number * tokens // rows for number in range(rows + 1)]
    for mark in Mark:
        cells = np.zeros((columns, rows), np.bool_)
        for moment, what, positions in touched:
            if what is not mark:
                continue
            column = int(np.searchsorted(edges_t, moment, side="right")) - 1
            if mark is Mark.TRAIN_DATA:
                cells[column, 0] = True
            else:
                cells[column, np.searchsorted(edges_p, positions, side="right") - 1] = True
        for c0, c1, r0, r1 in rectangles(cells):
            p0, p1 = (0, 0) if mark is Mark.TRAIN_DATA else (edges_p[r0], edges_p[r1])
            yield Block(mark, edges_t[c0], edges_t[c1], p0, p1)


def rectangles(cells: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Rectangles ``(c0, c1, r0, r1)``, ends excluded, that together are the true cells of shape [columns, rows].

    Vertical runs of a column that go on unchanged in the next are one rectangle.
    """
    done: list[tuple[int, int, int, int]] = []
    open_: dict[tuple[int, int], int] = {}
    for column in range(cells.shape[0] + 1):
        here = set(_runs(cells[column])) if column < cells.shape[0] else set()
        for run in [run for run in open_ if run not in here]:
            done.append((open_.pop(run), column, *run))
        for run in here:
            open_.setdefault(run, column)
    return sorted(done)


def _runs(line: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _events(run: Run, moment_of: dict[int, int]) -> tuple[tuple[int, str], ...]:
    """The moments that explain the picture: when the artifact was written, when the judged line was printed."""
    found: list[tuple[int, str]] = []
    headline = run.headline.seq if run.headline is not None else -1
    moment = 0
    for event in run.events:
        moment = moment_of[event.seq] + 1 if event.seq in moment_of else moment
        if event.kind == "ArtifactWritten":
            found.append((moment, "artifact written"))
        elif event.seq == headline:
            found.append((moment, "judged score printed"))
    last = {label: moment for moment, label in found}  # of several writings the last one counts
    return tuple(sorted((moment, label) for label, moment in last.items()))[:MAX_EVENTS]


def _with_cut(drawn: Picture, run: Run, shown: Comparison, moment_of: dict[int, int]) -> Picture:
    """``drawn`` with the comparison: which tokens were changed, and which earlier scores noticed."""
    judged, cut_moment = run.judged, None
    if judged is not None and 0 <= shown.cut.index < judged.scores.size:
        cut_moment = moment_of.get(int(run.scores.seq[judged.scores[shown.cut.index]]))
    differing = np.unique(np.concatenate([shown.positions, np.asarray(shown.own, np.int64)]))
    return replace(
        drawn, run_b=shown.cut.why, cut_moment=cut_moment, changed=spans(np.flatnonzero(~shown.cut.keep), drawn.tokens),
        compared=shown.compared, differing=int(differing.size), differing_at=spans(differing, drawn.tokens),
        left_out="; ".join(part for part in (drawn.left_out, shown.problem) if part),
    )  # fmt: skip


def spans(positions: NDArray[np.int64], tokens: int) -> tuple[tuple[int, int], ...]:
    """At most `MAX_SPANS` spans ``[first, last)`` that hold all ``positions`` of a stream of ``tokens``.

    Where there are more they are those of a grid whose cells hold at least one of the positions.
    """
    known = positions[(positions >= 0) & (positions < tokens)]
    exact = list(_joined(known, known + 1))
    if len(exact) <= MAX_SPANS:
        return tuple(exact)
    cells = 2 * MAX_SPANS
    cell = np.unique(known * cells // tokens)
    return tuple(_joined(-(-cell * tokens // cells), -(-(cell + 1) * tokens // cells)))


def _joined(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    if not starts.size:
        return []
    breaks = np.flatnonzero(starts[1:] > ends[:-1]) + 1
    first, last = np.concatenate([[0], breaks]), np.concatenate([breaks, [starts.size]]) - 1
    return [(int(starts[i]), int(ends[j])) for i, j in zip(first, last, strict=True)]
