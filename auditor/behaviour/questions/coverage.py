"""Coverage: the printed score is the mean over the whole validation stream, each position once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Answer, Evidence, Question
from auditor.behaviour.passes import Pass
from auditor.behaviour.questions.common import first_scores, no_pass, path, quoted, spot_of, unknown
from auditor.behaviour.questions.printed import stated
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE
from auditor.behaviour.tallies import as_losses
from auditor.behaviour.toyworld.spec import World
from auditor.core.types import Confidence, Outcome

Change = tuple[str, str, str, str]
"""A knob that scale-down changed: (name, from, to, role)."""
LIMITING = ("docs", "token_limit", "length", "repeats")
"""Roles of knobs that may decide how much is scored."""
MISPLACED = 1e-3
"""Share of scores that may be placed wrongly, where two rows meet and the tokens there look like another place."""
REPEATS = 0.02
"""Share of repeated scores that a last window, pushed back to full length, explains."""


def ask(run: Run, world: World, changes: Sequence[Change] = ()) -> Answer:
    """Which positions the judged pass scores, and how often. ``changes`` are what scale-down did to limits."""
    question = Question.COVERAGE
    missing = no_pass(run, question)
    if missing is not None:
        return _divided(run, changes) or missing
    found = run.judged
    assert found is not None
    positions, _ = first_scores(found, run.scores)
    absent = np.setdiff1d(np.arange(1, run.stream.tokens.size), positions)
    absent = absent[run.stream.tokens[absent] != world.spec.bos_id]
    ends = absent[_at_ends(absent, run.stream.tokens.size, _row_length(run, found))]
    absent = np.setdiff1d(absent, ends)
    unplaced = int((found.positions == NOWHERE).sum())
    if unplaced > 0.05 * found.positions.size:
        return unknown(question, f"{unplaced:,} of {found.positions.size:,} scores could not be placed in the stream")
    if absent.size > unplaced + _misplaced(found):
        return _absent(run, found, absent, changes)
    again = _repeated(run, found)
    if again.size and not found.exact:
        said = f"the printed {found.value:g} is too coarse to tell which scores it is the mean of"
        return unknown(question, f"{said}: some would count more than once")
    if again.size:
        return _again(found, again)
    note = f" but for {ends.size:,} at its ends, less than a row each" if ends.size else ""
    more = int((found.positions != NOWHERE).sum()) - positions.size
    note += f"; {more:,} scores repeat the last ones, as windows of full length do" if more else ""
    said = f"{positions.size:,} positions are scored, each once, the whole stream{note}"
    return Answer(question, Outcome.CLEAR, said)


def _row_length(run: Run, found: Pass) -> int:
    """The longest input row of the pass."""
    seqs = set(np.unique(run.scores.seq[found.scores]).tolist())
    shapes = [e.fields["shape"] for e in run.events if e.kind == "Scored" and e.seq in seqs]
    return max((_row(s) for s in shapes), default=0)


def _row(shape: Sequence[int]) -> int:
    """A flat list of targets tells no length; the competition's toy rows are at most a quarter of the stream."""
    return int(shape[-1]) if len(shape) > 1 and shape[-1] > 1 else 512


def _at_ends(absent: NDArray[np.int64], tokens: int, row: int) -> NDArray[np.bool_]:
    """Which of ``absent`` lie in the stream's first row or in its last one: context that windows which count only
    their last tokens never score, and a remainder too short for a row. On the real stream that is a millionth."""
    row = max(row, 1)
    return (absent <= row) | (absent >= tokens - row)


def _misplaced(found: Pass) -> int:
    """How many scores may have been placed wrongly: each leaves one position out and counts another twice."""
    known = found.positions[found.positions != NOWHERE]
    return min(int(known.size - np.unique(known).size), int(MISPLACED * known.size))


def _repeated(run: Run, found: Pass) -> NDArray[np.int64]:
    """Positions that count more than once, but for those of a last window that was pushed back."""
    known = found.positions[found.positions != NOWHERE]
    counts = np.bincount(known, minlength=run.stream.tokens.size)
    again = np.flatnonzero(counts > 1)
    tail = run.stream.tokens.size - max(_row_length(run, found), 1)
    inner = again[again < tail]
    extra = int((counts[inner] - 1).sum())
    return inner if extra > REPEATS * known.size else np.zeros(0, np.int64)


