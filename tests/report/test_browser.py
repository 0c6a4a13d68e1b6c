"""The page in a real browser: it opens without a complaint, asks nothing of the network, and fits a narrow window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from auditor.report import html
from tests.report.sample import HOSTILE
from tests.report.test_html import full

pytestmark = pytest.mark.slow
WIDE = """<script>addEventListener('load', () => {
  const width = document.documentElement.clientWidth, found = [];
  for (const one of document.querySelectorAll('body *')) {
    const held = one.closest('.scroll,.source');
    const over = one.getBoundingClientRect().right > width + 1 && !(held && held !== one);
    if (over) found.push(one.outerHTML.slice(0, 60));
  }
  document.title = 'too wide: ' + found.length + ' ' + found.slice(0, 9);
});</script></body>"""
"""Counts what reaches beyond the window outside of the parts that scroll by themselves."""


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Headless Chromium on a local file; skips where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("chromium is not installed")
    usual = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000")
    return subprocess.run([program, *usual, *options, page.as_uri()], capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip


@pytest.mark.parametrize("foreign", ["text", "<script>document.title='owned'</script>", HOSTILE])
def test_it_opens_without_a_complaint(foreign: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.render(full(foreign)), encoding="utf-8")
    done = chromium(page, "--dump-dom")
    assert "</html>" in done.stdout and "<title>NON-COMPLIANT" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr


def test_a_script_would_be_refused_and_heard_of(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.render(full()).replace("</body>", "<script>document.title='owned'</script></body>"))
    done = chromium(page, "--dump-dom")
    assert "<title>owned" not in done.stdout and "CONSOLE" in done.stderr and "Content Security Policy" in done.stderr


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_window(width: int, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    free = re.sub(r"<meta http-equiv[^>]*>", "", html.render(full("x" * 400)))
    page.write_text(free.replace("</body>", WIDE), encoding="utf-8")
    done = chromium(page, "--dump-dom", f"--window-size={width},900")
    assert re.search(r"<title>too wide: 0 </title>", done.stdout), re.findall("too wide: [^\n]*", done.stdout)[:1]
