"""A checkpoint holds all that the next step depends on: a resumed run repeats the unbroken one bit by bit.

(With a wallclock schedule the rate depends on the machine's speed too; then a resumed run only goes on as if unbroken.)
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reference_model.averaging import Ema, Swa
from reference_model.data.loader import TrainLoader


class CheckpointError(ValueError):
    """A checkpoint that is not there or does not fit; the message is one sentence."""


VERSION = 1


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put generators back."""
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def save(
    path: Path,
    *,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    loader: TrainLoader,
    ema: Ema | None,
    swa: Swa | None,
    step: int,
    elapsed_ms: float,
    device: torch.device,
    fingerprint: str,
) -> None:
    """Write a checkpoint of the settings ``fingerprint``; a crash while writing leaves the old one."""
    state: dict[str, Any] = {
        "version": VERSION,
        "fingerprint": fingerprint,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "loader": loader.state_dict(),
        "ema": ema.state_dict() if ema is not None else None,
        "swa": swa.state_dict() if swa is not None else None,
        "random": random_states(device),
        "step": step,
        "elapsed_ms": elapsed_ms,
    }
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load(
    path: Path,
    *,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    loader: TrainLoader,
    ema: Ema | None,
    swa: Swa | None,
    device: torch.device,
    fingerprint: str,
) -> tuple[int, float]:
    """Put everything back as it was; the steps done and the milliseconds of training. Raises `CheckpointError`."""
    state = _read(path, device)
    if state.get("version") != VERSION or state.get("fingerprint") != fingerprint:
        raise CheckpointError(f"{path.name} was made with other settings than these")
    model.load_state_dict(state["model"], strict=True)
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    loader.load_state_dict(state["loader"])
    if ema is not None:
        ema.load_state_dict(state["ema"])
    if swa is not None:
        swa.load_state_dict(state["swa"])
    restore_random(state["random"], device)
    return int(state["step"]), float(state["elapsed_ms"])


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """What is in the file. Raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path.name} to resume from")
    try:
        state = torch.load(path, map_location=device, weights_only=True) if zipfile.is_zipfile(path) else None
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path.name} cannot be read as a checkpoint: it is damaged") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path.name} cannot be read as a checkpoint: it is something else")
    return state
