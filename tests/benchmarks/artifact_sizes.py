"""Bytes of each preset's full-size artifact against 16,000,000: from fresh weights, and after some steps of training.

    python -m tests.benchmarks.artifact_sizes [--preset gepa_644 ...] [--steps 20] [--random 0.16]

Training is short, on text that every Python has (`reference_model data --local`), with few tokens a step: it shows the
accounting on weights that are no longer random, not the size that ten minutes on eight H100 give. GPTQ reads training
sequences here, for the model's own text takes hours on a CPU. ``--random``: normal weights of that deviation too.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from reference_model.artifact.build import build as build_artifact
from reference_model.config import Preset, load_preset, preset_names
from reference_model.data.folder import DataFolder, find_data
from reference_model.data.loader import TrainLoader
from reference_model.data.local import write_local
from reference_model.export.text import script_text
from reference_model.model.init import build
from reference_model.model.transformer import GPT
from reference_model.quantisation.hessians import calibration_model, collect
from reference_model.training.distributed import Process
from reference_model.training.log import Log
from reference_model.training.loop import train

SEQUENCE, SEQUENCES = 256, 4
CALIBRATION = 8
"""Sequences that GPTQ reads."""
SHARE_OF_TAIL = 0.5
"""Of the steps in which the rate falls."""


def short(preset: Preset, steps: int) -> Preset:
    """``preset`` at full size, its training cut to ``steps`` small ones."""
    config = replace(
        preset.train, iterations=steps + 1, warmup_steps=0, warmdown_iters=int(steps * SHARE_OF_TAIL),
        max_wallclock_seconds=0.0, reserve_seconds=0.0, train_batch_tokens=SEQUENCE * SEQUENCES,
        train_seq_len=SEQUENCE, micro_steps=1, val_loss_every=0, train_log_every=0, ema_decay=0.0, swa_every=0,
    )  # fmt: skip
    evaluation = replace(preset.eval, seq_len=SEQUENCE, stride=SEQUENCE)
    return replace(preset, train=config, eval=evaluation)


def trained(preset: Preset, steps: int, data: DataFolder) -> GPT:
    """The full-size network after ``steps`` steps; fresh for none."""
    process = Process(torch.device("cpu"), 0, 1)
    if steps == 0:
        return build(preset.model, preset.train.seed)
    with Log(None, quiet=True) as log:
        return train(short(preset, steps), data, process, log, stop_after=steps).model


def hessians_of(preset: Preset, model: GPT, data: DataFolder) -> dict[str, Tensor] | None:
    """From training sequences, where the preset has GPTQ."""
    if not preset.quant.gptq:
        return None
    loader = TrainLoader(data.train, 0, 1, torch.device("cpu"))
    batches = [loader.next_batch(SEQUENCE, SEQUENCE, 1)[0] for _ in range(CALIBRATION)]
    return collect(calibration_model(model, preset.quant.calibration_recurrence), batches, preset.quant.gptq_damp)


def line(name: str, what: str, preset: Preset, state: Mapping[str, Tensor], hessians: dict[str, Tensor] | None) -> str:
    """One row of the table."""
    began = time.perf_counter()
    artifact = build_artifact(state, preset.quant, len(script_text(preset).encode()), hessians)
    got = artifact.accounting
    raw = sum(part.raw for part in got.lines)
    room = f"{'left' if got.fits else 'over'} {abs(16_000_000 - got.total):>11,}"
    pruned = f"  pruned {artifact.pruned_ones:,} of {artifact.ones:,}" if artifact.ones else ""
    return (
        f"{name:<14} {what:<18} {got.label:<14} raw {raw:>11,}  model {got.model:>11,}  code {got.code:>7,}  "
        f"total {got.total:>11,}  {room}  {time.perf_counter() - began:5.0f} s{pruned}"
    )


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", action="append", choices=preset_names())
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--random", type=float, default=0.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_local(Path(folder), 1024)
        data = find_data(Path(folder), 1024)
        for name in asked.preset or preset_names():
            preset = load_preset(name)
            for what, steps in (("fresh", 0), (f"{asked.steps} steps", asked.steps)):
                model = trained(preset, steps, data)
                print(line(name, what, preset, model.state_dict(), hessians_of(preset, model, data)), flush=True)
            if asked.random:
                generator = torch.Generator().manual_seed(1)
                state = {
                    key: torch.randn(value.shape, generator=generator) * asked.random if value.ndim > 1 else value
                    for key, value in model.state_dict().items()
                }
                model.load_state_dict(state)
                what = f"normal, std {asked.random}"
                print(line(name, what, preset, state, hessians_of(preset, model, data)), flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10:,} MiB, torch {torch.__version__}")


if __name__ == "__main__":
    main()
