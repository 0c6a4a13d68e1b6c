"""Toy values by role: small, and in the same relations to one another as the claimed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.behaviour.scale.layers import LayerMap, fewer_layers, moved_layers
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.sites import PARTS, Site

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
    accum: int = 8
    """Micro-batches of one training step, at most."""
    vocab: int | None = None
    """A vocabulary larger than this becomes so large: the tokenizer is the toy world's own."""


LEVELS = (
    Level(32, 4, 128, 6, 2, 1024), Level(64, None, 128, 6, 2, 1024), Level(128, None, 256, 6),
    Level(None, None, 256, 3),
)  # fmt: skip
"""Tiny, the claimed layers, small, and the claimed dimensions with tiny data."""


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
    toy_longest: int
    """The longest toy length of a sequence."""
    toy_iterations: int
    vocab: int
    toy_accum: int
    """Micro-batches of a toy step, where the source states theirs; else the eight of one process for eight."""
    parts: int
    """Into how many parts a training batch is cut somewhere, besides micro-batches."""
    wall: float
    """Seconds of the toy wall clock, reserves included."""
    claimed_wall: float
    layer_map: LayerMap = (0,)
    """The toy layer of each claimed one."""

    @property
    def toy_head_dim(self) -> int:
        """Width of one attention head at toy scale."""
        return max(self.toy_dim // max(self.toy_heads, 1), 1)


_LEAST = {"model_dim": 32, "layers": 2, "iterations": 20, "seq_len": 32, "wallclock": 30}
"""Smaller values than these are not what the name says (``dim=1`` is an axis)."""
ORDER = {"env": 0, "argv": 1, "const": 2, "default": 3, "keyword": 4}


def shape_of(sites: Sequence[Site], level: Level, steps_run: int | None) -> Shape:
    """Read the claimed dimensions out of the knobs and choose the toy ones for ``level``."""
    by_role: dict[str, list[tuple[int, float]]] = {}
    for site in sorted(sites, key=lambda s: ORDER[s.how]):
        number = number_of(site)
        role = role_of(site.words, site.value)
        if number is not None and number >= _LEAST.get(role, 1):
            by_role.setdefault(role, []).append((ORDER[site.how], number))

    def first(role: str) -> int | None:
        values = by_role.get(role)
        return int(values[0][1]) if values else None

    dim, heads, kv, layers = first("model_dim"), first("heads"), first("kv_heads"), first("layers")
    stated_lengths = by_role.get("seq_len", [])
    lengths = [int(v) for how, v in stated_lengths if how == min(h for h, _ in stated_lengths)]
    toy_heads, toy_kv = _heads(heads, kv, level)
    toy_dim = level.dim or dim or 512
    toy_dim = -(-min(toy_dim, dim or toy_dim) // (toy_heads * 8)) * toy_heads * 8 if level.dim else toy_dim
    layer_map = tuple(range(layers or 4))
    if level.layers is not None and layers is not None and layers > level.layers:
        layer_map = fewer_layers(sites, layers, level.layers + layers % 2)
    toy_seq = min(level.seq, *lengths) if lengths else level.seq
    longest = max((scaled_length(v, min(lengths), toy_seq) for v in lengths), default=toy_seq)
    stated = first("iterations")
    accum = min(first("accum") or 8, level.accum if "accum" in by_role else 8)
    steps = min(level.iterations, stated or level.iterations)
    whole = sum(role_of(s.words, s.value) == "reserve" and is_int(s) and not s.words.endswith("ms") for s in sites)
    return Shape(
        dim, heads, kv, layers, min(lengths, default=1024), steps_run or stated, toy_dim, toy_heads, toy_kv,
        layer_map[-1] + 1, toy_seq, longest, steps, min(first("vocab") or 1024, level.vocab or 65_536), accum,
        _parts(sites), round(steps * accum * BACKWARD_SECONDS * 1.1 + 0.5 + whole, 3), float(first("wallclock") or 600),
        layer_map,
    )  # fmt: skip


def _parts(sites: Sequence[Site]) -> int:
    """The most parts that a training batch is cut into; 1 where it is not."""
    numbers = [int(number_of(s) or 1) for s in sites if s.name == PARTS]
    return max((n for n in numbers if n <= 16), default=1)


def _heads(heads: int | None, kv: int | None, level: Level) -> tuple[int, int]:
    """Toy (heads, kv heads) in the claimed ratio."""
    if heads is None or level.dim is None:
        return heads or 4, kv or heads or 4
    kv = kv if kv and heads % kv == 0 else heads
    ratio = heads // kv
    toy_kv = max(min(4 // ratio, kv), 1) if level.dim <= 64 else kv
    return toy_kv * ratio, toy_kv


def is_int(site: Site) -> bool:
    """Whether the text of a knob may have to be a whole number."""
    return site.kind == "int" or (site.kind == "" and site.how in ("env", "argv") and "." not in str(site.value))


def number_of(site: Site) -> float | None:
    """The claimed value as a number; None when it is none or not known."""
    if site.value is None:
        return None
    try:
        return float(site.value)
    except ValueError:
        return None


def toy_value(site: Site, shape: Shape, level: Level) -> tuple[str, int | float | str | None]:
    """(role, toy value) of a knob; None leaves it alone. A value of zero or below always stays."""
    role, number = role_of(site.words, site.value), number_of(site)
    if role == "layer_index":
        return role, moved_layers(site, shape.layer_map)
    if number is None:
        if site.value is not None or site.how != "env":
            return role, None
        number = _TYPICAL.get(role, 0)
    if number <= 0 or number != number or number in (float("inf"), -1.0):
        return role, None
    if role == "wallclock":
        return role, _wallclock(number, site, shape)
    if role == "reserve":
        return role, _reserve(number, site, shape)
    if not float(number).is_integer():
        return role, None
    value = _whole(role, int(number), site, shape, level)
    if value is None or value == int(number) or (value > number and role != "val_every"):
        return role, None
    return role, value


_TYPICAL = {"iterations": 20_000, "seq_len": 1024, "batch_tokens": 524_288, "val_batch": 524_288}


def _wallclock(number: float, site: Site, shape: Shape) -> float | None:
    """Long enough for all toy steps, short enough that schedules by the clock play out."""
    unit = 1000 if site.words.endswith("ms") else 1
    if number < 30 * unit:
        return None
    toy = shape.wall * unit / (60 if "minutes" in site.words else 1)
    return int(-(-toy // 1)) if is_int(site) else toy


def _reserve(number: float, site: Site, shape: Shape) -> float | int:
    """What is kept back from the wall clock, in proportion."""
    unit = 1000 if site.words.endswith("ms") else 1
    toy = round(number * shape.wall / shape.claimed_wall / unit, 4) * unit
    return max(1, int(toy)) if is_int(site) else toy


def _whole(role: str, value: int, site: Site, shape: Shape, level: Level) -> int | None:
    words = site.words
    match role:
        case "iterations":
            return shape.toy_iterations if value >= 50 else None
        case "vocab":
            return level.vocab if value >= 2048 else None
        case "warmup":
            return min(value, 1)
        case "inner_steps":
            return None if value <= 5 or ("max" in words and value >= 200) else 3
        case "repeats":
            return 3 if 20 <= value <= 1000 and "max" not in words else None
        case "steps":
            return _schedule(value, shape) if value >= 20 else None
        case "every":
            return max(1, round(value * shape.toy_iterations / (shape.iterations or 7000))) if value >= 20 else None
        case "val_every":
            return 1_000_000
        case "layers":
            return shape.toy_layers if value == shape.layers else None
        case "heads":
            return shape.toy_heads if value == shape.heads else None
        case "kv_heads":
            return shape.toy_kv if value == shape.kv_heads else None
        case "model_dim" | "width" | "head_dim" | "rope_dims":
            return _width(role, value, shape, level)
        case "numel":
            return value * shape.toy_dim**2 // (shape.dim or 512) ** 2 if level.dim and value >= 1024 else None
        case "group":
            scaled = max(value * shape.toy_dim // (shape.dim or 512), 4)
            return 1 << (scaled.bit_length() - 1) if level.dim and value >= 16 else None
        case "rank":
            return min(value, 8) if level.dim else None
        case "epochs":
            return min(value, 2)
        case "seq_len" | "window":
            return scaled_length(value, shape.seq, shape.toy_seq) if value >= 32 else None
        case "stride":
            return shape.toy_seq if value >= shape.seq else min(value, shape.toy_seq // 2) if value > 8 else None
        case "chunk":
            return _chunk(value, shape, words)
        case "batch_tokens":
            rows = max(2, shape.parts) * shape.toy_accum if value >= shape.seq * 16 else 2
            least = shape.toy_longest * (shape.toy_accum if rows > 2 else 1)
            return max(shape.toy_seq * rows, least) if value >= shape.seq else None
        case "val_batch":
            whole = max(shape.toy_seq * 8 * max(shape.toy_accum, 4), shape.toy_longest * shape.toy_accum)
            return whole if value >= shape.seq else min(value, 8)
        case "accum":
            return shape.toy_accum
        case "batch":
            return min(value, _batch(words, shape))
        case "calib":
            return shape.toy_seq * 8 if value >= 16_384 else min(value, 2)
        case "docs":
            return min(value, 8) if value > 8 else None
        case "buckets":
            return _buckets(value)
        case "tablebits":
            return min(value, 11) if value >= 12 else None
        case "token_limit":
            return max(8 * shape.toy_seq, 4096 * value // CLAIMED_VAL_TOKENS) if value > 8192 else None
        case "length":
            return max(shape.toy_seq * value // shape.seq, 1) if 32 <= value <= 65_536 else None
    return None


def _batch(words: str, shape: Shape) -> int:
    """Rows of a batch: few where it trains, many where it only scores (fewer calls), as the vocabulary allows."""
    if "ttt" in words or "train" in words or "slot" in words:
        return 8
    return 8 if "seqs" not in words else 32 if shape.vocab <= 4096 else 16


def _schedule(value: int, shape: Shape) -> int:
    """A step number, moved in proportion to the steps of the run; beyond its end stays beyond it."""
    run = shape.iterations or 7000
    if value >= run:
        return shape.toy_iterations + max(1, min(shape.toy_iterations * (value - run) // run, shape.toy_iterations))
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
    scaled = value * shape.toy_dim // max(shape.dim or 512, shape.toy_dim)
    return max(16, scaled // 16 * 16)


def scaled_length(value: int, shortest: int, toy: int) -> int:
    """A sequence length in proportion to the shortest one, within a quarter and four times."""
    scaled = toy * value // shortest
    return max(toy // 4, min(scaled // 16 * 16, toy * 4))


def _chunk(value: int, shape: Shape, words: str) -> int | None:
    if value < 16:
        return None
    if value <= shape.seq and "tokens" not in words:
        return min(value, shape.toy_seq // 4)
    if value == shape.seq:
        return shape.toy_seq
    return min(value, 4 * shape.toy_seq)


def _buckets(value: int) -> int | None:
    """A power of two stays one, a multiple of 64 one of 16, an odd number (a prime) becomes a prime."""
    if value <= 1024:
        return None
    if value & (value - 1) == 0:
        return 256 if value >= 65_536 else 512
    if value % 2:
        return 251 if value >= 65_536 else 1021
    return 640 if value % 64 == 0 else 1000


_MULTIPLES = frozenset(
    {"batch_tokens", "val_batch", "chunk", "seq_len", "stride", "buckets", "batch", "iterations", "length"}
)


def other_value(site: Site, value: int | float | str | None, shape: Shape) -> int | float | str | None:
    """The next value to try for a knob that a failure named: sizes of data doubled, all else as claimed.

    One that was left alone gets a value in proportion to the sequence length.
    """
    number, role = number_of(site), role_of(site.words, site.value)
    if number is None or not float(number).is_integer():
        return value
    if value is None:
        scaled = int(number) * shape.toy_seq // shape.seq
        return scaled if 0 < scaled < number else None
    if role in _MULTIPLES and not isinstance(value, str) and value < number:
        return min(1 << int(value).bit_length(), int(number))
    return None
