"""Toy values by role: small, and in the same relations to one another as the claimed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.sites import Site

CLAIMED_VAL_TOKENS = 62_000_000
"""Size of the competition's validation stream in tokens (order of magnitude; for limits stated in tokens)."""
BACKWARD_SECONDS = 0.125
"""What one backward pass takes on the guest's virtual clock."""


@dataclass(frozen=True, slots=True)
class Level:
    """How far to scale down. None: as claimed."""

    dim: int | None
    layers: int | None
    seq: int
    iterations: int


LEVELS = (Level(64, 4, 128, 6), Level(128, None, 256, 6), Level(None, None, 256, 3))
"""Tiny, small, and the claimed dimensions with tiny data."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The claimed dimensions and the toy ones. None: the source does not say."""

    dim: int | None
    heads: int | None
    kv_heads: int | None
    layers: int | None
    seq: int
    """The shortest of the claimed training and evaluation lengths."""
    iterations: int | None
    """Steps that the claimed run took (the log's last one where there is one)."""
    toy_dim: int
    toy_heads: int
    toy_kv: int
    toy_layers: int
    toy_seq: int
    toy_iterations: int
    reserve: float
    """Seconds that the script keeps back from its wall clock."""

    @property
    def toy_head_dim(self) -> int:
        """Width of one attention head at toy scale."""
        return max(self.toy_dim // max(self.toy_heads, 1), 1)


ORDER = {"env": 0, "argv": 1, "const": 2, "default": 3, "keyword": 4}


def shape_of(sites: Sequence[Site], level: Level, steps_run: int | None) -> Shape:
    """Read the claimed dimensions out of the knobs and choose the toy ones for ``level``."""
    by_role: dict[str, list[tuple[int, float]]] = {}
    for site in sorted(sites, key=lambda s: ORDER[s.how]):
        number = number_of(site)
        role = role_of(site.words, site.value)
        if number is not None and number > 0:
            by_role.setdefault(role, []).append((ORDER[site.how], number))

    def first(role: str) -> int | None:
        values = by_role.get(role)
        return int(values[0][1]) if values else None

    dim, heads, kv, layers = first("model_dim"), first("heads"), first("kv_heads"), first("layers")
    lengths = [int(v) for how, v in by_role.get("seq_len", []) if how <= ORDER["const"] and v >= 64]
    lengths = lengths or [int(v) for _, v in by_role.get("seq_len", []) if v >= 64]
    toy_heads, toy_kv = _heads(heads, kv, level)
    toy_dim = level.dim or dim or 512
    toy_dim = -(-min(toy_dim, dim or toy_dim) // (toy_heads * 8)) * toy_heads * 8 if level.dim else toy_dim
    toy_layers = layers or 4
    if level.layers is not None and layers is not None and layers > level.layers and not _pinned(sites, layers):
        toy_layers = level.layers + layers % 2
    stated = first("iterations")
    return Shape(
        dim, heads, kv, layers, min(lengths, default=1024), steps_run or stated, toy_dim, toy_heads, toy_kv,
        toy_layers, level.seq, min(level.iterations, stated or level.iterations), _reserve(sites),
    )  # fmt: skip


def _heads(heads: int | None, kv: int | None, level: Level) -> tuple[int, int]:
    """Toy (heads, kv heads) in the claimed ratio."""
    if heads is None or level.dim is None:
        return heads or 4, kv or heads or 4
    kv = kv if kv and heads % kv == 0 else heads
    ratio = heads // kv
    toy_kv = max(min(4 // ratio, kv), 1) if level.dim <= 64 else kv
    return toy_kv * ratio, toy_kv


def _pinned(sites: Sequence[Site], layers: int) -> bool:
    """Whether settings name single layers, so that their number has to stay."""
    for site in sites:
        if site.how == "keyword" or role_of(site.words, site.value) != "layer_index":
            continue
        numbers = [int(p) for p in _split(str(site.value)) if p.isdigit()]
        if numbers and 2 <= max(numbers) < layers:
            return True
    return False


def _split(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


def _reserve(sites: Sequence[Site]) -> float:
    total = 0.0
    for site in sites:
        number = number_of(site)
        if number and role_of(site.words, site.value) == "reserve":
            total += number / 1000 if site.words.endswith("ms") else number
    return total


def number_of(site: Site) -> float | None:
    """The claimed value as a number; None when it is none or not known."""
    if site.value is None:
        return None
    try:
        return float(site.value)
    except ValueError:
        return None


def toy_value(site: Site, shape: Shape, level: Level) -> tuple[str, int | float | None]:
    """(role, toy value) of a knob; None leaves it alone. A value of zero or below always stays."""
    role, number = role_of(site.words, site.value), number_of(site)
    if number is None:
        if site.value is not None or site.how != "env":
            return role, None
        number = _TYPICAL.get(role, 0)
    if number <= 0 or number != number or number in (float("inf"), -1.0):
        return role, None
    if role == "wallclock":
        return role, _wallclock(number, shape)
    if not float(number).is_integer():
        return role, None
    value = _whole(role, int(number), site, shape, level)
    return role, value if value is not None and value != int(number) else None


_TYPICAL = {"iterations": 20_000, "seq_len": 1024, "batch_tokens": 524_288, "val_batch": 524_288}


def _wallclock(number: float, shape: Shape) -> float | None:
    """Long enough for all toy steps of eight backward passes, short enough that schedules by the clock play out."""
    toy = round(shape.toy_iterations * 8 * BACKWARD_SECONDS * 1.1 + 0.5 + shape.reserve, 3)
    return toy if number >= 60 else None


def _whole(role: str, value: int, site: Site, shape: Shape, level: Level) -> int | None:
    words = site.words
    match role:
        case "iterations":
            return shape.toy_iterations if value >= 50 else None
        case "warmup":
            return min(value, 1)
        case "inner_steps":
            return 3 if value > 5 else None
        case "steps":
            return _schedule(value, shape) if value >= 20 else None
        case "every":
            return max(1, round(value * shape.toy_iterations / (shape.iterations or 7000))) if value > 1 else None
        case "val_every":
            return 1_000_000
        case "layers":
            return shape.toy_layers if value == shape.layers else min(value, 4) if level.layers else None
        case "heads":
            return shape.toy_heads if value == shape.heads else None
        case "kv_heads":
            return shape.toy_kv if value == shape.kv_heads else None
        case "model_dim" | "width" | "head_dim" | "rope_dims":
            return _width(role, value, shape, level)
        case "rank":
            return min(value, 4) if level.dim else None
        case "epochs":
            return min(value, 3)
        case "seq_len" | "window":
            return _length(value, shape) if value >= 32 else None
        case "stride":
            return shape.toy_seq if value >= shape.seq else min(value, shape.toy_seq // 4) if value > 8 else None
        case "chunk":
            return _chunk(value, shape, words)
        case "batch_tokens":
            return shape.toy_seq * (16 if value >= shape.seq * 16 else 2) if value >= shape.seq else None
        case "val_batch":
            return shape.toy_seq * 64 if value >= shape.seq else min(value, 8)
        case "batch":
            return min(value, 8)
        case "calib":
            return shape.toy_seq * 8 if value >= 16_384 else min(value, 2)
        case "docs":
            return min(value, 8) if value > 8 else None
        case "buckets":
            return _buckets(value)
        case "tablebits":
            return min(value, 11) if value >= 12 else None
        case "token_limit":
            return max(8 * shape.toy_seq, 8192 * value // CLAIMED_VAL_TOKENS) if value > 8192 else None
    return None


def _schedule(value: int, shape: Shape) -> int:
    """A step number, moved in proportion to the steps of the run; beyond its end stays beyond it."""
    run = shape.iterations or 7000
    if value >= run:
        return shape.toy_iterations + max(1, shape.toy_iterations * (value - run) // run)
    return max(1, min(round(value * shape.toy_iterations / run), shape.toy_iterations - 1))


def _width(role: str, value: int, shape: Shape, level: Level) -> int | None:
    if level.dim is None or value < 16:
        return None
    if role == "rope_dims":
        return min(value, shape.toy_head_dim)
    if role == "head_dim":
        return shape.toy_head_dim
    if value == shape.dim:
        return shape.toy_dim
    if value <= 64:
        return min(value, 32)
    scaled = value * shape.toy_dim // (shape.dim or 512)
    return max(16, scaled // 16 * 16)


def _length(value: int, shape: Shape) -> int:
    """A sequence length in proportion to the shortest one, within a quarter and four times."""
    scaled = shape.toy_seq * value // shape.seq
    return max(shape.toy_seq // 4, min(scaled // 16 * 16, shape.toy_seq * 4))


def _chunk(value: int, shape: Shape, words: str) -> int | None:
    if value < 16:
        return None
    if value <= shape.seq and "tokens" not in words:
        return min(value, shape.toy_seq // 4)
    if value == shape.seq:
        return shape.toy_seq
    return min(value, 8 * shape.toy_seq)


def _buckets(value: int) -> int | None:
    """A power of two stays one, a multiple of 64 one of 16, an odd number (a prime) becomes a prime."""
    if value <= 1024:
        return None
    if value & (value - 1) == 0:
        return 1024 if value >= 65_536 else 512
    return 1021 if value % 2 else 640 if value % 64 == 0 else 1000
