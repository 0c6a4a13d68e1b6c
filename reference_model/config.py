"""What a system is, as values: model, optimisation, training, quantisation, test-time training, evaluation.

A preset is a TOML file of `Preset`'s sections in ``presets/``; every figure there has its source beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from typing import Any, Literal, get_args, get_type_hints

Mlp = Literal["relu2", "star_relu", "leaky_relu2", "swiglu"]
Skips = Literal["none", "plain", "gated"]
BigramHash = Literal["xor", "linear"]
Layout = Literal["plain", "banked"]
AuxRate = Literal["token", "scalar"]
Scheme = Literal["int8_tensor", "int8_row", "int6_row", "int5_row", "float16", "float32"]
Compressor = Literal["zstd", "lzma", "zlib", "brotli"]
TttKind = Literal["none", "sgd", "adamw", "lora", "muon"]
Calibration = Literal["none", "self_generated", "train", "train_late", "validation"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The network. Defaults are those of the competition's baseline."""

    vocab_size: int = 1024
    num_layers: int = 9
    model_dim: int = 512
    num_heads: int = 8
    num_kv_heads: int = 4
    mlp: Mlp = "relu2"
    mlp_hidden: int = 1024
    mlp_affine: bool = False
    """Each hidden unit gets a learned scale and bias after the activation; ``star_relu`` has them always."""
    leaky_slope: float = 0.5
    """Of ``leaky_relu2``."""
    tie_embeddings: bool = True
    tied_embed_init_std: float = 0.005
    logit_softcap: float = 30.0
    rope_base: float = 10_000.0
    rope_dims: int = 0
    """Rotated dimensions of a head; 0: all."""
    rope_train_seq_len: int = 0
    """Length beyond which YaRN changes the base; 0: never."""
    qk_gain_init: float = 1.5
    bigram_buckets: int = 0
    """0: no bigram embedding."""
    bigram_dim: int = 128
    bigram_hash: BigramHash = "xor"
    bigram_project_always: bool = True
    """Whether a bigram embedding that has the model's width already is projected too."""
    bigram_scale_init: float | None = 0.05
    """Learned scale of the bigram embedding; None: no scale."""
    smear_gate: bool = False
    smear_documents: bool = False
    """Whether the smear stops at a BOS: then no token of an earlier document is mixed in."""
    bos_id: int = 1
    ve_layers: tuple[int, ...] = ()
    """Layers whose values get the shared value embedding."""
    ve_dim: int = 128
    xsa_last_n: int = 0
    """Last layers whose attention output loses its part along the own value (exclusive self-attention)."""
    ln_scale: bool = False
    """Inputs of layer i's branches are scaled by 1 / sqrt(i + 1) after their norm."""
    skips: Skips = "plain"
    recur_layers: tuple[int, ...] = ()
    """Layers that run a second time, in this order, after the last one."""
    ortho_init: bool = False
    ortho_scale_proj: bool = True
    """With ``ortho_init``: the projections of the bigram and value embeddings begin at 1 / sqrt(2 * layers)."""
    layout: Layout = "plain"
    """``banked``: the state dict holds one 3-D tensor for each kind of matrix, all layers stacked."""


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """Muon for matrices, AdamW for the rest."""

    matrix_lr: float = 0.04
    scalar_lr: float = 0.04
    tied_embed_lr: float = 0.05
    embed_lr: float = 0.6
    head_lr: float = 0.008
    aux_embed_lr: AuxRate = "token"
    """Which rate the bigram and value embeddings have: that of the token embedding or that of the scalars."""
    decoder_lr_mult: float = 1.0
    """Factor on the learning rates of the second half of the layers."""
    muon_momentum: float = 0.95
    muon_momentum_warmup_start: float = 0.85
    muon_momentum_warmup_steps: int = 500
    muon_backend_steps: int = 5
    muon_row_norm: bool = False
    """Rows are normalised before Newton-Schulz."""
    muon_bigram_proj: bool = False
    """The bigram embedding's projection is under Muon, not AdamW."""
    bigram_scale_trained: bool = True
    """Else the bigram embedding's learned scale is in no optimiser: it stays, and its gradient is never cleared."""
    muon_wd: float = 0.0
    adam_wd: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    adam_eps: float = 1e-8
    grad_clip_norm: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run."""

    seed: int = 1337
    iterations: int = 20_000
    warmup_steps: int = 20
    """Steps that are run and undone, for compilation."""
    warmdown_iters: int = 1200
    warmdown: Literal["linear", "cosine"] = "linear"
    max_wallclock_seconds: float = 600.0
    """0: no limit."""
    reserve_seconds: float = 0.0
    """At the end of the clock, kept for calibration on training data."""
    train_batch_tokens: int = 524_288
    micro_steps: int = 8
    """Parts of a batch whose gradients are added up; the processes share them."""
    train_seq_len: int = 1024
    val_loss_every: int = 1000
    train_log_every: int = 200
    ema_decay: float = 0.0
    """0: no exponential moving average."""
    swa_every: int = 0
    """0: no stochastic weight averaging."""
    swa_start_frac: float = 0.5
    """Weights are averaged while the learning rate's factor is below this."""
    late_qat_threshold: float = 0.0
    """Fake quantisation begins when the learning rate's factor falls below this; 0: never."""
    qat_bits: int = 6
    qat_banks: bool = True
    """Whether the matrices of a ``banked`` layout train through fake quantisation too."""


