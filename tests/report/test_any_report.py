"""Whatever stands in a report, the formats for machines and for the browser hold their form."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from auditor.core.types import AuditReport
from auditor.report import github, html, sarif
from tests.report.strategies import reports

SCHEMA = Path(__file__).parent / "schemas/sarif-2.1.0-rtm.5.json"
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
VOID = {"meta", "br", "link", "img", "input", "hr"}
COMMAND = re.compile(r"::(error|warning|notice)( [a-zA-Z]+=[^,:\r\n]*(,[a-zA-Z]+=[^,:\r\n]*)*)?::[^\r\n]*")


class Page(HTMLParser):
    """What a browser would see: elements that do not close, ids, links, attributes, running text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.words: list[str] = []
        self.heads: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if re.fullmatch(r"h[1-6]", tag):
            self.heads.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def schema() -> Any:
    """The published schema of SARIF 2.1.0."""
    return jsonschema.Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


SARIF = schema()


def check_sarif(report: AuditReport) -> None:
    text = sarif.render(report)
    assert text.isascii() and text == sarif.render(report)
    SARIF.validate(json.loads(text))


def check_github(report: AuditReport) -> None:
    text = github.render(report)
    assert text == github.render(report) and text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert COMMAND.fullmatch(line), line


def check_html(report: AuditReport) -> Page:
    text = html.render(report)
    assert text == html.render(report)
    text.encode("utf-8")
    page = Page(text)
    assert not page.faults and not page.open
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    assert not [pair for pair in page.attributes if pair[0].startswith("on") or "javascript:" in pair[1].lower()]
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links), "the page stands alone"
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) and {link[1:] for link in links} <= set(ids)
    assert page.heads[0] == 1 and page.heads.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.heads, page.heads[1:], strict=False))
    return page


CHECKS = {"sarif": check_sarif, "github": check_github, "html": check_html}


@pytest.mark.parametrize("name", CHECKS)
def test_a_few_odd_reports(name: str) -> None:
    @QUICK
    @given(reports)
    def holds(report: AuditReport) -> None:
        CHECKS[name](report)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_many_odd_reports(name: str) -> None:
    @MANY
    @given(reports)
    def holds(report: AuditReport) -> None:
        CHECKS[name](report)

    holds()


def test_the_page_check_would_notice() -> None:
    assert Page("<p><b>x</p>").faults and Page("<p>").open == ["p"]
    assert "script" in Page("<script>1</script>").tags


def test_the_command_check_would_notice() -> None:
    assert not COMMAND.fullmatch("::error title=a:b::c") and not COMMAND.fullmatch("said ::error::c")
