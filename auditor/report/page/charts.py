"""Loss and bits per byte as the logs state them, over steps or chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from auditor.core.exhibits import Curve, Exhibits
from auditor.core.text import plain
from auditor.report.page.svg import Figure, canvas, line, number, rect, tag, text, ticks

WIDTH, HEIGHT = 470, 270
LEFT, TOP, RIGHT, BOTTOM = 62, 14, 458, 222
SERIES = 5
KINDS = {
    "train_loss": ("Training loss", "step", "nats per token"),
    "val_bpb": ("Validation score during training", "step", "bits per byte"),
    "ttt_bpb": ("Running score of test-time training", "chunk", "bits per byte"),
}
FIRST = 0.05
"""Share of the steps that count as the beginning."""
ROWS = 12
"""Points of one curve in the table."""


def figures(exhibits: Exhibits) -> list[Figure]:
    """One chart for each quantity that the logs state at more than one point."""
    found = []
    for quantity in KINDS:
        curves = [c for c in exhibits.curves if c.quantity == quantity and c.points][:SERIES]
        if curves:
            found.append(_figure(quantity, curves))
    return found


def _figure(quantity: str, curves: Sequence[Curve]) -> Figure:
    title, x_name, y_name = KINDS[quantity]
    key = quantity.replace("_", "")
    ends = [f"{c.name}: {number(c.points[0][1])} to {number(c.points[-1][1])}" for c in curves]
    says = f"{y_name} by {x_name}, as logged. First and last of each log: {'; '.join(ends)}."
    svg = canvas(key, title, says, WIDTH, HEIGHT, *_parts(key, curves, x_name, y_name))
    rows = [(c.name, number(x), number(y)) for c in curves for x, y in _some(c.points)]
    legend = tuple((f"swatch-series{index}", c.name) for index, c in enumerate(curves))
    return Figure(key, title, says, svg, ("log", x_name, y_name), tuple(rows), legend)


def _some(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    if len(points) <= ROWS:
        yield from points
        return
    yield from (points[index * (len(points) - 1) // (ROWS - 1)] for index in range(ROWS))


def _parts(key: str, curves: Sequence[Curve], x_name: str, y_name: str) -> Iterator[Markup]:
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x_low, x_high = _range(xs)
    y_low, y_high = _range(_settled(curves) or ys)
    cut = y_high < max(ys)

    def px(x: float) -> float:
        return LEFT + (RIGHT - LEFT) * (x - x_low) / (x_high - x_low)

    def py(y: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (y - y_low) / (y_high - y_low)

    yield rect(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, "plot")
    for value in ticks(y_low, y_high, 5):
        yield line(LEFT, py(value), RIGHT, py(value), "grid")
        yield text(LEFT - 6, py(value) + 4, number(value), anchor="end")
    for value in ticks(x_low, x_high, 5):
        yield line(px(value), BOTTOM, px(value), BOTTOM + 5, "axis")
        yield text(px(value), BOTTOM + 19, number(value), anchor="middle")
    yield text((LEFT + RIGHT) / 2, HEIGHT - 8, f"{x_name}; upwards: {y_name}", anchor="middle")
    if cut:
        yield text(RIGHT - 6, TOP + 16, f"first values: off the top, up to {number(max(ys))}", "label small", "end")
    frame = tag("rect", x=LEFT, y=TOP, width=RIGHT - LEFT, height=BOTTOM - TOP)
    yield tag("defs", tag("clipPath", frame, id=f"{key}-clip"))
    for index, curve in enumerate(curves):
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in curve.points)
        yield tag("polyline", tag("title", plain(curve.name, 120)), points=path, class_=f"series series{index}",
                  clip_path=f"url(#{key}-clip)")  # fmt: skip


def _settled(curves: Sequence[Curve]) -> list[float]:
    """The values after each curve's first stretch, where they fill less than a third of the height: else the steep
    beginning would flatten all the rest. Empty where all values are shown."""
    rest: list[float] = []
    for curve in curves:
        start, end = curve.points[0][0], curve.points[-1][0]
        rest += [y for x, y in curve.points if x > start + FIRST * (end - start)]
    every = [y for curve in curves for _, y in curve.points]
    if len(rest) < 2 or max(rest) - min(rest) > (max(every) - min(every)) / 3 or max(every) <= max(rest):
        return []
    return [*rest, min(every)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest, with a little room; never of width zero."""
    low, high = min(values), max(values)
    room = (high - low) * 0.04 or max(abs(high) * 0.01, 0.5)
    return low - room, high + room
