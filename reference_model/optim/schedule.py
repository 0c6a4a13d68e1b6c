"""Schedules as pure functions: the learning rate's factor by step or by wallclock, Muon's momentum in its warm-up."""

from __future__ import annotations

import math
from typing import Literal

from reference_model.config import OptimConfig, TrainConfig


def shape_warmdown(remaining: float, kind: Literal["linear", "cosine"]) -> float:
    """The factor when the share ``remaining`` (1 to 0) of the warmdown is still to come.

    Linear: the share itself. Cosine: half a period, 1 to 0 with no slope at either end.
    """
    share = min(max(remaining, 0.0), 1.0)
    return share if kind == "linear" else 0.5 * (1.0 - math.cos(math.pi * share))


def remaining_by_step(step: int, config: TrainConfig) -> float:
    """Share of the warmdown to come at ``step`` (0-based) when only the steps are limited; above 1 before it begins."""
    return (config.iterations - step) / config.warmdown_iters


def remaining_by_wallclock(step: int, elapsed_ms: float, config: TrainConfig) -> float:
    """Share of the warmdown to come when the clock ends the run.

    As the competition's scripts do it: the milliseconds left until ``max_wallclock_seconds`` against those that
    ``warmdown_iters`` steps take at the mean step time so far.
    """
    warmdown_ms = config.warmdown_iters * elapsed_ms / max(step, 1)
    left_ms = max(1000.0 * config.max_wallclock_seconds - elapsed_ms, 0.0)
    return left_ms / warmdown_ms if warmdown_ms > 0.0 else math.inf


def lr_factor(step: int, elapsed_ms: float, config: TrainConfig) -> float:
    """The learning rate's factor for step ``step`` (0-based) after ``elapsed_ms`` of training: 1, then down to 0."""
    if config.warmdown_iters <= 0:
        return 1.0
    if config.max_wallclock_seconds > 0:
        return shape_warmdown(remaining_by_wallclock(step, elapsed_ms, config), config.warmdown)
    return shape_warmdown(remaining_by_step(step, config), config.warmdown)


def muon_momentum(step: int, config: OptimConfig) -> float:
    """Muon's momentum at ``step`` (0-based): linear from its start to its value over the warm-up steps."""
    if config.muon_momentum_warmup_steps <= 0:
        return config.muon_momentum
    share = min(step / config.muon_momentum_warmup_steps, 1.0)
    return (1.0 - share) * config.muon_momentum_warmup_start + share * config.muon_momentum
