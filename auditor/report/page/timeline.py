"""The picture of the toy run: x the order of events, y the position in the validation stream."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from auditor.core.exhibits import Block, Mark, Picture
from auditor.core.types import BehaviourInfo
from auditor.report.page.svg import Figure, canvas, line, number, rect, tag, text, ticks

WIDTH, HEIGHT = 960, 436
LEFT, TOP, RIGHT, BOTTOM = 70, 50, 752, 346
STRIPS = ((778, "other"), (866, "differs"))
STRIP = 64
BAND = (358, 14)
"""Top and height of the band for training on other data."""
KEY = "timeline"
WORDS = {
    Mark.TRAINED_BEFORE: "trained on before its judged score",
    Mark.UNDONE: "trained on before its score, weights put back",
    Mark.JUDGED: "scored for the judged number",
    Mark.TRAINED_AFTER: "trained on after its judged score",
    Mark.SCORED: "scored, not for the judged number",
    Mark.TRAIN_DATA: "trained on other data",
}
"""In the order of the legend."""
STAND_IN = "one of the last scores before the judged number"
LETTER = 6.4
"""Width of a letter of a small label, about."""
_DRAWN = (Mark.SCORED, Mark.TRAINED_AFTER, Mark.UNDONE, Mark.JUDGED, Mark.TRAINED_BEFORE)


def figure(info: BehaviourInfo) -> Figure | None:
    """The picture; None where nothing ran or nothing was scored or trained on."""
    drawn = info.picture
    if drawn is None or drawn.moments < 1 or drawn.tokens < 1:
        return None
    said = sentence(drawn)
    title = "What the toy run scored and trained on, and when"
    return Figure(
        KEY, title, said, canvas(KEY, title, said, WIDTH, HEIGHT, *_parts(drawn)),
        ("what", "tokens", "events", "positions in the stream"), tuple(_rows(drawn)), tuple(_legend(drawn)),
        tuple(note for note in (drawn.left_out,) if note),
    )  # fmt: skip


def sentence(drawn: Picture) -> str:
    """What the picture shows, in words."""
    counts = dict(drawn.counts)
    early = counts.get(Mark.TRAINED_BEFORE, 0)
    parts = []
    if not counts.get(Mark.JUDGED):
        parts.append("No scores stand behind a judged number.")
    elif drawn.stand_in:
        parts.append(
            "The judged number is the mean of no scores that were recorded: the last ones before it stand in for "
            "them here, and what is drawn proves nothing of it."
        )
    elif early:
        parts.append(f"Validation tokens are trained on before their judged score is taken ({early:,} times a token).")
    else:
        parts.append("No validation token is trained on before its judged score is taken.")
    if drawn.run_b and drawn.compared:
        how = f"{drawn.differing:,} of {drawn.compared:,}" if drawn.differing else f"none of {drawn.compared:,}"
        parts.append(
            f"A second run had other tokens only where the first scored later (cut {drawn.run_b}): {how} "
            "scores taken before that differ."
        )
    elif drawn.run_b:
        parts.append("A second run was made, but its scores could not be held against the first.")
    else:
        parts.append("No second run was compared.")
    return " ".join(parts)


def _parts(drawn: Picture) -> Iterator[Markup]:
    yield tag("defs", _hatch("hatch-bad", "bad-line"), _hatch("hatch-other", "other-line"))
    yield rect(LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP, "plot")
    yield from _axes(drawn)
    for mark in _DRAWN:
        yield tag("g", *(_block(drawn, b) for b in drawn.blocks if b.mark is mark), class_=f"mark-{mark.value}")
    band = [b for b in drawn.blocks if b.mark is Mark.TRAIN_DATA]
    top, height = BAND
    yield tag(
        "g", *(rect(_x(drawn, b.t0), top, _x(drawn, b.t1) - _x(drawn, b.t0), height, "fill") for b in band),
        class_=f"mark-{Mark.TRAIN_DATA.value}",
    )  # fmt: skip
    yield from _events(drawn)
    if drawn.run_b:
        yield from _comparison(drawn)


def _hatch(name: str, kind: str) -> Markup:
    stroke = line(0, 0, 0, 6, kind)
    return tag("pattern", stroke, id=name, width=6, height=6, patternUnits="userSpaceOnUse",
               patternTransform="rotate(45)")  # fmt: skip


def _x(drawn: Picture, moment: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(max(moment, 0), drawn.moments) / drawn.moments


def _y(drawn: Picture, position: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(max(position, 0), drawn.tokens) / drawn.tokens


def _block(drawn: Picture, block: Block) -> Markup:
    x, y = _x(drawn, block.t0), _y(drawn, block.p1)
    width, height = _x(drawn, block.t1) - x, _y(drawn, block.p0) - y
    shape = rect(x, y, width, height, "fill")
    return shape + rect(x, y, width, height, "over") if block.mark is Mark.TRAINED_BEFORE else shape


def _axes(drawn: Picture) -> Iterator[Markup]:
    for value in ticks(0, drawn.tokens, 4):
        y = _y(drawn, value)
        yield line(LEFT, y, RIGHT, y, "grid")
        yield text(LEFT - 8, y + 4, number(value), anchor="end")
    for value in ticks(0, drawn.moments, 8):
        x = _x(drawn, value)
        yield line(x, BAND[0] + BAND[1], x, BAND[0] + BAND[1] + 5, "axis")
        yield text(x, BAND[0] + BAND[1] + 20, number(value), anchor="middle")
    yield text((LEFT + RIGHT) / 2, HEIGHT - 16, "time: events that score or train, in their order", anchor="middle")
    middle = (TOP + BOTTOM) / 2
    yield tag("text", "position in the validation stream", x=16, y=middle, class_="label", text_anchor="middle",
              transform=f"rotate(-90 16 {middle:g})")  # fmt: skip
    yield text(LEFT - 8, BAND[0] + 11, "other data", anchor="end", kind="label small")


def _events(drawn: Picture) -> Iterator[Markup]:
    lines = [(moment, words, "event") for moment, words in drawn.events]
    if drawn.run_b and drawn.cut_moment is not None:
        lines.append((drawn.cut_moment, "cut", "cut"))
    rows: list[list[tuple[float, float]]] = [[], [], []]
    for moment, words, kind in sorted(lines):
        x, width = _x(drawn, moment), LETTER * len(words)
        yield line(x, TOP - 6, x, BOTTOM, kind)
        anchor = "end" if x > (LEFT + RIGHT) / 2 else "start"
        left = x - width if anchor == "end" else x
        free = (n for n, row in enumerate(rows) if not any(a < left + width + 6 and left < b + 6 for a, b in row))
        at = next(free, len(rows) - 1)
        rows[at].append((left, left + width))
        yield text(x, TOP - 10 - 14 * at, words, "label small", anchor)


def _comparison(drawn: Picture) -> Iterator[Markup]:
    """Two strips beside the picture: which tokens were others in the second run, which earlier scores differ."""
    for (x, kind), spans, words in zip(
        STRIPS, (drawn.changed, drawn.differing_at), (("token changed", "in run B"), ("earlier score", "differs")),
        strict=True,
    ):  # fmt: skip
        yield rect(x, TOP, STRIP, BOTTOM - TOP, "plot")
        shapes = [rect(x, _y(drawn, p1), STRIP, max(1.0, _y(drawn, p0) - _y(drawn, p1)), "fill") for p0, p1 in spans]
        yield tag("g", *shapes, class_=f"strip-{kind}")
        yield text(x + STRIP / 2, BOTTOM + 16, words[0], "label small", "middle")
        yield text(x + STRIP / 2, BOTTOM + 30, words[1], "label small", "middle")
    if not drawn.differing:
        said = "none" if drawn.compared else "not told"
        yield text(STRIPS[1][0] + STRIP / 2, (TOP + BOTTOM) / 2, said, "label", "middle")


def _legend(drawn: Picture) -> Iterator[tuple[str, str]]:
    shown = {block.mark for block in drawn.blocks}
    yield from ((f"swatch-{mark.value}", _words(drawn, mark)) for mark in WORDS if mark in shown)


def _words(drawn: Picture, mark: Mark) -> str:
    return STAND_IN if drawn.stand_in and mark is Mark.JUDGED else WORDS[mark]


def _rows(drawn: Picture) -> Iterator[tuple[str, ...]]:
    counts = dict(drawn.counts)
    for mark in WORDS:
        blocks = [b for b in drawn.blocks if b.mark is mark]
        if not blocks:
            continue
        inside = mark is not Mark.TRAIN_DATA
        where = f"{min(b.p0 for b in blocks):,} to {max(b.p1 for b in blocks) - 1:,}" if inside else "-"
        when = f"{min(b.t0 for b in blocks):,} to {max(b.t1 for b in blocks) - 1:,}"
        yield _words(drawn, mark), f"{counts.get(mark, 0):,}" if inside else "-", when, where
    if drawn.run_b:
        yield "token changed in run B", "-", "-", _spans(drawn.changed)
        yield "earlier score differs", f"{drawn.differing:,} of {drawn.compared:,}", "-", _spans(drawn.differing_at)
    yield from ((words, "-", f"before {moment:,}", "-") for moment, words in drawn.events)


def _spans(spans: tuple[tuple[int, int], ...]) -> str:
    shown = ", ".join(f"{first:,} to {last - 1:,}" for first, last in spans[:6])
    return (shown or "none") + (f" and {len(spans) - 6} more stretches" if len(spans) > 6 else "")