CONTROL_NAMES = (
    "attn_scale", "attn_scales", "mlp_scale", "mlp_scales", "resid_mix", "resid_mixes", "q_gain", "skip_weight",
    "skip_weights",
)  # fmt: skip
"""Control tensors of the competition's baseline script."""


@dataclass(frozen=True, slots=True)
class QuantConfig:
    """From float weights to the artifact."""

    matrices: Scheme = "int8_row"
    """Of attention and MLP."""
    embeddings: Scheme = "int8_row"
    other: Scheme = "int8_row"
    """Other tensors of two dimensions and more than ``keep_float_numel`` elements."""
    keep_float_numel: int = 65_536
    keep_names: tuple[str, ...] = CONTROL_NAMES
    """Parts of the names of control tensors, which are kept in float32."""
    keep_names_of: Literal["small", "large"] = "small"
    """Which control tensors: those of at most ``keep_float_numel`` elements, or those of more."""
    int6_min: int = -32
    """Smallest value of ``int6_row``: -32 or -31."""
    clip_floor: float = 1.0
    """A row's clip value is at least this: rows of small weights share one step. 0: no floor."""
    clip_candidates: int = 0
    """GPTQ-lite: 5 or 15 percentiles tried for int6 and int5 values; 0: one fixed percentile."""
    clip_choice: Literal["tensor", "row"] = "tensor"
    """Whether one candidate is chosen for all rows of a matrix or one for each row."""
    scales_rounded_first: bool = False
    """Whether values are computed from the stored float16 scales or from the float32 ones."""
    gptq: bool = False
    """Full-Hessian GPTQ of the matrices."""
    gptq_block_size: int = 128
    gptq_damp: float = 0.01
    calibration: Calibration = "none"
    calibration_sequences: int = 64
    """Sequences that are generated, or batches of training data."""
    calibration_length: int = 2048
    """Tokens of a generated sequence."""
    calibration_temperature: float = 0.8
    calibration_recurrence: bool = True
    """Whether the layers that run twice do so in the calibration passes too."""
    prune_fraction: float = 0.0
    """Share of the smallest weights of each matrix set to zero."""
    selective_prune_bytes: int = 0
    """Largest artifact; the least important +-1 values are zeroed until it fits; 0: no pruning."""
    compressor: Compressor = "zlib"
    compressor_level: int = 9


@dataclass(frozen=True, slots=True)
class TttConfig:
    """Score-first test-time training: each chunk is scored, then trained on."""

    kind: TttKind = "none"
    lr: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.0
    epochs: int = 3
    chunk_tokens: int = 32_768
    batch_seqs: int = 32
    freeze_blocks: int = 0
    grad_clip: float = 1.0
    mlp_only: bool = False
    lora_rank: int = 8
    newton_schulz_steps: int = 3
    fake_quant_bits: int = 0
    """Matrices, but for banks, are trained through fake quantisation, as where late QAT stays on; 0: they are not."""
    entropy_epochs: tuple[int, ...] = ()
    """Epochs for a chunk of low, middle and high mean loss; () : always ``epochs``."""
    entropy_low: float = 1.75
    entropy_high: float = 2.1
    warmup_fraction: float = 0.0
    cosine: bool = True
    """The learning rate falls as a cosine over the chunks."""


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """Sliding-window scoring."""

    seq_len: int = 1024
    stride: int = 1024
    batch_seqs: int = 32
    repeat_tail: bool = False
    """The windows that reach the end all score the last ``stride`` tokens, as the scripts of the seeds have it."""
    max_tokens: int = 0
    """Only so many tokens of the validation stream are scored; 0: all. A score of fewer is no headline."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One whole system."""

    name: str
    title: str = ""
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    ttt: TttConfig = field(default_factory=TttConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    planted: str = ""
    """Name of a planted violation (`reference_model.planted`); empty: none."""
    claimed: Mapping[str, float] = field(default_factory=dict)
    """Published figures of the system, for comparison only."""


class PresetError(ValueError):
    """A preset or setting that does not exist or does not fit; the message is one sentence."""


def preset_names() -> tuple[str, ...]:
    """All presets, sorted."""
    found = (resources.files(__package__) / "presets").iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in found if entry.name.endswith(".toml")))


