"""The board in headless Chromium, opened as a file: filters, links, no errors, quick. Skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.board.rows import WORDS
from tests.board.sites import SUBMISSIONS, board, store

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed"),
]
COPIES = 2_600
TOTAL = len(SUBMISSIONS) + 2 + COPIES


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board whose table has as many rows as the competition has submissions; the pages behind them are few."""
    place = tmp_path_factory.mktemp("browser")
    board(store(place / "a.db"), place / "site")
    file = place / "site/data.js"
    value = json.loads(file.read_text().removeprefix("window.BOARD = ").removesuffix(";\n"))
    base = [row for row in value["rows"] if row[1] in {f"#{s[0]}" for s in SUBMISSIONS}]
    for n in range(COPIES):
        page, _, name, _, *rest = base[n % len(base)]
        value["rows"].append([page, f"#{100 + n}", name, f"2026-04-07_Copy{n}", *rest])
    file.write_text(f"window.BOARD = {json.dumps(value)};\n")
    return place / "site"


@pytest.fixture(scope="module", params=["light", "dark"])
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    scheme = "0" if request.param == "dark" else "1"
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,900"):
        options.add_argument(argument)
    options.add_argument(f"--blink-settings=preferredColorScheme={scheme}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses to start as root with its sandbox
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def opened(browser: Any, page: Path, fragment: str = "") -> Any:
    browser.get("about:blank")
    browser.get(page.as_uri() + fragment)
    return browser


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def shown(browser: Any) -> str:
    return str(one(browser, "#count").text)


def put(browser: Any, name: str, value: str) -> None:
    """Set a field as typing does."""
    browser.execute_script(
        "const f = document.querySelector(`[name=${arguments[0]}]`); f.value = arguments[1];"
        "f.dispatchEvent(new Event('input', {bubbles: true}))", name, value,
    )  # fmt: skip


def milliseconds(browser: Any) -> float:
    return float(browser.execute_script("return document.documentElement.dataset.filterMs"))


def errors(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_it_opens_in_under_two_seconds_without_errors(browser: Any, site: Path) -> None:
    start = time.monotonic()
    opened(browser, site / "index.html")
    assert time.monotonic() - start < 2.0
    assert shown(browser) == f"All {TOTAL:,} submissions"
    assert len(browser.find_elements("css selector", "#table tbody tr")) == 100
    assert errors(browser) == [] and browser.execute_script("return window.hit") is None


def test_the_link_to_the_content_keeps_the_filters(browser: Any, site: Path) -> None:
    opened(browser, site / "index.html")
    put(browser, "author", "grace")
    wanted = shown(browser)
    browser.execute_script("document.querySelector('a.skip').click()")
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert shown(browser) == wanted != f"All {TOTAL:,} submissions"


def test_filters_answer_within_a_tenth_of_a_second(browser: Any, site: Path) -> None:
    opened(browser, site / "index.html")
    of_six = [sum(1 for n in range(COPIES) if n % 6 == k) for k in range(6)]

    def told(count: int) -> None:
        assert shown(browser) == f"{count:,} of {TOTAL:,} submissions"
        assert milliseconds(browser) < 100

    put(browser, "rule", "ttt-pre-quant")
    told(of_six[1] + 2)
    put(browser, "rule", "")
    put(browser, "author", "grace")
    told(of_six[1] + 2)
    put(browser, "author", "")
    put(browser, "from", "2026-04-02")
    put(browser, "to", "2026-04-03")
    told(of_six[1] + of_six[2] + 3)
    one(browser, "button[type=reset]").click()
    time.sleep(0.2)
    assert shown(browser) == f"All {TOTAL:,} submissions"
    put(browser, "text", "#3")
    told(1)
    put(browser, "text", "copy17")
    told(sum("copy17" in f"copy{n}" for n in range(COPIES)))
    put(browser, "text", "")
    for box in browser.find_elements("css selector", "[name=verdict]"):
        if box.get_attribute("value") != "error":
            box.click()
    told(1)
    assert "Error" in one(browser, "#table tbody tr").text
    put(browser, "track", "track_10min_16mb")
    told(0)
    assert errors(browser) == []


def test_sorting_and_pages(browser: Any, site: Path) -> None:
    opened(browser, site / "index.html")
    one(browser, "[data-sort=bpb]").click()
    assert one(browser, "#table tbody tr .number").text == "1.0500"
    assert one(browser, "[data-sort=bpb]").find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    one(browser, "[data-sort=bpb]").click()
    assert one(browser, "#table tbody tr .number").text == "1.1900"
    assert not one(browser, "#previous").is_enabled()
    one(browser, "#next").click()
    assert one(browser, "#page").text.startswith("Page 2 of")
    assert one(browser, "#previous").is_enabled()


def test_links_lead_on_and_a_filter_can_be_linked(browser: Any, site: Path) -> None:
    opened(browser, site / "index.html", "#rule=slot-causal&text=Copy2")
    assert " of " in shown(browser) and one(browser, "[name=rule]").get_attribute("value") == "slot-causal"
    rows = browser.find_elements("css selector", "#table tbody tr")
    assert rows and all("slot-causal" in row.text for row in rows)
    one(browser, "#table tbody a").click()
    assert WORDS["needs_review"] in one(browser, "main .lead").text
    one(browser, "section.rule h3 a").click()
    assert one(browser, "h1").text == "slot-causal"
    browser.find_element("partial link text", "Filter the board").click()
    assert one(browser, "[name=rule]").get_attribute("value") == "slot-causal"
    for page in ("leaderboard.html", "rules.html", "others.html", "all.html"):
        opened(browser, site / page)
        assert one(browser, "h1").text
    assert errors(browser) == [] and browser.execute_script("return window.hit") is None


def test_it_can_be_used_by_keyboard_and_read_aloud(browser: Any, site: Path) -> None:
    opened(browser, site / "index.html")
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input,select,button')].filter("
        "e => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.ariaLabel).length"
    )
    assert unnamed == 0
    assert one(browser, "#count").get_attribute("aria-live") == "polite"
    assert one(browser, "html").get_attribute("lang") == "en"
    browser.execute_script("document.querySelector('.skip').focus()")
    assert browser.switch_to.active_element.text == "Skip to the content"
    assert contrast(browser, "body") >= 7
    for selector in (".badge.non_compliant", ".badge.needs_review", ".badge.inconclusive", "td small"):
        assert contrast(browser, selector) >= 4.5, selector


def contrast(browser: Any, selector: str) -> float:
    """The ratio of WCAG 2 between an element's text and what lies behind it."""
    fore, back = browser.execute_script(
        "let e = document.querySelector(arguments[0]); const fore = getComputedStyle(e).color; let back;"
        "do { back = getComputedStyle(e).backgroundColor; e = e.parentElement } "
        "while (e && back === 'rgba(0, 0, 0, 0)'); return [fore, back]", selector,
    )  # fmt: skip
    high, low = sorted((luminance(fore), luminance(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    parts = [int(word) / 255 for word in color[color.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
