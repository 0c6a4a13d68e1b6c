"""A preset made small enough for one CPU: same parts, same order, a few seconds.

Settings that name layers move with them; ratios (key/value heads, hidden width, rotated share) are kept.
"""

from __future__ import annotations

from dataclasses import replace

from reference_model.config import EvalConfig, ModelConfig, Preset, QuantConfig, TrainConfig, TttConfig

WIDTH, LAYERS, HEADS, SEQUENCE = 64, 5, 4, 128
STEPS, BATCH_TOKENS = 60, 8 * SEQUENCE
VAL_TOKENS = 32 * SEQUENCE
CHUNK = 8 * SEQUENCE


def toy(preset: Preset) -> Preset:
    """``preset`` at toy scale: width 64, five layers, sequences of 128, sixty steps."""
    return replace(
        preset,
        title=f"{preset.title} (toy scale)".strip(),
        model=toy_model(preset.model),
        train=toy_train(preset.train),
        quant=toy_quant(preset.quant),
        ttt=toy_ttt(preset.ttt),
        eval=toy_eval(preset.eval),
    )


def toy_model(model: ModelConfig) -> ModelConfig:
    """The network: five layers of width 64 with four heads."""
    head, toy_head = model.model_dim // model.num_heads, WIDTH // HEADS
    return replace(
        model,
        num_layers=LAYERS,
        model_dim=WIDTH,
        num_heads=HEADS,
        num_kv_heads=max(1, HEADS * model.num_kv_heads // model.num_heads),
        mlp_hidden=WIDTH * model.mlp_hidden // model.model_dim,
        rope_dims=2 * max(1, toy_head * model.rope_dims // head // 2) if model.rope_dims else 0,
        rope_train_seq_len=SEQUENCE if model.rope_train_seq_len else 0,
        bigram_buckets=min(model.bigram_buckets, 256),
        bigram_dim=min(model.bigram_dim, WIDTH // 4),
        ve_dim=min(model.ve_dim, WIDTH // 4),
        ve_layers=tuple(sorted({moved(layer, model.num_layers) for layer in model.ve_layers})),
        xsa_last_n=-(-LAYERS * model.xsa_last_n // model.num_layers),
        recur_layers=tuple(sorted({moved(layer, model.num_layers) for layer in model.recur_layers})),
    )


def moved(layer: int, layers: int) -> int:
    """The place of layer ``layer`` of ``layers`` among five: first and last stay first and last."""
    return round(layer * (LAYERS - 1) / max(layers - 1, 1))


def toy_train(train: TrainConfig) -> TrainConfig:
    """The run: sixty steps, the warmdown in the same share of them; no limit of time, so that it repeats exactly."""
    share = min(train.warmdown_iters / max(train.iterations, 1), 1.0)
    return replace(
        train,
        iterations=STEPS,
        warmup_steps=min(train.warmup_steps, 2),
        warmdown_iters=round(STEPS * max(share, 0.5)) if train.warmdown_iters else 0,
        max_wallclock_seconds=0.0,
        reserve_seconds=0.0,
        train_batch_tokens=BATCH_TOKENS,
        train_seq_len=SEQUENCE,
        val_loss_every=STEPS // 2,
        train_log_every=10,
        ema_decay=min(train.ema_decay, 0.9),
        swa_every=min(train.swa_every, 5),
    )


def toy_quant(quant: QuantConfig) -> QuantConfig:
    """Quantisation: the size up to which tensors stay floats shrinks with the tensors; little calibration."""
    return replace(
        quant,
        keep_float_numel=min(quant.keep_float_numel, 1024),
        gptq_block_size=min(quant.gptq_block_size, 32),
        calibration_sequences=min(quant.calibration_sequences, 4),
        calibration_length=min(quant.calibration_length, SEQUENCE),
    )


def toy_ttt(ttt: TttConfig) -> TttConfig:
    """Test-time training: chunks of eight sequences, two epochs at most."""
    return replace(
        ttt,
        epochs=min(ttt.epochs, 2),
        chunk_tokens=CHUNK,
        batch_seqs=min(ttt.batch_seqs, 8),
        freeze_blocks=min(ttt.freeze_blocks, 1),
        lora_rank=min(ttt.lora_rank, 4),
    )


def toy_eval(ev: EvalConfig) -> EvalConfig:
    """Scoring: windows of 128 with the same overlap, 4,096 tokens."""
    stride = max(1, SEQUENCE * ev.stride // ev.seq_len)
    return replace(ev, seq_len=SEQUENCE, stride=max(stride, SEQUENCE // 4), max_tokens=VAL_TOKENS)