def load_preset(name: str, settings: Iterable[str] = ()) -> Preset:
    """The preset ``name`` with ``settings`` (``section.key=value`` or, where it is in one section only, ``key=value``).

    Raises `PresetError`.
    """
    if name not in preset_names():
        raise PresetError(f"no preset is called {name!r}; there are {', '.join(preset_names())}")
    text = (resources.files(__package__) / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return with_settings(from_table(name, tomllib.loads(text)), settings)


def from_table(name: str, table: Mapping[str, Any]) -> Preset:
    """A preset from the tables of a TOML file. Raises `PresetError` on a key or type that does not exist."""
    preset = Preset(name, title=str(table.get("title", "")), claimed=dict(table.get("claimed", {})))
    for section, values in table.items():
        if section in ("title", "claimed"):
            continue
        if section not in SECTIONS:
            raise PresetError(f"{name}: there is no section {section!r}; there are {', '.join(SECTIONS)}")
        for key, value in values.items():
            preset = _with(preset, section, key, value)
    return preset


SECTIONS = ("model", "optim", "train", "quant", "ttt", "eval")


def with_settings(preset: Preset, settings: Iterable[str]) -> Preset:
    """``preset`` with each of ``settings`` (see `load_preset`) changed. Raises `PresetError`."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise PresetError(f"{setting!r} is no setting: key=value is asked for")
        section, dot, name = key.strip().rpartition(".")
        owners = [section] if dot else [s for s in SECTIONS if name in _names(getattr(preset, s))]
        if len(owners) != 1 or owners[0] not in SECTIONS or name not in _names(getattr(preset, owners[0])):
            where = f"it is in {' and '.join(owners)}" if len(owners) > 1 else "there is none"
            raise PresetError(f"setting {key.strip()!r}: {where}")
        preset = _with(preset, owners[0], name, _parsed(text.strip()))
    return preset


def _names(section: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(section))


def _parsed(text: str) -> Any:
    """A value as TOML has it; a bare word is text, ``9,10`` a list, ``none`` nothing."""
    if text.lower() == "none":
        return None
    if "," in text and not text.startswith("["):
        text = f"[{text.strip(',')}]"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _with(preset: Preset, section: str, key: str, value: Any) -> Preset:
    part = getattr(preset, section)
    hints = get_type_hints(type(part))
    if key not in hints:
        raise PresetError(f"{preset.name}: section {section} has no setting {key!r}")
    return replace(preset, **{section: replace(part, **{key: _fitting(f"{section}.{key}", hints[key], value)})})


def _fitting(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the type of a setting. Raises `PresetError`."""
    choices = get_args(kind)
    if kind == tuple[int, ...]:
        items = list(value) if isinstance(value, list | tuple) else [] if value in ("", None) else [value]
        if all(type(item) is int for item in items):
            return tuple(items)
    elif kind == tuple[str, ...]:
        words = value.strip("[]").split(",") if isinstance(value, str) else value
        if isinstance(words, list | tuple) and all(type(word) is str for word in words):
            return tuple(word for word in words if word)
    elif choices and type(None) not in choices:
        if value in choices:
            return value
        if value is None and "none" in choices:
            return "none"
        raise PresetError(f"{name} is one of {', '.join(map(str, choices))}, not {value!r}")
    elif type(None) in choices and (value is None or value == "none"):
        return None
    elif kind is float or type(None) in choices:
        if type(value) in (int, float):
            return float(value)
    elif kind is bool and value in (0, 1):
        return bool(value)
    elif type(value) is kind:
        return value
    raise PresetError(f"{name} cannot be {value!r}")
