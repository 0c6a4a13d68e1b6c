"""The sign of life appears late, on a terminal, and nowhere else."""

from __future__ import annotations

import time

import pytest

from auditor.report import progress


@pytest.mark.parametrize(("seconds", "seen"), [(0.0, False), (0.3, True)])
def test_only_what_takes_long_shows_it(
    seconds: float, seen: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.waiting("auditing x\x1b[2J"):
        time.sleep(seconds)
    out, err = capsys.readouterr()
    assert out == "" and ("auditing x\\x1b[2J" in err) is seen


def test_nothing_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.0)
    with progress.waiting("auditing"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
