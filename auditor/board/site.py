"""Write the board: a static site that works from ``file://`` without network, from a store that is only read.

Every value is escaped by Jinja2 (autoescape) and made printable first: titles, names and messages are hostile text.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from auditor.board import leaderboard, page, rows, rulepages
from auditor.board.rows import Row
from auditor.core.rule import Rule
from auditor.core.text import plain
from auditor.sweep.progress import Progress, clock

STATIC = ("board.css", "board.js")
MARK = "board.json"
"""File by which a folder is known as a board that may be written again."""
PULL, RULE = "submissions", "rules"


class BoardError(Exception):
    """The board cannot be written; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    submissions: int
    others: int
    waiting: int
    files: int


def write(db: sqlite3.Connection, out: Path, rules: Mapping[str, Rule], link: str, progress: Progress) -> Written:
    """Write the site below ``out``. ``link`` is a pull request's address with ``{number}`` in it, or empty.

    Raises `BoardError` for a folder that holds something else.
    """
    every = rows.rows(db)
    site = _Site(out, link)
    pages = rulepages.pages(rules, every)
    site.prepare()
    progress.phase("writing pages", len(every) + len(pages) + 1)
    _overview(site, db, every, pages, rules)
    progress.step("index")
    known = {row.id: row for row in every}
    twins = _twins(every)
    for row in every:
        site.submission(db, row, known, twins.get(row.same_as or row.id, ()), rules)
        progress.step(row.label)
    for rule in pages:
        site.put(f"{RULE}/{rule.meta.id}.html", "rule.html.j2", root="../", page=rule, marks=rulepages.MARKS)
        progress.step(rule.meta.id)
    return Written(len(every), len(rows.others(db)), rows.waiting(db), site.files)


def _overview(
    site: _Site, db: sqlite3.Connection, every: list[Row], pages: list[rulepages.RulePage], rules: Mapping[str, Rule]
) -> None:
    run = rows.last_run(db)
    other = rows.others(db)
    counts = Counter(row.verdict for row in every)
    site.text("data.js", f"window.BOARD = {data(every, rules)};\n")
    shared: dict[str, Any] = {"run": run, "every": every, "waiting": rows.waiting(db), "others": other}
    site.put("index.html", "index.html.j2", counts=counts, found=_found_rules(every), **shared)
    site.put("all.html", "all.html.j2", **shared)
    site.put("others.html", "others.html.j2", **shared)
    site.put("rules.html", "rules.html.j2", pages=pages, **shared)
    places = leaderboard.standing(every)
    site.put(
        "leaderboard.html", "leaderboard.html.j2", places=places[: leaderboard.SHOWN], total=len(places),
        official=leaderboard.official(every), refused=_refused(every), **shared,
    )  # fmt: skip


def data(every: list[Row], rules: Mapping[str, Rule]) -> str:
    """The rows for the filters, as a JavaScript value in plain ASCII: tables of words, and numbers into them."""
    tables: dict[str, dict[str, int]] = {"verdicts": {v: n for n, v in enumerate(rows.VERDICTS)}}
    for name in ("rules", "tracks", "authors"):
        tables[name] = {}

    def at(table: str, word: str) -> int:
        return tables[table].setdefault(word, len(tables[table]))

    listed = [
        [
            row.page, row.label, row.name or row.title or row.folder, row.folder, at("verdicts", row.verdict),
            at("tracks", row.track), at("authors", row.author), row.date, row.bpb,
            [at("rules", rule) for rule in row.rules()], None if row.ready is None else int(row.ready),
        ]
        for row in every
    ]  # fmt: skip
    kinds = {rule: (rules[rule].kind.value if rule in rules else "") for rule in tables["rules"]}
    value: dict[str, Any] = {name: list(table) for name, table in tables.items()}
    value |= {"rows": listed, "words": rows.WORDS, "kinds": kinds}
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def environment() -> jinja2.Environment:
    """Templates of this package; every value is escaped, and one that is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("auditor.board", "templates"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined, auto_reload=False,
    )  # fmt: skip
    made.filters |= {"plain": plain, "place": page.place, "clock": clock, "word": rows.WORDS.__getitem__}
    return made


class _Site:
    """The folder that is written, and the templates."""

    def __init__(self, out: Path, link: str) -> None:
        self._out = out
        self._link = link
        self._templates = environment()
        self.files = 0
        self._made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")

    def prepare(self) -> None:
        """Make the folder. Raises `BoardError` when it holds anything but a board."""
        try:
            if self._out.exists() and (not self._out.is_dir() or self._foreign()):
                raise BoardError(f"{self._out} exists and is no board: give an empty or a new folder")
            for folder in ("", PULL, RULE):
                (self._out / folder).mkdir(parents=True, exist_ok=True)
                for old in (self._out / folder).glob("*.html"):
                    old.unlink()
            self.text(MARK, json.dumps({"golf-audit": "board", "version": 1}) + "\n")
            for name in STATIC:
                source = resources.files("auditor.board").joinpath("static", name)
                self.text(name, source.read_text(encoding="utf-8"))
        except OSError as error:
            raise BoardError(f"{self._out} cannot be written: {error.strerror or error}") from error

    def _foreign(self) -> bool:
        if not any(self._out.iterdir()):
            return False
        try:
            mark = json.loads((self._out / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return True
        return not (isinstance(mark, dict) and mark.get("golf-audit") == "board")

    def submission(
        self,
        db: sqlite3.Connection,
        row: Row,
        known: Mapping[int, Row],
        twins: tuple[Row, ...],
        rules: Mapping[str, Rule],
    ) -> None:
        """The page of one submission."""
        report = rows.report(db, row)
        self.put(
            f"{PULL}/{row.page}", "submission.html.j2", root="../", row=row, report=report,
            parts=page.divided(report) if report is not None else None, titles={i: r.title for i, r in rules.items()},
            nearest=known.get(row.lineage.nearest) if row.lineage else None, limits=page,
            twins=[twin for twin in twins if twin.id != row.id], link=self._address(row),
        )  # fmt: skip

    def put(self, name: str, template: str, *, root: str = "", **values: Any) -> None:
        """Render one page."""
        text = self._templates.get_template(template).render(root=root, made=self._made, **values)
        self.text(name, text)

    def text(self, name: str, text: str) -> None:
        """Write one file. Raises `BoardError`."""
        try:
            (self._out / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise BoardError(f"{self._out / name} cannot be written: {error.strerror or error}") from error
        self.files += 1

    def _address(self, row: Row) -> str:
        return self._link.replace("{number}", str(row.number)) if self._link and row.number is not None else ""


def _twins(every: list[Row]) -> dict[int, tuple[Row, ...]]:
    """Submissions that have one report, by the one that was audited."""
    grouped: dict[int, list[Row]] = {}
    for row in every:
        grouped.setdefault(row.same_as or row.id, []).append(row)
    return {first: tuple(own) for first, own in grouped.items() if len(own) > 1}


def _found_rules(every: list[Row]) -> list[tuple[str, int]]:
    """(rule, submissions in which it was found), the most frequent first."""
    return Counter(rule for row in every for rule in row.rules()).most_common()


def _refused(every: list[Row]) -> list[Row]:
    """Refused candidates for the leaderboard, the best stated scores first."""
    refused = [row for row in leaderboard.candidates(every) if row.verdict == "non_compliant"]
    return sorted(refused, key=lambda row: row.bpb or 0.0)[: leaderboard.SHOWN]
