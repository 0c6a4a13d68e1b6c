"""SVG as text: elements whose attributes and contents are escaped, axes, and figures with a table beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from auditor.core.text import plain

Attribute = str | int | float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture, what it says in words, and the same as a table for those who do not see it."""

    key: str
    """A letter-only name, for ids."""
    title: str
    says: str
    svg: Markup
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    legend: tuple[tuple[str, str], ...] = ()
    """(CSS class of the swatch, words)."""
    notes: tuple[str, ...] = field(default_factory=tuple)


def tag(name: str, *children: str, **attributes: Attribute) -> Markup:
    """One element; ``class_`` is ``class``, other underscores are hyphens, attributes that are None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(children)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def _text(value: Attribute) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def canvas(key: str, title: str, says: str, width: int, height: int, *children: str) -> Markup:
    """A picture that scales with the page and reads out its title and its sentence."""
    return tag(
        "svg", tag("title", plain(title), id=f"{key}-title"), tag("desc", plain(says, 1000), id=f"{key}-desc"),
        *children, viewBox=f"0 0 {width} {height}", role="img", aria_labelledby=f"{key}-title {key}-desc",
        xmlns="http://www.w3.org/2000/svg", class_="picture",
    )  # fmt: skip


def rect(x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> Markup:
    """A rectangle of CSS class ``kind``; ``hint`` is shown by the pointer."""
    children = (tag("title", plain(hint)),) if hint else ()
    return tag("rect", *children, x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=kind)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line of CSS class ``kind``."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def text(x: float, y: float, words: str, kind: str = "label", anchor: str = "start") -> Markup:
    """Words at a point; foreign ones are made printable and short."""
    return tag("text", plain(words, 90), x=x, y=y, class_=kind, text_anchor=anchor)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most ``count`` + 1 round values between ``low`` and ``high``."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(1, count)
    if raw <= 0 or not math.isfinite(raw):
        return [low]
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next((unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw), raw)
    first = math.ceil(low / step)
    return [(first + number) * step for number in range(count + 2) if (first + number) * step <= high * (1 + 1e-12)]


def number(value: float) -> str:
    """A figure for an axis or a table: thousands separated, no more digits than it needs."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.6g}"
