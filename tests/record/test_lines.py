"""Single log lines: prefixes, figures, kinds, events."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.core.types import Place
from auditor.record import events
from auditor.record.facts import LineKind, SizeKind
from auditor.record.lines import clean, kind_of, pairs

AT = Place(log="train.log", line=7)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("step:500/20000 train_loss:2.6529 train_time:17960ms step_avg:35.92ms", LineKind.TRAIN_STEP),
        ("500/20000 train_loss: 2.6529 train_time: 0.6m tok/s: 8238068", LineKind.TRAIN_STEP),
        ("step:500/20000 val_loss:2.2402 val_bpb:1.3268 train_time:600025ms", LineKind.VAL_STEP),
        ("stopping_early: wallclock_cap train_time: 588079ms step: 5073/20000", LineKind.STOP),
        ("Total submission size int8+zlib: 15850153 bytes", LineKind.SIZE),
        ("quant:int4 artifact size: 1234567 bytes (1.18 MB)", LineKind.SIZE),
        ("final_int6_sliding_window_exact val_loss:2.20182449 val_bpb:1.30404794", LineKind.EVALUATION),
        ("val_bpb  (raw):   1.05003120", LineKind.EVALUATION),
        ("val_tokens: 40540160", LineKind.VAL_TOKENS),
        ("seed: 999", LineKind.SEED),
        ("  rope_base: 10000.0", LineKind.SETTING),
        ("model_params:27030107", LineKind.PARAMS),
        ("GPTQ:collected 67 Hessians in 11.4s", LineKind.CALIBRATION),
        ("  ttt_chunk [21/1893] bpb=1.161909 time=0.5s", LineKind.TTT),
        ("prequant_ttt:epoch 1/21 val_bpb=1.087252 lr=0.000500 time=60.8s", LineKind.TTT),
        ("warmup_step:3/20", LineKind.WARMUP),
        ("total_eval_time:572.0s", LineKind.EVAL_TIME),
        ("ngram_tilt:hints total=47 within_gate=986 word_gate=28", LineKind.NGRAM),
        ("peak memory allocated: 6257 MiB reserved: 6312 MiB", LineKind.MEMORY),
        ("W0326 21:53:36.584000 1466821 torch/distributed/run.py:852] *****", LineKind.NOISE),
        ("| N/A   34C    P0             44W /  250W |", LineKind.NOISE),
        ("Traceback (most recent call last):", LineKind.NOISE),
    ],
)
def test_kinds(line: str, kind: LineKind) -> None:
    assert kind_of(clean(line)) is kind


PREFIXES = ["1776142360.712 ", "\x1b[32m", "[2026-04-01 10:00:00] ", "[rank0]: ", "[default0]:"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_launchers_are_stripped(prefix: str) -> None:
    assert clean(prefix + "seed:42") == "seed:42"


def test_score_lines_keep_label_and_decimals() -> None:
    found = events.evaluation("legal_ttt val_loss:1.9123 val_bpb:1.13260000 eval_time:178175ms", AT)
    assert found is not None and found.val_loss is not None and found.val_bpb is not None
    assert (found.label, found.val_loss.digits, found.val_bpb.digits) == ("legal_ttt", 4, 8)
    assert found.eval_seconds == pytest.approx(178.175) and not found.diagnostic


def test_diagnostics_are_told_by_their_words() -> None:
    found = events.evaluation("DIAGNOSTIC post_ema val_loss:2.2 val_bpb:1.3", AT)
    assert found is not None and found.diagnostic


@pytest.mark.parametrize(
    ("line", "kind", "label", "value"),
    [
        ("Serialized model: 106027446 bytes", SizeKind.RAW_MODEL, "", 106027446),
        ("Serialized model int6+zstd: 15,384,975 bytes", SizeKind.MODEL, "int6+zstd", 15384975),
        ("Code size (uncompressed): 233891 bytes", SizeKind.CODE, "uncompressed", 233891),
        ("Code size (compressed): 41130 bytes", SizeKind.CODE_COMPRESSED, "compressed", 41130),
        ("Total submission size quantized+brotli: 15989602 bytes", SizeKind.TOTAL, "quantized+brotli", 15989602),
    ],
)
def test_sizes(line: str, kind: SizeKind, label: str, value: int) -> None:
    (found,) = events.size(line, AT)
    assert (found.kind, found.label, found.bytes) == (kind, label, value)


@pytest.mark.parametrize("line", ["artifact size limit: 16000000 bytes", "estimated total size: 15900000 bytes",
                                  "total size: 15.9 MB of 16000"])
def test_limits_and_estimates_are_no_sizes(line: str) -> None:
    assert events.size(line, AT) == []


def test_calibration_names_source_and_seconds() -> None:
    val = events.calibration("gptq:collecting hessians batches=64 source=val", after_clock=True, at=AT)
    train = events.calibration("gptq:calibrated 68 layers in 3.1s (training data)", after_clock=True, at=AT)
    own = events.calibration("gptq:generating autoregressive calibration data (64 seqs)", after_clock=False, at=AT)
    assert (val.source, train.source, own.source) == ("val", "train", "generated")
    assert train.seconds == pytest.approx(3.1) and train.count == 68 and train.after_clock


def test_gates_and_byte_totals() -> None:
    found = events.gates("ngram_tilt:hints total=9 token_gate=7 within_gate=5 word_gate=3", AT)
    assert found is not None and found.gates == {"token_gate": 7, "within_gate": 5, "word_gate": 3}
    (total,) = events.text_bytes("cond tokens=47851520 bytes=164594398 mix_bpb=0.97", AT)
    assert total.value == 164_594_398


def test_epochs_of_adaptation() -> None:
    found = events.ttt("ttt_epoch:3/10 loss:1.9534 time:16.5s", before_quant=True, at=AT)
    assert found is not None and (found.stage, found.epoch, found.epochs) == ("epoch", 3, 10)


@given(st.text(max_size=300))
def test_no_line_crashes_the_readers(text: str) -> None:
    line = clean(text)
    kind_of(line)
    assert all(math.isfinite(p.value) or p.digits is None for p in pairs(line))
    events.evaluation(line, AT)
    events.size(line, AT)
    events.calibration(line, after_clock=True, at=AT)
    events.ttt(line, before_quant=False, at=AT)


def test_a_long_word_takes_linear_time() -> None:
    started = time.process_time()
    assert pairs("a" * 40_000 + " val_loss:1.5")[-1].key == "val_loss"
    assert time.process_time() - started < 2.0
