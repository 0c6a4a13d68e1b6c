"""Toy values by role: small, and in the same relations to one another as the claimed ones."""

from __future__ import annotations

import re

from auditor.behaviour.scale.layers import moved_layers
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.shape import Level, Shape, is_int, number_of, scaled_length
from auditor.behaviour.scale.sites import Site

CLAIMED_VAL_TOKENS = 62_000_000
"""Size of the competition's validation stream in tokens (order of magnitude; for limits stated in tokens)."""


def toy_value(site: Site, shape: Shape, level: Level) -> tuple[str, int | float | str | None]:
    """(role, toy value) of a knob; None leaves it alone. A value of zero or below always stays."""
    role, number = role_of(site.words, site.value), number_of(site)
    if role == "layer_index":
        return role, moved_layers(site, shape.layer_map)
    if role == "seq_text":
        return role, _lengths(site, shape)
    if number is None:
        if site.value is not None or site.how != "env":
            return role, None
        number = _TYPICAL.get(role, 0)
    if number <= 0 or number != number or number in (float("inf"), -1.0):
        return role, None
    if role == "mlp_ratio":
        return role, _ratio(number, site, shape, level)
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


def _lengths(site: Site, shape: Shape) -> str | None:
    """A schedule of sequence lengths (``1024@0.3,2048@1.0``) with each length as `scaled_length` has it."""
    if site.how not in ("env", "argv"):
        return None

    def scaled(match: re.Match[str]) -> str:
        length = scaled_length(int(match.group()), shape.seq, shape.toy_seq)
        return str(1 << (length.bit_length() - 1))  # each must divide a batch

    text = str(site.value)
    made = _LENGTH.sub(scaled, text)
    return made if made != text else None


_LENGTH = re.compile(r"(?<![\d.])\d{3,6}(?![\d.])")


def _ratio(number: float, site: Site, shape: Shape, level: Level) -> float | None:
    """A broken ratio of hidden width to width that would make an odd width at toy scale, rounded."""
    broken = site.how in ("env", "argv") and not number.is_integer() and level.dim is not None
    return float(round(number)) if broken and int(shape.toy_dim * number) % 8 else None


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
        case "least_tokens":  # what waits for so much text must wake in a stream of a few thousand
            return shape.toy_seq // 2 if value > shape.toy_seq // 2 else None
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
