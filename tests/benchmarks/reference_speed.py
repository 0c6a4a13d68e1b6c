"""Tokens per second of the reference: one train step and sliding-window scoring, at several sizes.

    python -m tests.benchmarks.reference_speed [--scale toy --scale mid] [--preset gepa_644 ...] [--seconds 4]

The device is CUDA where there is one (then ``--scale full`` makes sense), else the CPU with torch's threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from reference_model.config import Preset, load_preset, preset_names
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.sliding import autocast, sliding_score
from reference_model.model.init import build
from reference_model.optim.groups import build_optimizers
from reference_model.optim.muon import zeropower
from reference_model.scale import toy
from reference_model.training.distributed import Process, lower_embeddings, wrapped
from reference_model.training.timers import synchronise
from reference_model.training.validation import scorer

SCALES = ("toy", "mid", "full")
MID_WIDTH, MID_HEADS = 256, 4
MID_SEQUENCE, MID_SEQUENCES = 512, 4


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured: batches of a micro-step, windows of an evaluation."""

    preset: Preset
    sequences: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second; for scoring, scored tokens and tokens that go through the model."""

    step: float
    scored: float
    read: float
    peak_mib: float


def at_scale(preset: Preset, scale: str) -> Work:
    """``preset`` at toy, middle or full size, with the sequences of one micro-step."""
    if scale == "toy":
        return Work(toy(preset), 8)
    if scale == "full":
        return Work(preset, preset.train.train_batch_tokens // 8 // preset.train.train_seq_len)
    return Work(middle(preset), MID_SEQUENCES)


def middle(preset: Preset) -> Preset:
    """All layers, half the width, sequences of 512."""
    model = replace(
        preset.model,
        model_dim=MID_WIDTH,
        num_heads=MID_HEADS,
        mlp_hidden=MID_WIDTH * preset.model.mlp_hidden // preset.model.model_dim,
        num_kv_heads=max(1, MID_HEADS * preset.model.num_kv_heads // preset.model.num_heads),
        rope_train_seq_len=MID_SEQUENCE if preset.model.rope_train_seq_len else 0,
    )
    train = replace(preset.train, train_seq_len=MID_SEQUENCE)
    ev = replace(preset.eval, seq_len=MID_SEQUENCE, stride=min(preset.eval.stride, MID_SEQUENCE), batch_seqs=4)
    return replace(preset, model=model, train=train, eval=ev)


def measure(work: Work, device: torch.device, seconds: float) -> Speed:
    """One preset at one size."""
    preset, process = work.preset, Process(device)
    on_cuda = device.type == "cuda"
    torch.manual_seed(0)
    model = build(preset.model, 0).to(device)
    lower_embeddings(model, device)
    loss_of = wrapped(model, process, compiled=on_cuda)
    orthogonalise = torch.compile(zeropower, dynamic=False) if on_cuda else zeropower
    optimizers = build_optimizers(model, preset.optim, orthogonalise=orthogonalise)
    shape = (work.sequences, preset.train.train_seq_len + 1)
    tokens = torch.randint(0, preset.model.vocab_size, shape, device=device)

    def step() -> None:
        with autocast(device):
            loss = loss_of(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    step_seconds = median_seconds(step, device, seconds)
    stream = torch.randint(0, preset.model.vocab_size, (4 * preset.eval.batch_seqs * preset.eval.stride + 1,))
    none = torch.zeros(preset.model.vocab_size, dtype=torch.bool)
    table = ByteTable(torch.ones(preset.model.vocab_size, dtype=torch.int64), none, none)
    asked = scorer(model, process)
    score_seconds = median_seconds(lambda: sliding_score(asked, stream, table, preset.eval), device, seconds)
    scored = stream.numel() - 1
    windows = -(-scored // preset.eval.stride)
    return Speed(
        step=work.sequences * preset.train.train_seq_len / step_seconds,
        scored=scored / score_seconds,
        read=windows * preset.eval.seq_len / score_seconds,
        peak_mib=torch.cuda.max_memory_allocated() / 2**20 if on_cuda else 0.0,
    )


def median_seconds(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Of at least three repetitions after two that do not count."""
    for _ in range(2):
        work()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < seconds:
        synchronise(device)
        begin = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - begin)
    return sorted(taken)[len(taken) // 2]


def machine(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", action="append", choices=SCALES)
    parser.add_argument("--preset", action="append", choices=preset_names())
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"torch {torch.__version__}, {machine(device)}\n")
    print("| preset | scale | train step, tokens/s | sliding window, scored tokens/s | read tokens/s | peak MiB |")
    print("|---|---|---|---|---|---|")
    for scale in arguments.scale or ["toy", "mid"]:
        for name in arguments.preset or preset_names():
            found = measure(at_scale(load_preset(name), scale), device, arguments.seconds)
            memory = f"{found.peak_mib:,.0f}" if found.peak_mib else "-"
            print(f"| {name} | {scale} | {found.step:,.0f} | {found.scored:,.0f} | {found.read:,.0f} | {memory} |")


if __name__ == "__main__":
    main()
