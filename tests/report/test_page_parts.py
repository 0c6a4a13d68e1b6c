"""The parts of the page by themselves: highlighted lines keep their text, axes hold any numbers, bars their limits."""

from __future__ import annotations

import math
import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.core.exhibits import ByteBar, Curve, Excerpt, Exhibits, Part, PhaseTime
from auditor.core.text import visible
from auditor.report.page import bars, charts, source
from auditor.report.page.svg import number, tag, ticks


def bare(markup: str) -> str:
    """The text of highlighted source."""
    return unescape(re.sub(r"<[^>]*>", "", markup))


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.booleans())
def test_a_highlighted_line_has_the_text_of_the_line(line: str, python: bool) -> None:
    assert bare(source.code(line, python=python)) == visible(line)


@pytest.mark.parametrize(
    "line",
    ["x = f'{a[\"b\"]}' if y else \"'\"", "    return '''open", "'''", "for x in (1,", "})  # end", "a = 0x1fj + 1e-3",
     "\tdef f(x: int) -> str: ...", "print(f'{x!r:>{w}}')", "a \\", "λ = 'ü'"],
)  # fmt: skip
def test_pieces_of_python_keep_their_text(line: str) -> None:
    assert bare(source.code(line)) == visible(line)


def test_words_have_their_kinds() -> None:
    html = str(source.code("for x in '<b>':  # 3"))
    assert '<span class="k">for</span>' in html and '<span class="s">&#39;&lt;b&gt;&#39;</span>' in html
    assert '<span class="c"># 3</span>' in html and "<b>" not in html


def test_logs_are_not_coloured() -> None:
    [line] = source.lines(Excerpt("a.log", 5, ("for 3 'x'",)), 5, 5)
    assert "<span" not in line.html and line.hot and line.number == 5


def test_a_long_line_is_cut_and_said_to_be() -> None:
    assert bare(source.code("x" * 1000)).endswith("...(600 characters left out)")


def test_the_window_stays_inside_the_excerpt() -> None:
    held = Excerpt("a.py", 10, tuple(f"line {n}" for n in range(10, 40)))
    shown = source.lines(held, 11, 12, around=3)
    assert [line.number for line in shown] == list(range(10, 16)) and [n.number for n in shown if n.hot] == [11, 12]


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(1, 10))
def test_ticks_are_few_and_between_the_ends(low: float, high: float, count: int) -> None:
    found = ticks(low, high, count)
    assert len(found) <= count + 2 and all(map(math.isfinite, found))
    if low < high:
        assert all(low - 1e-6 * abs(low) - 1e-9 <= t <= high + 1e-6 * abs(high) + 1e-9 for t in found)


def test_ticks_are_round() -> None:
    assert ticks(0, 4097, 4) == [0, 2000, 4000] and ticks(1.05, 1.26, 5) == pytest.approx([1.05, 1.1, 1.15, 1.2, 1.25])


def test_attributes_and_contents_are_escaped() -> None:
    assert tag("rect", "<b>", class_='a"b', stroke_width=1.0) == (
        '<rect class="a&#34;b" stroke-width="1">&lt;b&gt;</rect>'
    )
    assert number(1234567.0) == "1,234,567" and number(1.23456789) == "1.23457"


def widths(svg: str, kind: str) -> list[float]:
    return [float(w) for w in re.findall(rf'<rect [^>]*width="([\d.]+)"[^>]*class="{kind}"', svg)]


def test_what_is_over_the_cap_is_marked_in_its_proportion() -> None:
    over = bars.byte_figure(ByteBar(100, (Part("model", 150), Part("code", 50)), (Part("stated", 90),), "over: x"))
    assert over is not None
    [excess] = widths(over.svg, "excess")
    parts = widths(over.svg, "part0") + widths(over.svg, "part1")
    assert excess == pytest.approx(sum(parts) / 2, rel=1e-3) and parts[0] == pytest.approx(3 * parts[1], rel=1e-3)
    assert "200 OVER" in over.svg and "90 OVER" not in over.svg
    under = bars.byte_figure(ByteBar(100, (Part("model", 50),), (), "under: x"))
    assert under is not None and "excess" not in under.svg


def test_a_total_without_parts_is_shown_and_nothing_is_no_picture() -> None:
    some = bars.byte_figure(ByteBar(100, (), (Part("stated", 90),), "x"))
    assert some is not None and "The parts are not known." in some.says
    assert bars.byte_figure(ByteBar(100)) is None and bars.byte_figure(None) is None
    assert bars.time_figure(Exhibits()) is None and charts.figures(Exhibits()) == []


def test_a_phase_over_its_budget_is_marked() -> None:
    drawn = bars.time_figure(Exhibits(phases=(PhaseTime("a.log", "training clock", 1200.0, 600.0),
                                              PhaseTime("a.log", "serialisation", 9.0))))  # fmt: skip
    assert drawn is not None and "Phases longer than their budget: 1" in drawn.says
    [phase, short], [excess] = widths(drawn.svg, "phase"), widths(drawn.svg, "excess")
    assert excess == pytest.approx(phase / 2, rel=1e-3) and short < phase / 100


def test_a_chart_draws_each_log_and_its_table_has_its_ends() -> None:
    curves = tuple(Curve(f"{name}.log", "train_loss", tuple((x, 7.0 - x / 20) for x in range(100))) for name in "ab")
    [drawn] = charts.figures(Exhibits(curves=curves))
    assert drawn.svg.count("<polyline") == 2 and len(drawn.legend) == 2
    assert ("a.log", "0", "7") in drawn.rows and ("b.log", "99", "2.05") in drawn.rows and len(drawn.rows) == 24


def test_a_steep_beginning_does_not_flatten_the_rest() -> None:
    steep = Curve("a.log", "val_bpb", ((0, 4.1), (4000, 1.15), (6000, 1.1)))
    [drawn] = charts.figures(Exhibits(curves=(steep,)))
    assert "first values: off the top, up to 4.1" in drawn.svg and ">1.12</text>" in drawn.svg
    even = Curve("a.log", "val_bpb", ((0, 1.3), (4000, 1.2), (6000, 1.1)))
    [drawn] = charts.figures(Exhibits(curves=(even,)))
    assert "off the top" not in drawn.svg