def _absent(run: Run, found: Pass, absent: NDArray[np.int64], changes: Sequence[Change]) -> Answer:
    limits = [c for c in changes if c[3] in LIMITING]
    total = run.stream.tokens.size - 1
    said = f"{absent.size:,} of {total:,} validation tokens are not in the printed score"
    if limits:
        names = ", ".join(f"{name} ({old} to {new})" for name, old, new, _ in limits[:4])
        return unknown(Question.COVERAGE, f"{said}, but the scale-down changed {names}, which may be why")
    documents = np.searchsorted(run.stream.starts, absent, side="right") - 1
    whole = [d for d in np.unique(documents) if _all_absent(run, int(d), absent)]
    site = spot_of([*found.site, ""], "the scores are added up here")
    message = f"{said}: positions {quoted(absent)}; {len(whole)} of {run.stream.starts.size} documents wholly"
    figures = {"missing": float(absent.size), "tokens": float(total), "documents_missing": float(len(whole))}
    evidence = Evidence(Confidence.HIGH, message, site, path(site), figures=figures)
    return Answer(Question.COVERAGE, Outcome.FOUND, said, (evidence,))


def _all_absent(run: Run, document: int, absent: NDArray[np.int64]) -> bool:
    starts = run.stream.starts
    first = int(starts[document]) + 1
    end = int(starts[document + 1]) if document + 1 < starts.size else run.stream.tokens.size
    return bool(np.isin(np.arange(first, end), absent).all())


def _again(found: Pass, again: NDArray[np.int64]) -> Answer:
    said = f"{again.size:,} validation tokens count more than once in the printed score"
    site = spot_of([*found.site, ""], "the scores are added up here")
    figures = {"repeated": float(again.size), "scores": float(found.positions.size)}
    evidence = Evidence(Confidence.HIGH, f"{said}: positions {quoted(again)}", site, path(site), figures=figures)
    return Answer(Question.COVERAGE, Outcome.FOUND, said, (evidence,))


def _divided(run: Run, changes: Sequence[Change]) -> Answer | None:
    """A printed loss that is a whole sweep of losses divided by another number than their count."""
    told = stated(run)
    if told.loss is None or told.loss_decimals < 6 or run.headline is None:
        return None
    for site, total, count in _sweeps(run):
        divisor = total / told.loss
        if not math.isfinite(divisor):
            continue
        slack = divisor * 0.6 * 10.0**-told.loss_decimals / told.loss + 1e-3
        whole = round(divisor)
        if slack > 0.1 or abs(divisor - whole) > slack or whole == count or not count / 4 < whole < count * 4:
            continue
        said = f"the losses of {count:,} tokens are divided by {whole:,}"
        spot = spot_of([*site, ""], "the losses are added up here")
        figures = {"counted": float(count), "divisor": float(whole)}
        evidence = Evidence(Confidence.MEDIUM, said, spot, path(spot), figures=figures)
        return Answer(Question.COVERAGE, Outcome.FOUND, said, (evidence,))
    return None


def _sweeps(run: Run) -> list[tuple[tuple[str, int], float, int]]:
    """For each line that adds up scores without gradients: the sum and count of its last sweep over the stream."""
    assert run.headline is not None
    lines: dict[tuple[str, int], list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for event in run.events:
        if event.kind == "Summed" and event.seq < run.headline.seq and not event.fields.get("grad"):
            file, line, _ = event.fields["site"]
            lines.setdefault((file, line), []).append((event.arrays["labels"], as_losses(event.arrays["values"])))
    found = []
    for site, parts in lines.items():
        labels = np.concatenate([p[0] for p in parts])
        values = np.concatenate([p[1] for p in parts])
        ok = (labels >= 0) & (labels < run.scores.position.size)
        labels, values = labels[ok], values[ok]
        where = run.scores.position[labels]
        values, where = values[where != NOWHERE], where[where != NOWHERE]
        _, back = np.unique(where[::-1], return_index=True)
        if back.size >= 0.9 * (run.stream.tokens.size - 1):
            found.append((site, float(values[::-1][back].sum()), int(back.size)))
    return found
