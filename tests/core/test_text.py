"""Hostile text cannot steer a terminal or a page."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.core.text import code, markdown, plain, visible


@given(st.text(max_size=400))
def test_plain_has_no_control_or_format_characters(text: str) -> None:
    assert not [c for c in plain(text) if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"]


@given(st.text(max_size=200))
def test_plain_is_idempotent(text: str) -> None:
    assert plain(plain(text, 10_000), 100_000) == plain(text, 10_000)


def test_plain_shows_what_was_there() -> None:
    assert plain("\x1b[31mred\x1b[0m") == "\\x1b[31mred\\x1b[0m"
    assert plain("a\u202eb") == "a\\u202eb"
    assert plain("one\ntwo\tthree") == "one two three"
    assert plain("\udce9") == "\\udce9"


def test_long_text_is_cut_and_says_so() -> None:
    cut = plain("a" * 1_000_000, 100)
    assert len(cut) < 200 and "999900 characters left out" in cut


def test_visible_keeps_the_length_of_code_lines() -> None:
    assert visible("\tx = 1  # " + "y" * 5000).count("y") == 5000
    assert visible("\x1b]0;title\x07") == "\\x1b]0;title\\x07"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</details><img src=x>",
        "[click](http://evil.example)",
        "![x](http://evil.example/p.png)",
        "# heading",
        "| a | b |",
        "```\nfence",
        "- item",
        "1. item",
        "> quote",
        "**bold** _it_ ~~no~~",
        "&lt;b&gt;",
    ],
)
def test_markdown_prose_has_no_live_markup(text: str) -> None:
    safe = markdown(text)
    assert "<" not in safe and ">" not in safe
    for mark in "`*_[]#|~":
        assert not re.search(rf"(?<!\\){re.escape(mark)}", safe), safe
    assert not re.match(r"\s*(-|\d+\.)", safe)


def test_a_figure_at_the_start_is_no_list() -> None:
    assert markdown("1.1330 does not beat 1.1194") == "1.1330 does not beat 1.1194"
    assert markdown("12. a list") == "12\\. a list"


def test_markdown_mentions_issues_and_links_do_not_resolve() -> None:
    assert "@someone" not in markdown("thanks @someone") and "@\u200bsomeone" in markdown("thanks @someone")
    assert "#123" not in markdown("fixes #123")
    assert "http://" not in markdown("http://evil.example") and "www." not in markdown("www.evil.example")


@given(st.text(alphabet="`a <\n@", max_size=40))
def test_a_code_span_cannot_be_closed_from_inside(text: str) -> None:
    span = code(text)
    fence = re.match(r"`+", span)
    assert fence is not None and span.endswith(fence.group())
    inner = span[len(fence.group()) : -len(fence.group())]
    assert fence.group() not in re.findall(r"`+", inner)
