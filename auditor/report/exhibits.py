"""Exhibits as JSON and back: what a page draws travels with the JSON report, and a page can be made from it later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.core.exhibits import Block, ByteBar, Curve, Excerpt, Exhibits, Mark, Part, PhaseTime, Picture

Json = Mapping[str, Any]


def picture_document(drawn: Picture | None) -> dict[str, Any] | None:
    """The picture; a block is ``[mark, t0, t1, p0, p1]``, a span ``[first, last)``."""
    if drawn is None:
        return None
    return {
        "moments": drawn.moments,
        "tokens": drawn.tokens,
        "blocks": [[b.mark.value, b.t0, b.t1, b.p0, b.p1] for b in drawn.blocks],
        "events": [list(event) for event in drawn.events],
        "counts": {mark.value: count for mark, count in drawn.counts},
        "run_b": drawn.run_b,
        "cut_moment": drawn.cut_moment,
        "changed": [list(span) for span in drawn.changed],
        "compared": drawn.compared,
        "differing": drawn.differing,
        "differing_at": [list(span) for span in drawn.differing_at],
        "stand_in": drawn.stand_in,
        "left_out": drawn.left_out,
    }


def read_picture(told: Json | None) -> Picture | None:
    """The inverse of `picture_document`. Raises KeyError, TypeError or ValueError for what that never writes."""
    if told is None:
        return None
    return Picture(
        moments=told["moments"],
        tokens=told["tokens"],
        blocks=tuple(Block(Mark(mark), *rest) for mark, *rest in told["blocks"]),
        events=tuple((moment, words) for moment, words in told["events"]),
        counts=tuple((Mark(mark), count) for mark, count in told["counts"].items()),
        run_b=told["run_b"],
        cut_moment=told["cut_moment"],
        changed=_spans(told["changed"]),
        compared=told["compared"],
        differing=told["differing"],
        differing_at=_spans(told["differing_at"]),
        stand_in=told["stand_in"],
        left_out=told["left_out"],
    )


def document(shown: Exhibits) -> dict[str, Any]:
    """Curves, final scores, bytes, phases and excerpts."""
    bar = shown.bytes
    return {
        "curves": [
            {"name": c.name, "quantity": c.quantity, "points": [list(point) for point in c.points]}
            for c in shown.curves
        ],
        "finals": [list(final) for final in shown.finals],
        "bytes": None if bar is None else {
            "cap": bar.cap, "parts": [[p.name, p.bytes] for p in bar.parts],
            "totals": [[p.name, p.bytes] for p in bar.totals], "why": bar.why,
        },
        "phases": [{"run": p.run, "phase": p.phase, "seconds": p.seconds, "budget": p.budget} for p in shown.phases],
        "excerpts": [{"file": e.file, "first": e.first, "lines": list(e.lines)} for e in shown.excerpts],
    }  # fmt: skip


def read(told: Json) -> Exhibits:
    """The inverse of `document`. Raises KeyError, TypeError or ValueError for what that never writes."""
    bar = told["bytes"]
    return Exhibits(
        curves=tuple(Curve(c["name"], c["quantity"], tuple((x, y) for x, y in c["points"])) for c in told["curves"]),
        finals=tuple((log, label, score) for log, label, score in told["finals"]),
        bytes=None if bar is None else ByteBar(
            bar["cap"], tuple(Part(*part) for part in bar["parts"]), tuple(Part(*part) for part in bar["totals"]),
            bar["why"],
        ),
        phases=tuple(PhaseTime(p["run"], p["phase"], p["seconds"], p["budget"]) for p in told["phases"]),
        excerpts=tuple(Excerpt(e["file"], e["first"], tuple(e["lines"])) for e in told["excerpts"]),
    )  # fmt: skip


def _spans(told: Any) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in told)
