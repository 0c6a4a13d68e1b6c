"""A harness that dies or is interrupted: finished seeds survive, nothing is left running, the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.rerun import leftovers, record
from auditor.rerun.facts import SeedEnd
from auditor.rerun.interrupts import quiet
from auditor.sandbox.watch import identify
from tests.rerun.planted import BEGIN, FINISHES, HANGS, ISOLATED, commands_with, options, plant, run
from tests.support import heeds_interrupts

ROOT = Path(__file__).resolve().parent.parent.parent


def start(place: Path, keep: Path, *more: str) -> subprocess.Popen[str]:
    """The command, as a user gives it."""
    line = [sys.executable, "-m", "auditor.cli", "rerun", str(place), "--gpus", "0", "--seeds", "42,7"]
    line += ["--keep", str(keep), *more, *([] if ISOLATED else ["--unsandboxed"])]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=_heeds)  # fmt: skip


def _heeds() -> None:
    heeds_interrupts()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_for_second(keep: Path) -> None:
    """Until seed 7 runs."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        noted = leftovers.noted(keep)
        log = keep / "seed7.log"
        if noted is not None and noted.seed == 7 and log.exists() and "warmup_step" in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError("the second seed did not start")


@pytest.fixture
def word(tmp_path: Path) -> Iterator[str]:
    """Marks the processes of one test."""
    text = f"3600.{abs(hash(str(tmp_path))) % 10**8}"
    yield text
    assert not commands_with(text)


def hanging(word: str) -> str:
    """Finishes for seed 42; for seed 7 starts a process in a session of its own and hangs."""
    pause = f"if seed == 7:\n    subprocess.Popen(['sleep', '{word}'], start_new_session=True)\n    time.sleep(60)\n"
    return FINISHES.replace(BEGIN, BEGIN + pause)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["isolated", "unsandboxed"])
def test_killed_and_resumed(tmp_path: Path, word: str, level: str) -> None:
    if level == "isolated" and not ISOLATED:
        pytest.skip("nothing isolates here")
    place, keep = plant(tmp_path, hanging(word)), tmp_path / "kept"
    more = ["--unsandboxed"] if level == "unsandboxed" else []
    harness = start(place, keep, *more)
    wait_for_second(keep)
    harness.kill()
    harness.communicate()
    until = time.monotonic() + 10
    while commands_with(word) and time.monotonic() < until:
        time.sleep(0.05)
    assert not commands_with(word), "the run outlived its harness"
    before = record.read(keep)
    assert [(r.seed, r.end) for r in before.seeds] == [(42, SeedEnd.FINISHED)]
    (place / "train_gpt.py").write_text(hanging(word))  # the same script: it would hang again
    (keep / "seed42.log").rename(keep / "seed42.first")
    second = start(place, keep, "--limit-train", "0.5", "--grace", "0.1", "--format", "json", *more)
    out, _ = second.communicate(timeout=30)
    told = json.loads(out)
    assert [(r["seed"], r["end"]) for r in told["seeds"]] == [(42, "finished"), (7, "timed_out")]
    assert told["outcome"] == "timed_out" and second.returncode == 10
    assert not (keep / "seed42.log").exists(), "a finished seed ran again"
    assert any("seed 7 was in progress" in note for note in told["notes"])
    assert not (keep / leftovers.NAME).exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(tmp_path: Path, word: str, number: signal.Signals) -> None:
    place, keep = plant(tmp_path, hanging(word)), tmp_path / "kept"
    harness = start(place, keep)
    wait_for_second(keep)
    noted = leftovers.noted(keep)
    harness.send_signal(number)
    _, said = harness.communicate(timeout=20)
    assert harness.returncode == 130, said
    assert "Traceback" not in said and "interrupted" in said
    ends = [(r.seed, r.end) for r in record.read(keep).seeds]
    assert ends == [(42, SeedEnd.FINISHED), (7, SeedEnd.INTERRUPTED)]
    assert noted is not None and not Path(noted.scratch).exists()


def test_what_outlived_a_killed_harness_is_found_by_its_note(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    keep.mkdir()
    scratch = tmp_path / f"{leftovers.PREFIX}x"
    scratch.mkdir()
    left = subprocess.Popen(["sh", "-c", "sleep 3600 & wait"], start_new_session=True, cwd=scratch)
    bystander = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    try:
        leftovers.note(keep, 7, left.pid, scratch)
        done = run(plant(tmp_path, FINISHES), options(keep))
        left.wait(5)
        assert bystander.poll() is None
        assert not scratch.exists()
        assert "2 process(es)" in " ".join(done.record.notes)
    finally:
        for process in (left, bystander):
            process.kill()
            process.wait()


@pytest.mark.parametrize("left", ["", "/", "golf-rerun-x", "{}", "{}/golf-rerun-record", 5, None])
def test_a_note_that_names_another_folder_is_not_believed(tmp_path: Path, left: object) -> None:
    """Else all that works below it would be killed, and the folder removed."""
    kept = tmp_path / "golf-rerun-record"
    kept.mkdir()
    (kept / record.NAME).write_text("{}\n")
    left = left.format(tmp_path) if isinstance(left, str) else left
    note = {"seed": 7, "pid": 4_000_000, "started": "1", "boot": leftovers.boot_id(), "scratch": left}
    (kept / leftovers.NAME).write_text(json.dumps(note))
    assert leftovers.noted(kept) is None, "only read here: a note that is believed would be acted upon"


def test_a_number_that_was_given_anew_is_nobody_of_ours(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    try:
        seen = identify(other.pid)
        assert seen is not None
        earlier = str(int(seen.started) - 5)
        stale = leftovers.Running(7, other.pid, earlier, leftovers.boot_id(), str(tmp_path / "x"))
        assert leftovers.members(stale) == []
        assert leftovers.members(replace(stale, started=seen.started)) == [seen]
    finally:
        other.kill()
        other.wait()


@pytest.mark.slow
def test_a_record_in_use_is_left_alone(tmp_path: Path) -> None:
    place, keep = plant(tmp_path, HANGS), tmp_path / "kept"
    first = start(place, keep)
    try:
        until = time.monotonic() + 20
        while leftovers.noted(keep) is None and time.monotonic() < until:
            time.sleep(0.02)
        second = start(place, keep)
        _, said = second.communicate(timeout=20)
        assert second.returncode == 2 and "in use by another" in said
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)


def test_a_record_of_another_script_is_left_alone(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    run(plant(tmp_path / "a", FINISHES), options(keep))
    text = (keep / record.NAME).read_text()
    with pytest.raises(record.RecordError, match="script_sha256"):
        run(plant(tmp_path / "b", FINISHES + "print('more')\n"), options(keep))
    assert (keep / record.NAME).read_text() == text


def test_further_seeds_join_the_record(tmp_path: Path) -> None:
    place, keep = plant(tmp_path, FINISHES), tmp_path / "kept"
    run(place, options(keep, seeds=(42,)))
    done = run(place, options(keep, seeds=(42, 7)))
    assert [r.seed for r in done.record.seeds] == [42, 7] and [r.seed for r in done.fresh] == [7]


def test_an_interrupt_in_a_clean_up_waits_for_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    done = []
    with pytest.raises(KeyboardInterrupt), quiet(later=True):
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    with quiet():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(2)
    assert done == [1, 2] and signal.getsignal(signal.SIGINT) is before
