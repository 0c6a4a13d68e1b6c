"""The dimensions of the claimed run, and those of the toy run, at each level of scaling down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.behaviour.scale.layers import LayerMap, fewer_layers
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.sites import PARTS, Site

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


def scaled_length(value: int, shortest: int, toy: int) -> int:
    """A sequence length in proportion to the shortest one, within a quarter and four times."""
    scaled = toy * value // shortest
    return max(toy // 4, min(scaled // 16 * 16, toy * 4))
