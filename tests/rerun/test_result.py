"""What a log says at its end: the score that stands for the claimed one, steps, tokens, the cause of a failure."""

from __future__ import annotations

import pytest

from auditor.rerun import result
from auditor.rerun.facts import MeasuredScore, SeedEnd
from auditor.rerun.result import failure, headline, read_result, stated_record
from tests.support import make_submission

LOG = """seed:42
train_batch_tokens:524288
step:0/100 val_loss:6.9 val_bpb:4.1 train_time:0ms
step:50/100 train_loss:3.0 train_time:300000ms step_avg:6000ms
step:100/100 val_loss:2.2 val_bpb:1.30 train_time:599000ms
stopping_early: wallclock_cap train_time:599500ms step:100/100
DIAGNOSTIC post_ema val_loss:2.1 val_bpb:1.20 eval_time:1000ms
Serialized model int6+zstd: 15000000 bytes
final_int6_roundtrip val_loss:2.12 val_bpb:1.21 eval_time:2000ms
legal_ttt_exact val_loss:2.0 val_bpb:1.19 eval_time:300000ms"""
CODE = "print('x')\n"


def read(log: str = LOG) -> list[MeasuredScore]:
    lines = log.splitlines()
    return list(read_result(lines, [float(n) for n in range(len(lines))]).scores)


def test_a_log_is_read() -> None:
    lines = LOG.splitlines()
    found = read_result(lines, [float(n) for n in range(len(lines))])
    assert (found.steps, found.tokens, found.train_seconds) == (100, 100 * 524_288, 599.5)
    assert found.model_bytes == (15_000_000,) and found.eval_seconds == pytest.approx(302.0)
    last = found.scores[-1]
    assert (last.label, last.bpb, last.loss, last.line, last.seconds) == ("legal_ttt_exact", 1.19, 2.0, 10, 9.0)
    assert [s.label for s in found.scores][:2] == ["step 0", "step 100"]


def claimed(score: float, log: str = LOG) -> str | None:
    """Label of the score that stands for ``score``, stated by a submission with ``log``."""
    submission = make_submission(
        {"train_gpt.py": CODE, "submission.json": f'{{"val_bpb": {score}}}', "train_seed42.log": log}
    )
    found = headline(read(LOG.replace("1.21", "1.77").replace("1.19", "1.66")), submission, stated_record(submission))
    return found.label if found is not None else None


def test_the_label_of_the_claim_decides() -> None:
    assert claimed(1.21) == "final_int6_roundtrip"
    assert claimed(1.19) == "legal_ttt_exact"


def test_without_a_logged_claim_the_last_score_that_is_none_of_training_or_diagnosis() -> None:
    assert claimed(1.05) == "legal_ttt_exact"
    submission = make_submission({"train_gpt.py": CODE, "submission.json": "{}"})
    facts = stated_record(submission)
    assert headline(read("\n".join(LOG.splitlines()[:7])), submission, facts) is None
    assert headline([], submission, facts) is None


@pytest.mark.parametrize(("lines", "status", "end", "says"), [
    (["Traceback", "ValueError: no", "x"], 1, SeedEnd.CRASHED, "ValueError: no"),
    (["torch.cuda.OutOfMemoryError: CUDA out of memory. Tried"], 1, SeedEnd.OUT_OF_MEMORY, "Tried"),
    (["[rank3]: torch.OutOfMemoryError: CUDA out of memory."], 1, SeedEnd.OUT_OF_MEMORY, "OutOfMemoryError"),
    (["MemoryError"], 1, SeedEnd.OUT_OF_MEMORY, "MemoryError"),
    (["RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"], 1, SeedEnd.OUT_OF_MEMORY, "allocate"),
    (["fine"], 137, SeedEnd.OUT_OF_MEMORY, "signal 9"), ([], -9, SeedEnd.OUT_OF_MEMORY, "signal 9"),
    (["Signal 9 (SIGKILL) received by PID 7"], 1, SeedEnd.OUT_OF_MEMORY, "SIGKILL"),
    (["exitcode  : -9 (pid: 7)"], 1, SeedEnd.OUT_OF_MEMORY, "-9"), ([], 2, SeedEnd.CRASHED, "it printed nothing"),
    (["peak memory allocated: 100 MiB", "AssertionError: out of range"], 1, SeedEnd.CRASHED, "out of range"),
    (["RuntimeError: x", "torch.distributed.elastic.errors.ChildFailedError: "], 1, SeedEnd.CRASHED, ": x"),
])  # fmt: skip
def test_why_a_run_failed(lines: list[str], status: int, end: SeedEnd, says: str) -> None:
    found = failure(lines, status)
    assert found[0] is end and says in found[1]


def test_a_log_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(result, "read_log", fails)
    found, why = result.read_safely(LOG.splitlines(), [0.0] * 10, "")
    assert found == result.LogResult() and "planted" in why
