"""The board as files: complete, linked, and unmoved by hostile text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from auditor import cli
from auditor.board import leaderboard, rows
from auditor.board.site import BoardError
from auditor.record.frontier import Edition
from auditor.record.frontier import Row as FrontierRow
from auditor.sweep.store import reading
from rules import load_rules
from tests.board.sites import EVIL, SUBMISSIONS, board, store

COUNT = len(SUBMISSIONS) + 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store ``a.db`` and its board in ``site``."""
    place = tmp_path_factory.mktemp("board")
    written = board(store(place / "a.db"), place / "site", "https://example.org/pull/{number}")
    assert (written.submissions, written.others, written.waiting) == (COUNT, 2, 1)
    assert written.files == sum(1 for p in (place / "site").rglob("*") if p.is_file())
    return place


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def pages(site: Path) -> dict[str, Page]:
    return {p.relative_to(site).as_posix(): Page(p.read_text(encoding="utf-8")) for p in site.rglob("*.html")}


def test_every_link_leads_to_a_page(made: Path) -> None:
    site = made / "site"
    count = 0
    for name, page in pages(site).items():
        for tag, attributes in page.tags:
            target = attributes.get("href") or attributes.get("src")
            if tag not in ("a", "link", "script") or not target or target.startswith(("#", "data:")):
                continue
            if target.startswith("https:"):
                assert re.fullmatch(r"https://example\.org/pull/\d+", target), target
                continue
            count += 1
            assert ((site / name).parent / target.partition("#")[0]).resolve().is_file(), (name, target)
    assert count > 100
    assert len(list((site / "submissions").iterdir())) == COUNT
    assert {p.stem for p in (site / "rules").iterdir()} == set(load_rules())


def test_hostile_text_stays_text(made: Path) -> None:
    for name, page in pages(made / "site").items():
        assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")], name
        scripts = [attributes.get("src") for tag, attributes in page.tags if tag == "script"]
        assert set(scripts) <= {"data.js", "board.js"}, name
        assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "base")], name
    for path in (made / "site").rglob("*"):
        if path.is_file():
            assert "\u202e" not in path.read_text(encoding="utf-8"), path
    second = next(p for n, p in pages(made / "site").items() if n.startswith("submissions/2-"))
    assert "</script><script>window.hit=1" in second.text and "{{7*7}}" in second.text and "\\u202e" in second.text


def test_the_data_are_plain_ascii_and_complete(made: Path) -> None:
    raw = (made / "site/data.js").read_bytes()
    assert raw.isascii() and b"<" not in raw
    value = json.loads(raw.decode().removeprefix("window.BOARD = ").removesuffix(";\n"))
    assert len(value["rows"]) == COUNT
    verdicts = sorted(value["verdicts"][row[4]] for row in value["rows"])
    assert verdicts == sorted([*(s[2] for s in SUBMISSIONS), "non_compliant", "error"])
    assert {value["rules"][r] for row in value["rows"] for r in row[9]} == {
        "ttt-pre-quant", "slot-causal", "seeds", "ttt-score-first",
    }  # fmt: skip


def test_a_submission_s_page_shows_what_the_report_says(made: Path) -> None:
    found = {n.partition("/")[2].partition("-")[0]: p for n, p in pages(made / "site").items() if "submissions/" in n}
    second = found["2"].text
    for words in (
        "Non-compliant", "Findings (1)", "ttt-pre-quant illegal, integrity", "2 more findings", "3 more steps",
        "Not decided (1)", "Form (1)", "artifact-cap", "1 answers: not found", "Complete no", "1.0500", "#7",
    ):  # fmt: skip
        assert words in second, words
    assert "There is no report" in found["x"].text and "longer than 120 s" in found["x"].text
    assert "this report was made for the first of them" in found["7"].text
    assert "The same program as #1 but for comments" in found["4"].text and "there the verdict is" in found["4"].text
    assert re.search(r"of the code is that of #1 \. Changed: train", second), "lineage"


def test_the_pages_of_rules_carry_what_was_measured(made: Path) -> None:
    page = Page((made / "site/rules/ttt-pre-quant.html").read_text(encoding="utf-8"))
    measured = json.loads((Path(cli.__file__).parents[1] / "rules/measured.json").read_text())["ttt-pre-quant"]
    assert f"Precision {measured['precision']:.0%}".replace("%", " %") in page.text
    assert f"Recall {measured['recall']:.0%}".replace("%", " %") in page.text
    assert measured["labels"] in page.text and "Found in 2 submissions" in page.text
    unmeasured = Page((made / "site/rules/system-deps.html").read_text(encoding="utf-8"))
    assert "Found in 0 submissions" in unmeasured.text


def test_pull_requests_without_a_submission_are_listed_with_why(made: Path) -> None:
    page = Page((made / "site/others.html").read_text(encoding="utf-8"))
    assert "#9" in page.text and "#10" in page.text and "Not read" in page.text


def test_the_leaderboard_after_the_verdicts(made: Path) -> None:
    with reading(made / "a.db") as db:
        every = rows.rows(db)
        assert rows.waiting(db) == 1
    places = leaderboard.standing(every)
    assert [(p.row.number, p.standing, p.record) for p in places] == [
        (3, None, False), (4, None, False), (5, 1, True), (6, None, False), (1, 2, True),
    ]  # fmt: skip
    assert 2 not in {p.row.number for p in places} and 7 not in {p.row.number for p in places}
    edition = Edition(0.005, 0.01, 0.25, "2026-04-09", 3, (
        FrontierRow("2026-04-02", 1.05, "#2"), FrontierRow("2026-03-18", 1.2244, "baseline"),
    ))  # fmt: skip
    listed = leaderboard.official(every, edition)
    assert [(o.name, o.row.verdict if o.row else None) for o in listed] == [("baseline", None), ("#2", "non_compliant")]


def test_a_board_is_written_again_but_nothing_else_is_overwritten(made: Path, tmp_path: Path) -> None:
    board(made / "a.db", tmp_path / "site")
    (tmp_path / "site/submissions/old.html").write_text("stale")
    board(made / "a.db", tmp_path / "site")
    assert not (tmp_path / "site/submissions/old.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("my own page")
    with pytest.raises(BoardError, match="is no board"):
        board(made / "a.db", tmp_path / "mine")
    for other in ('{"another program": "board"}', "[]", "\x00"):
        (tmp_path / "mine/board.json").write_text(other)
        with pytest.raises(BoardError, match="is no board"):
            board(made / "a.db", tmp_path / "mine")
    assert (tmp_path / "mine/index.html").read_text() == "my own page"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give the store"),
        (["absent.db"], "there is no store"),
        (["text.db"], "no store of a sweep"),
        (["STORE", "-o", "text.db"], "is no board"),
        (["STORE", "--link", "javascript:alert(1)//{number}"], "--link takes an http address"),
        (["STORE", "--link", "https://example.org/"], "--link takes an http address"),
    ],
)
def test_wrong_usage_is_one_sentence(
    made: Path, tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(SystemExit) as ended:
        cli.main(["board", *(str(made / "a.db") if a == "STORE" else a for a in arguments)])
    said = capsys.readouterr()
    assert ended.value.code == 2 and says in said.err and said.err.count("\n") == 1


def test_the_command_says_what_it_wrote_and_what_waits(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["board", str(made / "a.db"), "-o", str(tmp_path / "out")])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert f"{COUNT} submissions; 1 are not audited yet" in said and "index.html" in said
    assert EVIL not in (tmp_path / "out/index.html").read_text()
