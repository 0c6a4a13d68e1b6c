"""The page: the picture first, everything beside it as text, nothing of a submission as markup, no other file."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from auditor.core.exhibits import Block, ByteBar, Curve, Excerpt, Exhibits, Mark, Part, PhaseTime, Picture
from auditor.core.rerun import RerunInfo, RerunSeed
from auditor.core.types import AuditReport, BehaviourInfo, Verdict
from auditor.report import html
from auditor.report.page.timeline import BOTTOM, LEFT, RIGHT, TOP
from tests.report.sample import HOSTILE, report
from tests.report.test_any_report import Page, check_html

CHEAT = Picture(
    100, 4097,
    (Block(Mark.TRAIN_DATA, 0, 20), Block(Mark.TRAINED_BEFORE, 20, 60, 0, 4097), Block(Mark.JUDGED, 60, 100, 0, 4097)),
    ((60, "artifact written"), (100, "judged score printed")), ((Mark.JUDGED, 4096), (Mark.TRAINED_BEFORE, 8192)),
    "near the middle", 80, ((2049, 4097),), 2048, 1999, ((0, 2048),),
)  # fmt: skip
HONEST = Picture(
    100, 4097, (Block(Mark.JUDGED, 0, 50, 0, 4097), Block(Mark.TRAINED_AFTER, 50, 100, 0, 4097)), (),
    ((Mark.JUDGED, 4096), (Mark.TRAINED_AFTER, 4096)), "near the middle", 25, ((2049, 4097),), 2048,
)  # fmt: skip
SOURCE = tuple(f"    line_{n} = f(x, 'text')  # comment {n}" for n in range(1, 31))


def full(foreign: str = "text", picture: Picture | None = CHEAT) -> AuditReport:
    """The sample with everything that a page can show."""
    exhibits = Exhibits(
        (Curve(foreign, "train_loss", ((0, 7.0), (10, 3.5), (20, 3.25))),
         Curve("a.log", "val_bpb", ((0, 4.0), (9, 1.5))), Curve("a.log", "ttt_bpb", ((0, 1.2), (9, 1.1)))),
        (("a.log", foreign, 1.0944),),
        ByteBar(16_000_000, (Part("compressed model", 16_100_000), Part(foreign, 71_234)),
                (Part("stated", 15_999_999),), f"over: {foreign}"),
        (PhaseTime(foreign, "training clock", 601.5, 600.0), PhaseTime(foreign, "calibration after the clock", 3.25)),
        (Excerpt("train_gpt.py", 1, (*SOURCE[:11], foreign, *SOURCE[12:])),),
    )  # fmt: skip
    of = report(foreign)
    return replace(of, behaviour=replace(of.behaviour, picture=picture), exhibits=exhibits)


def words(of: AuditReport) -> str:
    return " ".join(" ".join(check_html(of).words).split())


@pytest.mark.parametrize("verdict", Verdict)
def test_everything_is_on_the_page(verdict: Verdict) -> None:
    text = words(replace(full(), verdict=verdict))
    for wanted in (
        "artifact-cap", "16,100,000 bytes", "text.log:7", "Why artifact-cap matters.", "How to mend artifact-cap.",
        "golf-audit explain artifact-cap", "someone on #1", "slot-causal", "disputed", "train_gpt.py:12", "step 1 text",
        "ttt-score-first", "1 finding suppressed", "only data text", "golf-audit.toml", "download", "train-wallclock",
        "no log text", "eval-wallclock", "ValueError text", "val-coverage", "missing-readme", "no README",
        "seeds: 1 of 3", "Could stand as a record row: no", "Not read: text", "1.0887", "TTTtext", "edition 2026-05-02",
        "decoded 99", "Source and behaviour disagree on rescore-two-pass",
        "prefix-invariance", "token 700: loss 6.250000 against 6.500000", "--replay w/text.json", "imports yes",
        "1.0944", "601.5 of 600 s", "line_11", "71,234",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "legal" not in re.sub(r"illegal|slot-causal", "", text[: text.index("artifact-cap")].lower())


@pytest.mark.parametrize("complete", [True, False])
def test_an_audit_that_is_not_complete_is_not_coloured_like_one_that_is(complete: bool) -> None:
    page = html.render(replace(full(), verdict=Verdict.NO_VIOLATION_FOUND, complete=complete))
    assert ('class="verdict no_violation_found partial"' in page) is not complete
    assert ('class="verdict no_violation_found"' in page) is complete
    assert ".no_violation_found.partial { color: var(--soft); }" in page


def test_a_re_run_has_a_section_and_a_link_where_there_was_one() -> None:
    seed = RerunSeed(42, "finished", 1.1, 1.2, 15_000_000, 600.0, 90.0, 7000)
    told = RerunInfo("not_reproduced", ("the score is another <b>",), "2026-05-01", "8xH100", True, (seed,))
    with_it = replace(full(), rerun=told)
    assert "the score is another <b>" in words(with_it) and 'href="#rerun"' in html.render(with_it)
    assert 'id="rerun"' not in html.render(full())


def test_the_picture_comes_before_all_else_and_shows_the_leak() -> None:
    text = html.render(full())
    order = [text.index(f'id="{key}"') for key in ("run-h", "timeline", "trainloss", "bytes", "seconds", "findings-h")]
    assert order == sorted(order)
    said = words(full())
    assert "trained on before their judged score is taken (8,192 times a token)" in said
    assert "1,999 of 2,048 scores taken before that differ" in said
    assert 'class="mark-trained_before"><rect' in text and 'class="strip-differs"><rect' in text


def test_an_honest_run_shows_no_leak() -> None:
    text, said = html.render(full(picture=HONEST)), words(full(picture=HONEST))
    assert 'class="mark-trained_before"></g>' in text and 'class="strip-differs"></g>' in text
    assert "No validation token is trained on before its judged score" in said and "none of 2,048 scores" in said


def test_where_the_judged_number_has_no_scores_of_its_own_nothing_is_claimed() -> None:
    said = words(full(picture=replace(HONEST, stand_in=True)))
    assert "No validation token is trained on" not in said and "scored for the judged number" not in said
    assert "proves nothing of it" in said and "one of the last scores before the judged number" in said


def test_labels_do_not_lie_on_each_other() -> None:
    near = replace(CHEAT, events=((78, "artifact written"), (82, "judged score printed")))
    labels = re.findall(r'<text x="[\d.]+" y="([\d.]+)" class="label small" text-anchor="end">([a-z ]+)</text>',
                        html.render(full(picture=near)))  # fmt: skip
    rows = {words: float(y) for y, words in labels}
    assert len({rows[words] for words in ("artifact written", "cut", "judged score printed")}) == 3


def test_rectangles_lie_where_their_moments_and_positions_are() -> None:
    text = html.render(full())
    sides = " ".join(rf'{name}="([\d.]+)"' for name in ("x", "y", "width", "height"))
    [shape] = re.findall(rf'class="mark-judged"><rect {sides}', text)
    x, y, width, height = (float(value) for value in shape)
    left = LEFT + 0.6 * (RIGHT - LEFT)
    assert (x, y, x + width, y + height) == pytest.approx((left, TOP, RIGHT, BOTTOM), abs=0.02)


def test_every_picture_has_a_title_a_sentence_and_a_table() -> None:
    text = html.render(full())
    page = check_html(full())
    pictures = text.count('role="img"')
    assert pictures == 6 == text.count("<figure") == text.count(", as a table</summary>")
    labels = [value.split() for name, value in page.attributes if name == "aria-labelledby" and value.endswith("-desc")]
    ids = {value for name, value in page.attributes if name == "id"}
    assert len(labels) == pictures and all(set(both) <= ids for both in labels)
    assert {"header", "main", "nav", "footer", "h1", "h2", "h3"} <= page.tags


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (BehaviourInfo(not_run="no torch here"), "The behaviour witness did not run: no torch here."),
        (BehaviourInfo(not_run="", failure="ValueError (x.py:3)"), "that could be drawn: ValueError (x.py:3)."),
    ],
)
def test_without_a_run_the_page_says_why_in_the_pictures_place(info: BehaviourInfo, says: str) -> None:
    text = words(replace(full(), behaviour=info))
    assert says in text and text.index(says) < text.index("Loss and scores")
    assert 'id="timeline"' not in html.render(replace(full(), behaviour=info))


def test_without_logs_and_sizes_it_says_so() -> None:
    text = words(replace(full(), exhibits=Exhibits()))
    for said in ("No log states a loss", "No size of the artifact", "No log states the seconds"):
        assert said in text


@pytest.mark.parametrize("foreign", ["<script>alert(1)</script>", HOSTILE, "'\"><img src=x onerror=alert(1)>",
                                     "{{ 7 * 7 }}{% include 'x' %}", "</title></style></svg>", "&lt;b"])  # fmt: skip
def test_foreign_text_is_never_markup(foreign: str) -> None:
    page = check_html(full(foreign))
    assert page.tags == check_html(full()).tags
    shown = foreign.replace("\x1b", "\\x1b").split("\n")[0][:18]
    assert shown in "".join(page.words), "it is shown as it is written"


def test_the_markup_test_would_notice() -> None:
    assert Page(html.render(full()).replace("Title of", "<script>")).tags - check_html(full()).tags == {"script"}


def test_source_is_highlighted_and_the_line_is_marked() -> None:
    text = html.render(full())
    assert re.search(r'<tr class="hot"><th scope="row">12<span class="sr">', text)
    assert "<span class=\"s\">&#39;text&#39;</span>" in text and '<span class="c"># comment 11</span>' in text


def test_it_is_one_file_with_a_policy_of_its_own() -> None:
    text = html.render(full())
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text) and "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_a_very_long_text_does_not_fill_the_page() -> None:
    assert len(html.render(full("x" * 1_000_000))) < 250_000
