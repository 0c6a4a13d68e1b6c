"""One audit in a fork: whatever it does, the sweep gets an answer, and nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.sweep import child
from auditor.sweep.child import Bounds, Cancelled, run

QUICK = Bounds(seconds=20.0)


def ends(pid: int) -> bool:
    """Whether a process is gone within two seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.02)
    return False


def test_a_report_comes_back_with_its_cost() -> None:
    def step() -> dict[str, Any]:
        kept = bytearray(40 << 20)
        kept[::4096] = b"x" * len(kept[::4096])
        return {"report": {"verdict": "x" * (3 << 20)}, "facts": {"program": "p"}}

    done = run(step, QUICK)
    assert done.report == {"verdict": "x" * (3 << 20)} and done.facts == {"program": "p"} and done.error == ""
    assert done.peak_bytes > 40 << 20 and done.seconds > 0 and done.cpu_seconds > 0


def test_an_exception_becomes_its_sentence() -> None:
    done = run(lambda: {"report": 1 // 0}, QUICK)
    assert done.report is None and done.error.startswith("ZeroDivisionError") and "1 // 0" in done.facts["trace"]


def hang() -> dict[str, Any]:
    while True:
        time.sleep(1)


def spin() -> dict[str, Any]:
    while True:
        pass


def stubborn() -> dict[str, Any]:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return hang()


@pytest.mark.parametrize("step", [hang, spin, stubborn])
def test_a_hang_is_ended_at_the_wall_limit(step: Callable[[], dict[str, Any]]) -> None:
    start = time.monotonic()
    done = run(step, Bounds(seconds=0.4))
    assert done.report is None and done.error == "it took longer than 0.4 s and was ended"
    assert time.monotonic() - start < 5


def test_children_of_a_hang_are_ended_too(tmp_path: Path) -> None:
    def step() -> dict[str, Any]:
        pid = os.fork()
        if pid == 0:
            hang()
        (tmp_path / "pid").write_text(str(pid))
        return hang()

    run(step, Bounds(seconds=0.5))
    assert ends(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory of another process is read from /proc")
def test_a_memory_eater_is_ended() -> None:
    def step() -> dict[str, Any]:
        kept = []
        while True:
            kept.append(b"x" * (4 << 20))
            time.sleep(0.001)

    done = run(step, Bounds(seconds=30.0, memory=300 << 20))
    assert done.error == "it used more than 300 MiB of memory and was ended"
    assert done.peak_bytes < 2 << 30


def test_address_space_is_limited_where_that_is_asked_for() -> None:
    def step() -> dict[str, Any]:
        bytearray(8 << 30)
        return {"report": {}}

    assert "MemoryError" in run(step, Bounds(seconds=20.0, address_space=4 << 30)).error


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda: os.abort(), "SIGABRT"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: os._exit(7), "exit status 7"),
        (lambda: sys.exit(3), "without a report"),
    ],
)
def test_a_crash_is_named(step: Callable[[], dict[str, Any]], says: str) -> None:
    done = run(step, QUICK)
    assert done.report is None and says in done.error


def test_a_report_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_ANSWER", 1000)
    assert "longer than 1,000 bytes" in run(lambda: {"report": "x" * 5000}, QUICK).error


def test_a_parent_that_leaves_cancels(tmp_path: Path) -> None:
    def step() -> dict[str, Any]:
        (tmp_path / "pid").write_text(str(os.getpid()))
        return hang()

    receive, send = os.pipe()
    os.close(send)
    with pytest.raises(Cancelled):
        run(step, QUICK, receive)
    os.close(receive)
    if (tmp_path / "pid").exists():
        assert ends(int((tmp_path / "pid").read_text()))


def test_the_child_holds_none_of_the_parent_s_files() -> None:
    def step() -> dict[str, Any]:
        return {"report": sorted(int(name) for name in os.listdir("/proc/self/fd"))}

    receive, send = os.pipe()
    held = run(step, QUICK).report
    os.close(receive)
    os.close(send)
    assert isinstance(held, list) and len(held) <= 5, held
