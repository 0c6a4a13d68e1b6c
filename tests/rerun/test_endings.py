"""One planted run for each way to end, under the real harness: each gets its end, and nothing is left running."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.rerun import record
from auditor.rerun.facts import PhaseKind, RunOutcome, SeedEnd
from auditor.rerun.options import TimeLimits
from auditor.rerun.outcome import judge
from tests.rerun.planted import (
    BEGIN,
    FINISHES,
    HANGS,
    ISOLATED,
    SCORE,
    TRAIN,
    WRITE,
    nothing_left,
    options,
    plant,
    run,
)


def test_a_run_that_finishes_is_measured_phase_by_phase(tmp_path: Path) -> None:
    done = run(plant(tmp_path, FINISHES), options(tmp_path / "kept"))
    (one,) = done.record.seeds
    assert (one.end, one.exit_status, one.reason) == (SeedEnd.FINISHED, 0, "")
    kinds = [span.kind for span in one.phases]
    assert kinds[:4] == [PhaseKind.START, PhaseKind.WARM_UP, PhaseKind.TRAIN, PhaseKind.SERIALISE]
    assert kinds[-2:] == [PhaseKind.EVALUATION, PhaseKind.END]
    assert one.phases[0].start == 0.0 and one.phases[-1].end == one.seconds
    assert all(a.end == b.start for a, b in zip(one.phases, one.phases[1:], strict=False))
    assert one.train_seconds == pytest.approx(0.12, abs=0.1)
    assert one.eval_seconds == pytest.approx(0.06, abs=0.05)
    assert one.headline is not None and one.headline.bpb == pytest.approx(1.227642)
    assert (one.artifact, one.artifact_bytes, one.steps) == ("final_model.int8.ptz", 5000, 3)
    assert one.code_bytes == len(FINISHES)
    assert (tmp_path / "kept/seed42/final_model.int8.ptz").stat().st_size == 5000
    log = (tmp_path / "kept" / one.log).read_text().splitlines()
    assert f"val_bpb:{one.headline.bpb:.8f}" in log[one.headline.line - 1]


@pytest.mark.parametrize("after", [
    "open('final_model.int8.ptz', 'wb').write(bytes(5000))", "os.unlink('final_model.int8.ptz')",
])  # fmt: skip
def test_the_artifact_is_the_one_that_was_scored(tmp_path: Path, after: str) -> None:
    """Not what is left of it when its score is taken."""
    large = WRITE.replace("bytes(range(250)) * 20", "bytes(17_000_000)")
    script = BEGIN + TRAIN + large + SCORE.replace("sleep(0.06)", "sleep(0.6)") + f"{after}\n"
    done = run(plant(tmp_path, script), options(tmp_path / "kept"))
    (one,) = done.record.seeds
    assert (one.end, one.artifact, one.artifact_bytes) == (SeedEnd.FINISHED, "final_model.int8.ptz", 17_000_000)
    judged = judge(done.record, load_submission(tmp_path))
    assert judged.outcome is RunOutcome.OVER_CAP and "smaller or removed" in " ".join(judged.reasons)
    assert not (tmp_path / "kept" / "seed42" / "final_model.int8.ptz").exists()


@pytest.mark.slow
def test_a_score_of_a_seed_is_that_seed_s(tmp_path: Path) -> None:
    done = run(plant(tmp_path, FINISHES), options(tmp_path / "kept", seeds=(7, 99)))
    assert [r.headline.bpb for r in done.record.seeds if r.headline] == [1.227607, 1.227699]
    assert done.record.asked_seeds == (7, 99)


def test_a_crash_is_told_with_its_line(tmp_path: Path) -> None:
    script = BEGIN + "raise RuntimeError('shape [3] does not fit')\n"
    done = run(plant(tmp_path, script), options(tmp_path / "kept"))
    (one,) = done.record.seeds
    assert one.end is SeedEnd.CRASHED and one.exit_status == 1
    assert "shape [3] does not fit" in one.reason
    assert judge(done.record, load_submission(tmp_path)).outcome is RunOutcome.CRASHED


@pytest.mark.parametrize("text", [
    "raise MemoryError('no more')",
    "raise type('OutOfMemoryError', (RuntimeError,), {'__module__': 'torch'})('CUDA out of memory. Tried to allocate')",
    "os.kill(os.getpid(), 9)",
])  # fmt: skip
def test_out_of_memory_is_told_from_a_crash(tmp_path: Path, text: str) -> None:
    done = run(plant(tmp_path, BEGIN + text + "\n"), options(tmp_path / "kept"))
    (one,) = done.record.seeds
    assert one.end is SeedEnd.OUT_OF_MEMORY, one
    assert judge(done.record, load_submission(tmp_path)).outcome is RunOutcome.OUT_OF_MEMORY


@pytest.mark.parametrize("unsandboxed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_hang_is_killed_with_all_that_it_started(tmp_path: Path, unsandboxed: bool) -> None:
    if not unsandboxed and not ISOLATED:
        pytest.skip("nothing isolates here")
    word = f"3600.{hash(tmp_path) % 10**8}"
    script = BEGIN + f"subprocess.Popen(['sleep', '{word}'], start_new_session=True)\n" + HANGS.replace(BEGIN, "")
    limits = TimeLimits(train=0.5, evaluation=5.0, grace=0.2, other=5.0)
    asked = options(tmp_path / "kept", limits=limits, unsandboxed=unsandboxed)
    with nothing_left(word):
        done = run(plant(tmp_path, script), asked)
    (one,) = done.record.seeds
    assert one.end is SeedEnd.TIMED_OUT and "training had 0.5 s and 0.2 s of grace" in one.reason
    assert one.seconds < 3.0
    assert done.record.isolation == ("none" if unsandboxed else "bubblewrap")
    assert judge(done.record, load_submission(tmp_path)).outcome is RunOutcome.TIMED_OUT


@pytest.mark.slow
@pytest.mark.parametrize(("script", "limits", "budget"), [
    ("import time\ntime.sleep(60)\n", TimeLimits(9, 9, 0.1, 0.3), "start-up"),
    (BEGIN + TRAIN + "time.sleep(60)\n", TimeLimits(9, 9, 0.1, 0.6), "serialising"),
    (BEGIN + TRAIN + WRITE + "time.sleep(60)\n", TimeLimits(9, 0.3, 0.1, 9), "evaluation"),
])  # fmt: skip
def test_each_budget_runs_out(tmp_path: Path, script: str, limits: TimeLimits, budget: str) -> None:
    (one,) = run(plant(tmp_path, script), options(tmp_path / "kept", limits=limits)).record.seeds
    assert one.end is SeedEnd.TIMED_OUT and f"s: {budget} had" in one.reason, one.reason


@pytest.mark.slow
def test_what_holds_the_output_open_does_not_hold_the_harness(tmp_path: Path) -> None:
    word = f"3600.{hash(tmp_path) % 10**8}"
    script = FINISHES + f"subprocess.Popen(['sleep', '{word}'], start_new_session=True)\n"
    with nothing_left(word):
        done = run(plant(tmp_path, script), options(tmp_path / "kept", unsandboxed=True))
    assert done.record.seeds[0].end is SeedEnd.FINISHED and done.record.seeds[0].seconds < 5.0


def test_a_script_without_an_end_of_line_or_text_is_survived(tmp_path: Path) -> None:
    script = "import sys\nsys.stdout.buffer.write(b'\\xff\\x00 no end')\nsys.exit(4)\n"
    (one,) = run(plant(tmp_path, script), options(tmp_path / "kept")).record.seeds
    assert one.end is SeedEnd.CRASHED and one.exit_status == 4
    assert "no end" in one.reason and (tmp_path / "kept/seed42.log").read_text().count("\n") == 1


@pytest.mark.slow
def test_the_network_is_off_where_it_is_isolated(tmp_path: Path) -> None:
    if not ISOLATED:
        pytest.skip("nothing isolates here")
    script = "import socket\nsocket.create_connection(('192.0.2.1', 80), 3)\n"
    (one,) = run(plant(tmp_path, script), options(tmp_path / "kept")).record.seeds
    assert one.end is SeedEnd.CRASHED and "unreachable" in one.reason.lower()


def test_nothing_of_the_harness_s_environment_reaches_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_HARNESS", "hush")
    script = "import os\nprint(sorted(os.environ))\n"
    run(plant(tmp_path, script), options(tmp_path / "kept"))
    said = (tmp_path / "kept/seed42.log").read_text()
    assert "'SEED'" in said and "SECRET" not in said


@pytest.mark.slow
def test_the_submission_s_own_folder_is_not_touched(tmp_path: Path) -> None:
    place = plant(tmp_path, "open('train_gpt.py', 'w').write('changed')\n" + FINISHES)
    before = (place / "train_gpt.py").read_bytes()
    run(place, options(tmp_path / "kept"))
    assert (place / "train_gpt.py").read_bytes() == before
    assert not (place / "final_model.pt").exists()


def test_over_the_cap_and_over_time_are_measured(tmp_path: Path) -> None:
    script = FINISHES.replace("bytes(range(250)) * 20", "bytes(16_000_001)").replace("5000 bytes", "16000001 bytes")
    done = run(plant(tmp_path, script), options(tmp_path / "kept"))
    assert done.record.seeds[0].bytes_total == 16_000_001 + len(script)
    assert judge(done.record, load_submission(tmp_path)).outcome is RunOutcome.OVER_CAP


def test_the_record_reads_the_same_elsewhere(tmp_path: Path) -> None:
    done = run(plant(tmp_path, FINISHES), options(tmp_path / "kept"))
    (tmp_path / "kept").rename(tmp_path / "moved")
    again = record.read(tmp_path / "moved")
    assert again.seeds == done.record.seeds and again.settings == done.record.settings
    assert SCORE in FINISHES and again.seeds[0].end is SeedEnd.FINISHED
