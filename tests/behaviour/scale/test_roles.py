"""Each role is told from the words of a name and gets its value; flags and rates never change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.shape import LEVELS, shape_of
from auditor.behaviour.scale.sites import Site
from auditor.behaviour.scale.values import toy_value

Value = int | float | str


def site(name: str, value: Value, how: str = "env", kind: str = "") -> Site:
    return Site(name, how, value, "train_gpt.py", 1, kind=kind)


BASE = [
    site("NUM_LAYERS", 9), site("MODEL_DIM", 512), site("NUM_HEADS", 8), site("NUM_KV_HEADS", 4),
    site("TRAIN_SEQ_LEN", 2048), site("ITERATIONS", 20000), site("MAX_WALLCLOCK_SECONDS", 600.0),
]  # fmt: skip


def toy(name: str, value: Value, level: int = 0, extra: tuple[Site, ...] = (), kind: str = "") -> Any:
    knob = site(name, value, kind=kind)
    shape = shape_of([*BASE, *extra, knob], LEVELS[level], 7000)
    return toy_value(knob, shape, LEVELS[level])[1]


ROLES: list[tuple[str, Value, str, Any]] = [
    ("ITERATIONS", 20000, "iterations", 6),
    ("MAX_STEPS", 7000, "iterations", 6),
    ("WARMUP_STEPS", 20, "warmup", 1),
    ("WARMDOWN_ITERS", 3500, "steps", 3),
    ("RECUR_START_STEP", 3000, "steps", 3),
    ("SWA_EVERY", 50, "every", 1),
    ("VAL_LOSS_EVERY", 4000, "val_every", 1_000_000),
    ("VAL_LOSS_EVERY", 0, "val_every", None),
    ("NUM_LAYERS", 9, "layers", 5),
    ("MODEL_DIM", 512, "model_dim", 32),
    ("EMBEDDING_DIM", 512, "model_dim", 32),
    ("NUM_HEADS", 8, "heads", 4),
    ("NUM_KV_HEADS", 4, "kv_heads", 2),
    ("HEAD_DIM", 64, "head_dim", 8),
    ("ROPE_DIMS", 24, "rope_dims", 8),
    ("ROPE_DIMS", 8, "rope_dims", None),
    ("MLP_HIDDEN", 1536, "width", 96),
    ("BIGRAM_DIM", 128, "width", 16),
    ("TRAIN_SEQ_LEN", 2048, "seq_len", 128),
    ("EVAL_SEQ_LEN", 4096, "seq_len", 256),
    ("EVAL_STRIDE", 64, "stride", None),
    ("EVAL_STRIDE", 256, "stride", 64),
    ("EVAL_STRIDE", 2048, "stride", 128),
    ("EVAL_STRIDE", 0, "stride", None),
    ("TRAIN_BATCH_TOKENS", 524_288, "batch_tokens", 2048),
    ("VAL_BATCH_SIZE", 524_288, "val_batch", 8192),
    ("VAL_BATCH_TOKENS", 524_288, "val_batch", 8192),
    ("TTT_CHUNK_TOKENS", 32_768, "chunk", 512),
    ("TTT_CHUNK_SIZE", 256, "chunk", 32),
    ("TTT_EPOCHS", 30, "epochs", 2),
    ("TTT_EPOCHS", 2, "epochs", None),
    ("TTT_EPOCHS", 1, "epochs", None),
    ("TTT_BATCH_SEQS", 32, "batch", 8),
    ("EVAL_BATCH_SEQS", 256, "batch", 32),
    ("TTT_BATCH_SIZE", 64, "batch", 8),
    ("BIGRAM_VOCAB_SIZE", 2048, "buckets", 512),
    ("NGRAM_BUCKETS", 4_194_304, "buckets", 256),
    ("NGRAM_BUCKETS", 1_000_003, "buckets", 251),
    ("BIGRAM_VOCAB_SIZE", 10_240, "buckets", 640),
    ("NGRAM_OPEN_TABLE_BITS", 26, "tablebits", 11),
    ("GPTQ_CALIBRATION_BATCHES", 64, "calib", 2),
    ("NUM_SEQS", 64, "calib", 2),
    ("TTT_LORA_RANK", 96, "rank", 8),
    ("SLOT_STEPS", 24, "inner_steps", 3),
    ("PHASED_TTT_PREFIX_DOCS", 2000, "docs", 8),
    ("MAX_WALLCLOCK_SECONDS", 600.0, "wallclock", 7.1),
    ("MAX_WALLCLOCK_SECONDS", 0, "wallclock", None),
    ("PPM_SUBSET_TOKENS", 31_000_000, "token_limit", 2048),
    ("TTT_MIN_DOC_LEN", 512, "length", 32),
    ("NGRAM_MIN_TOKENS", 5000, "least_tokens", 64),
    ("MIXER_MIN_TOKENS_SEEN", 20_000, "least_tokens", 64),
    ("NGRAM_MIN_TOKENS", 16, "least_tokens", None),
    ("MUON_MIN_PARAMS", 32_768, "numel", 128),
    ("QAT_GROUP_SIZE", 128, "group", 8),
    ("VOCAB_SIZE", 1024, "vocab", None),
    ("MLP_MULT", 2.8, "mlp_ratio", 3.0),
    ("MLP_MULT", 3.5, "mlp_ratio", None),
    ("MLP_MULT", 3, "mlp_ratio", None),
    ("TRAIN_SEQ_SCHEDULE", "1024@0.100,2048@0.700,4096@1.000", "seq_text", "64@0.100,128@0.700,256@1.000"),
]


@pytest.mark.parametrize(("name", "value", "role", "expected"), ROLES)
def test_a_role_gets_its_toy_value(name: str, value: Value, role: str, expected: Any) -> None:
    words = site(name, value).words
    assert role_of(words, value) == role
    assert toy(name, value) == expected


UNTOUCHED: list[tuple[str, Value]] = [
    ("TTT_ENABLED", 1), ("USE_TTT", 1), ("SLOT_ENABLED", "1"), ("EMA_DECAY", 0.997), ("TTT_LR", 0.002),
    ("MATRIX_LR", 0.04), ("MUON_MOMENTUM", 0.95), ("GPTQ_BLOCK_SIZE", 128), ("GPTQ_DAMP", 0.01),
    ("LATE_QAT_THRESHOLD", 0.15), ("LOGIT_SOFTCAP", 30.0), ("ROPE_BASE", 10000.0), ("QUANT_BITS", 6),
    ("QK_GAIN_INIT", 1.5), ("TTT_OPTIMIZER", "sgd"), ("SEED", 1337), ("ZSTD_LEVEL", 22), ("NGRAM_ORDER", 7),
    ("TTT_TIME_BUDGET_SECONDS", 375.0), ("WARMDOWN_FRAC", 0.72), ("MUON_BACKEND_STEPS", 5), ("WORLD_SIZE", 8),
    ("TARGET_BYTES", 16_000_000), ("RANK", 0),
    ("TTT_COSINE_DECAY", 1), ("GRAD_CLIP_NORM", 0.3), ("EVAL_TEMPERATURE", 0.95), ("TTT_GRAD_STEPS", 1),
    ("MLP_MULT", 3), ("NCCL_TIMEOUT", 1800), ("DYNAMO_CACHE_SIZE_LIMIT", 128), ("ITERATIONS", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), UNTOUCHED)
def test_what_decides_behaviour_is_left_alone(name: str, value: Value) -> None:
    assert toy(name, value) is None


PARTS = st.sampled_from(
    ["TTT", "EVAL", "TRAIN", "SEQ", "LEN", "CHUNK", "TOKENS", "BATCH", "STEPS", "EPOCHS", "NGRAM", "BUCKETS", "LAYERS"]
)
DECIDING = st.sampled_from(["ENABLED", "LR", "DECAY", "MODE", "THRESHOLD", "FRAC", "SEED", "BETA2", "ALPHA", "BITS"])


@given(st.lists(PARTS, min_size=0, max_size=3), DECIDING, st.integers(0, 100_000))
def test_a_flag_or_rate_never_changes_whatever_stands_before_it(parts: list[str], last: str, value: int) -> None:
    name = "_".join([*parts, last])
    if role_of(name.lower(), value) != "tablebits":
        assert toy(name, value) is None


@given(st.lists(PARTS, min_size=1, max_size=4), st.sampled_from([0, 1, -1, "0", "1", "", "False"]))
def test_zero_one_and_flags_stay(parts: list[str], value: Value) -> None:
    assert toy("_".join(parts), value) is None


@given(st.lists(PARTS, min_size=1, max_size=4), st.integers(2, 1 << 24), st.integers(0, 2))
def test_a_toy_value_is_positive_and_never_above_the_claimed_one(parts: list[str], value: int, level: int) -> None:
    name = "_".join(parts)
    made = toy(name, value, level)
    assert made is None or role_of(name.lower(), value) in ("val_every", "layer_index") or 0 < made < value


def test_widths_fit_each_other_at_every_level() -> None:
    for heads, kv in ((8, 4), (8, 8), (6, 3), (10, 5), (12, 4), (16, 2), (8, 1)):
        sites = [site("MODEL_DIM", 640 if heads % 5 == 0 else 768), site("NUM_HEADS", heads), site("NUM_KV_HEADS", kv)]
        for level in LEVELS:
            shape = shape_of(sites, level, None)
            assert shape.toy_dim % shape.toy_heads == 0 and shape.toy_heads % shape.toy_kv == 0
            assert shape.toy_heads // shape.toy_kv == heads // kv
            assert shape.toy_head_dim % 2 == 0 and shape.toy_head_dim >= 8


def test_a_reserve_leaves_most_of_the_wall_clock() -> None:
    reserve = toy("GPTQ_RESERVE_MS", 30_000, kind="float")
    wall = toy("MAX_WALLCLOCK_SECONDS", 600.0)
    assert reserve is not None and wall is not None
    assert reserve / 1000 / wall == pytest.approx(30 / 600, rel=0.01)
    assert toy("GPTQ_RESERVE_SECONDS", 12, kind="int") == 1
    for name in ("FINALIZE_BUDGET_SECONDS", "EVAL_HEADROOM_SECONDS"):
        assert 0 < (toy(name, 15.0, kind="float") or 0) < 1


def test_a_misnamed_rule_would_be_noticed() -> None:
    """Planted: were the order of the rules reversed, a hash vocabulary would be read as the tokenizer's."""
    assert role_of("bigram_vocab_size", 2048) != role_of("vocab_size", 2048)
    assert role_of("ttt_lr", 100) == "value" and role_of("ttt_epochs", 100) == "epochs"
