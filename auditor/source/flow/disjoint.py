"""Which scores read other positions than an update consumed, within one turn of the loops that both stand in."""

from __future__ import annotations

from auditor.source.flow.machine import Event, Machine
from auditor.source.flow.values import Labels


def disjoint_scores(m: Machine, update: Event) -> frozenset[int]:
    """Ids of scores whose positions, within one turn, are none of those that ``update`` consumed."""
    return frozenset(e.id for e in m.events if e.what == "score" and _apart(m, update, e))


def _apart(m: Machine, update: Event, score: Event) -> bool:
    return _earlier_turn(m, update, score) or _other_part(m, update, score) or _ends_before(m, update, score)


def _ends_before(m: Machine, update: Event, score: Event) -> bool:
    """Each slice that the update consumed ends at the bound where a scored slice begins (``t[a:b]`` and ``t[b:c]``)."""
    consumed = [m.labels[n].key[4] for n in m.of_kind(update.labels, "acc")]
    begins = {(b[0], b[1]) for b in (m.labels[n].key[4] for n in m.of_kind(score.labels, "acc")) if b}
    return bool(consumed) and all(b is not None and (b[0], b[2]) in begins for b in consumed)


def _earlier_turn(m: Machine, update: Event, score: Event) -> bool:
    """The update consumed what an earlier turn of the shared loop sliced; the score reads this turn's slice."""
    for loop, turn in score.turns:
        if not turn or (loop, turn) not in update.turns:
            continue
        consumed = [_turned(m, n, loop) for n in m.of_kind(update.labels, "acc") if loop in m.labels[n].key[1]]
        read = [_turned(m, n, loop) for n in m.of_kind(score.labels, "acc") if loop in m.labels[n].key[1]]
        if consumed and read and not any(consumed) and all(read):
            return True
    return False


def _turned(m: Machine, label: int, loop: int) -> bool:
    return loop in m.labels[label].key[2]


def _other_part(m: Machine, update: Event, score: Event) -> bool:
    """The loss up to a bound was minimised, and the loss from that bound on is what counts."""
    heads = _bounds(m, update.labels, "head") - _bounds(m, update.labels, "tail")
    return bool(heads & (_bounds(m, score.labels, "tail") | score.data.get("tails", frozenset())))


def _bounds(m: Machine, labels: Labels, side: str) -> frozenset[object]:
    return frozenset(m.labels[n].key[1:] for n in m.of_kind(labels, "part") if m.labels[n].key[0] == side)


def mark_counted_parts(m: Machine) -> None:
    """Give each score the bounds from which on its value reached a report."""
    for report in [e for e in m.events if e.what == "report"]:
        tails = _bounds(m, report.labels, "tail")
        for n in m.of_kind(report.labels, "nll"):
            score = m.events[m.labels[n].key[0]]
            score.data["tails"] = score.data.get("tails", frozenset()) | tails
