"""The artifact's bytes by part against the cap, and seconds by phase against the budgets, as bars."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from auditor.core.exhibits import ByteBar, Exhibits, Part, PhaseTime
from auditor.report.page.svg import Figure, canvas, line, rect, text

WIDTH, LEFT, RIGHT, ROW = 960, 250, 850, 26
PARTS = 4
"""CSS classes for parts; further parts share the last."""


def byte_figure(bar: ByteBar | None) -> Figure | None:
    """The bar of the cap; None where no size is known."""
    if bar is None or not (bar.parts or bar.totals):
        return None
    parts = [part for part in bar.parts if part.bytes > 0]
    whole = sum(part.bytes for part in parts)
    title = f"The artifact against the cap of {bar.cap:,} bytes"
    said = f"{whole:,} bytes by part. " if parts else "The parts are not known. "
    says = f"{said}{bar.why[:1].upper()}{bar.why[1:]}."
    rows = [(part.name, f"{part.bytes:,}", f"{part.bytes / bar.cap:.1%}") for part in (*parts, *bar.totals)]
    top = max([bar.cap, whole, *(total.bytes for total in bar.totals)]) * 1.03
    bars: list[tuple[str, list[Part]]] = [("by part", parts)] if parts else []
    bars += [(f"total, {total.name}", [total]) for total in bar.totals]
    height = 46 + ROW * len(bars)
    svg = canvas("bytes", title, says, WIDTH, height, *_byte_rows(bar, bars, top, height))
    legend = tuple((f"swatch-part{min(i, PARTS - 1)}", f"{p.name}: {p.bytes:,}") for i, p in enumerate(parts))
    return Figure("bytes", title, says, svg, ("part or total", "bytes", "of the cap"), tuple(rows), legend)


def _byte_rows(bar: ByteBar, bars: list[tuple[str, list[Part]]], top: float, height: int) -> Iterator[Markup]:
    def px(count: float) -> float:
        return LEFT + (RIGHT - LEFT) * count / top

    for number, (name, parts) in enumerate(bars):
        y, at = 26 + ROW * number, 0
        stacked = len(parts) > 1 or name == "by part"
        for index, part in enumerate(parts):
            kind = f"part{min(index, PARTS - 1)}" if stacked else "total"
            yield rect(px(at), y, max(1.5, px(at + part.bytes) - px(at)), ROW - 8, kind, f"{part.name}: {part.bytes:,}")
            at += part.bytes
        if at > bar.cap:
            yield rect(px(bar.cap), y, px(at) - px(bar.cap), ROW - 8, "excess", f"{at - bar.cap:,} bytes over the cap")
        yield text(LEFT - 10, y + 13, name, anchor="end")
        yield text(max(px(at), px(bar.cap)) + 8, y + 13, f"{at:,}{' OVER' if at > bar.cap else ''}")
    yield line(px(bar.cap), 18, px(bar.cap), height - 16, "limit")
    yield text(px(bar.cap), 12, f"cap {bar.cap:,}", "label small", "end")


def time_figure(exhibits: Exhibits) -> Figure | None:
    """Seconds by phase; None where the logs state none."""
    phases = exhibits.phases
    if not phases:
        return None
    title = "Seconds by phase against the budgets"
    over = [p for p in phases if p.budget is not None and p.seconds > p.budget]
    says = (
        f"Logged runs behind the score: {len({p.run for p in phases})}. The budgets hold on eight H100. Phases longer "
        f"than their budget: {len(over)} (a last step that overshoots it by a fraction of a second is usual)."
    )
    rows = [(p.run, p.phase, f"{p.seconds:,.2f}", "-" if p.budget is None else f"{p.budget:,.0f}") for p in phases]
    top = max(max(p.seconds for p in phases), max((p.budget or 0.0 for p in phases), default=0.0), 1e-9) * 1.04
    heads = list(dict.fromkeys(p.run for p in phases))
    height = 14 + ROW * len(phases) + 20 * len(heads)
    svg = canvas("seconds", title, says, WIDTH, height, *_phase_rows(phases, heads, top))
    return Figure("seconds", title, says, svg, ("log", "phase", "seconds", "budget"), tuple(rows))


def _phase_rows(phases: tuple[PhaseTime, ...], heads: list[str], top: float) -> Iterator[Markup]:
    y = 0.0
    for run in heads:
        yield text(8, y + 15, run, "label strong")
        y += 20
        for phase in (p for p in phases if p.run == run):
            yield from _phase(phase, y, top)
            y += ROW


def _phase(phase: PhaseTime, y: float, top: float) -> Iterator[Markup]:
    def px(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * seconds / top

    yield rect(LEFT, y + 3, max(1.0, px(phase.seconds) - LEFT), ROW - 10, "phase", f"{phase.seconds:,.2f} s")
    if phase.budget is not None:
        if phase.seconds > phase.budget:
            yield rect(px(phase.budget), y + 3, px(phase.seconds) - px(phase.budget), ROW - 10, "excess")
        yield line(px(phase.budget), y, px(phase.budget), y + ROW - 4, "limit")
    yield text(LEFT - 10, y + 15, phase.phase, anchor="end")
    limit = "" if phase.budget is None else f" of {phase.budget:,.0f} s"
    yield text(max(px(phase.seconds), px(phase.budget or 0.0)) + 8, y + 15, f"{phase.seconds:,.1f}{limit or ' s'}")
