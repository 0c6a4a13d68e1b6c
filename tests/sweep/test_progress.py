"""Progress: plain lines with the time left when piped, one line of a terminal of 80 columns otherwise."""

from __future__ import annotations

import io
import sys

import pytest

from auditor.sweep.progress import Lines, clock, short, telling


def test_plain_lines_come_now_and_then_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("auditor.sweep.progress.time.monotonic", lambda: now[0])
    lines = Lines()
    lines.phase("auditing", 100)
    for _ in range(100):
        now[0] += 2.0
        lines.step("refs/pull/1/head")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "golf-audit: auditing: 100"
    assert said[1] == "golf-audit: auditing: 8 of 100, 0:00:16 spent, 0:03:04 left"
    assert said[-1] == "golf-audit: auditing: 100 of 100, 0:03:20 spent, 0:00:00 left"
    assert len(said) < 16


def test_a_terminal_of_80_columns_holds_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    with telling() as told:
        told.phase("looking for submissions", 2059)
        for number in range(3):
            told.step(f"refs/pull/{number + 2000}/head")
        told.phase("auditing", 2594)
        told.step("refs/heads/" + "x" * 200 + "\x1b[2J")
    text = screen.getvalue()
    assert "looking for submissions" in text and "left" in text and "…" not in text and "[2J\x1b[2J" not in text


def test_names_and_times_are_short() -> None:
    assert short("refs/pull/1234/head") == "#1234"
    assert len(short("refs/heads/" + "y" * 99)) == 12 and short("a\x1b") == "a\\x1b"
    assert clock(3723.4) == "1:02:03" and clock(0) == "0:00:00"
