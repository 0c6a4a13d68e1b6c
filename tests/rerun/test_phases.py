"""Phases from lines and files: what closes a stretch, what opens one, and what each counts to."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.rerun.facts import PhaseKind
from auditor.rerun.phases import Phases
from auditor.rerun.spans import counted

WHOLE = [
    (5.0, "seed:42"),
    (30.0, "warmup_step:1/20"),
    (40.0, "warmup_step:20/20"),
    (45.0, "step:0/100 val_loss:6.9357 val_bpb:4.1077 train_time:0ms step_avg:0.01ms"),
    (145.0, "step:50/100 train_loss:3.0 train_time:100000ms step_avg:2000ms"),
    (155.0, "step:50/100 val_loss:3.1 val_bpb:1.9 train_time:100000ms step_avg:2000ms"),
    (255.0, "step:100/100 train_loss:2.5 train_time:200000ms step_avg:2000ms"),
    (265.0, "step:100/100 val_loss:2.4 val_bpb:1.4 train_time:200000ms step_avg:2000ms"),
    (265.5, "stopping_early: wallclock_cap train_time:200000ms step:100/100"),
    (266.0, "peak memory allocated: 10119 MiB reserved: 10730 MiB"),
    (270.0, "gptq:collecting hessians from training data"),
    (290.0, "gptq:collected 67 Hessians in 15.0s"),
    (295.0, "Serialized model int6+zstd: 15000000 bytes"),
    (295.0, "Total submission size int6+zstd: 15070000 bytes"),
    (330.0, "final_int6_roundtrip val_loss:2.40 val_bpb:1.4213 eval_time:20000ms"),
    (331.0, "ttt_sliding:start chunks=10 chunk_tokens=32768"),
    (400.0, "ttt_sliding:done val_loss=2.2 val_bpb=1.31 elapsed=69.0s"),
]


Spans = list[tuple[str, float, float]]


def read(lines: list[tuple[float, str]], end: float, stated: bool = True) -> tuple[Phases, Spans]:
    phases = Phases(stated)
    for at, text in lines:
        phases.line(text, at)
    return phases, [(span.name, round(span.start, 6), round(span.end, 6)) for span in phases.close(end)]


STOP = (2.0, "stopping_early: wallclock_cap train_time:900ms step:9/9")


def test_a_whole_run() -> None:
    phases, spans = read(WHOLE, 402.0)
    assert spans == [
        ("start-up", 0.0, 5.0), ("warm-up", 5.0, 40.0), ("validation at step 0", 40.0, 45.0), ("train", 45.0, 145.0),
        ("validation at step 50", 145.0, 155.0), ("train", 155.0, 255.0), ("validation at step 100", 255.0, 265.0),
        ("serialise", 265.0, 270.0), ("calibration", 270.0, 290.0),
        ("serialise", 290.0, 295.0), ("outside the timer of final_int6_roundtrip", 295.0, 310.0),
        ("final_int6_roundtrip", 310.0, 330.0), ("outside the timer of test-time training", 330.0, 331.0),
        ("ttt_sliding:done", 331.0, 400.0), ("end", 400.0, 402.0),
    ]  # fmt: skip
    sums = counted(phases.close(402.0))
    assert sums.train == pytest.approx(200.0) and sums.train_strict == pytest.approx(220.0)
    assert sums.evaluation == pytest.approx(89.0) and sums.evaluation_strict == pytest.approx(105.0)


def test_a_clock_that_is_not_real_is_not_believed() -> None:
    _, spans = read([(1.0, "step:1/2 train_loss:3.0 train_time:900000ms"), (2.0, "Serialized model int8: 1000 bytes"),
                     (9.0, "final val_loss:2.4 val_bpb:1.4 eval_time:1ms")], 9.0, stated=False)  # fmt: skip
    assert ("final", 2.0, 9.0) in spans


def test_a_stated_duration_never_reaches_past_the_mark_before() -> None:
    lines = [(1.0, "step:1/1 train_loss:3.0 train_time:500ms"), (10.0, "Serialized model int8+zlib: 5000 bytes"),
             (12.0, "final val_loss:2 val_bpb:1.2 eval_time:900000ms")]  # fmt: skip
    _, spans = read(lines, 12.0)
    assert spans[-1] == ("final", 10.0, 12.0)


def test_a_training_clock_that_stands_still_is_seen_as_validation_and_strictly_told() -> None:
    lines = [(1.0, "step:0/9 val_loss:6 val_bpb:4 train_time:0ms"),
             (901.0, "step:1/9 val_loss:6 val_bpb:4 train_time:10ms")]  # fmt: skip
    phases, spans = read(lines, 901.0)
    assert ("validation at step 1", 1.01, 901.0) in spans
    assert phases.spent(901.0).other == pytest.approx(900.99), "which has a limit too"


def test_the_first_artifact_ends_the_training() -> None:
    phases = Phases()
    phases.line("step:1/20000 train_loss:3.0 train_time:900ms", 1.0)
    phases.artifact("final_model.int8.ptz", 3.0)
    assert phases.kind is PhaseKind.SERIALISE and phases.budget == "other"
    assert [s.because for s in phases.close(4.0)][-1] == "final_model.int8.ptz was written"


def test_a_checkpoint_amid_training_does_not() -> None:
    phases = Phases()
    phases.line("step:1/20000 train_loss:3.0 train_time:900ms", 1.0)
    phases.artifact("checkpoint.pt", 3.0)
    phases.line("step:2/20000 train_loss:2.9 train_time:3900ms", 4.0)
    (_, last) = phases.close(5.0)
    assert (last.kind, last.end) == (PhaseKind.TRAIN, 5.0) and last.start == pytest.approx(0.1)


def test_pre_quant_adaptation_counts_as_evaluation() -> None:
    lines = [(1.0, "step:9/9 train_loss:3.0 train_time:900ms"), STOP,
             (3.0, "prequant_ttt:epoch 1/10 loss:2.9"), (60.0, "prequant_ttt:epoch 10/10 loss:2.1"),
             (61.0, "Serialized model int6+lzma: 15000000 bytes"),
             (70.0, "final val_loss:2 val_bpb:1.2 eval_time:9000ms")]  # fmt: skip
    phases, spans = read(lines, 70.0)
    assert ("test-time training", 3.0, 61.0) in spans
    assert counted(phases.close(70.0)).evaluation == pytest.approx(67.0)


def test_the_warm_up_of_the_evaluation_is_not_counted() -> None:
    lines = [(1.0, "step:9/9 train_loss:3.0 train_time:900ms"), (5.0, "Serialized model int6+lzma: 15000000 bytes"),
             (150.0, "ttt_lora:compile warmup done (137.6s)"),
             (300.0, "final val_loss:2 val_bpb:1.2 eval_time:150000ms")]  # fmt: skip
    phases, spans = read(lines, 300.0)
    assert ("warm-up of the evaluation", 12.4, 150.0) in spans
    sums = counted(phases.close(300.0))
    assert sums.evaluation == pytest.approx(150.0)
    assert sums.evaluation_strict == pytest.approx(150.0 + 137.6 + 7.4)


def test_time_between_two_evaluations_is_no_end() -> None:
    lines = [(1.0, "step:9/9 train_loss:3.0 train_time:900ms"), (5.0, "Serialized model int6+lzma: 15000000 bytes"),
             (9.0, "final val_loss:2 val_bpb:1.2 eval_time:4000ms"),
             (20.0, "ttt_lora:warming up compile (random tokens)"), (50.0, "ttt_lora:compile warmup done (30.0s)"),
             (90.0, "final_ttt val_loss:2 val_bpb:1.2 eval_time:40000ms")]  # fmt: skip
    _, spans = read(lines, 91.0)
    assert spans[-5:] == [
        ("final", 5.0, 9.0), ("outside the timer of warm-up of the evaluation", 9.0, 20.0),
        ("warm-up of the evaluation", 20.0, 50.0), ("final_ttt", 50.0, 90.0), ("end", 90.0, 91.0),
    ]  # fmt: skip


def test_diagnostics_are_not_counted() -> None:
    lines = [(1.0, "step:9/9 train_loss:3.0 train_time:900ms"), STOP,
             (12.0, "DIAGNOSTIC post_ema val_loss:2.0 val_bpb:1.2 eval_time:9000ms")]  # fmt: skip
    phases, spans = read(lines, 12.0)
    assert ("diagnostic: DIAGNOSTIC post_ema", 3.0, 12.0) in spans
    assert counted(phases.close(12.0)).evaluation is None


def test_nothing_printed_is_start_up() -> None:
    assert read([], 3.0)[1] == [("start-up", 0.0, 3.0)]
    assert Phases().spent(3.0).start == 3.0


TEXTS = [text for _, text in WHOLE] + ["", "Traceback (most recent call last):", "\x1b[31mval_bpb: nan", "final_int6"]


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from(TEXTS)), max_size=40), st.booleans(), st.floats(0, 50))
def test_whatever_is_printed_the_spans_have_no_gap(lines: list[tuple[float, str]], stated: bool, last: float) -> None:
    phases, at = Phases(stated), 0.0
    for step, text in lines:
        at += step
        phases.line(text, at)
        spent = phases.spent(at)
        assert sum((spent.start, spent.train, spent.other, spent.evaluation)) == pytest.approx(at, abs=1e-6)
    spans = phases.close(at + last)
    assert spans[0].start == 0.0 and spans[-1].end == pytest.approx(at + last)
    assert all(a.end == b.start and a.start <= a.end for a, b in itertools.pairwise(spans))


def test_a_line_without_an_end_takes_no_time() -> None:
    began = time.process_time()
    phases = Phases()
    for _ in range(200):
        phases.line("x" * 60_000, 1.0)
    assert time.process_time() - began < 1.0 and phases.kind is PhaseKind.START
