"""What an exported script does, in the competition's order: train, average, quantise, save, reload, score, adapt.

The short form of `reference_model.training`: no checkpoints, no progress bar, nothing but the standard library, torch,
numpy, sentencepiece and a compressor.
"""

from __future__ import annotations

import copy
import glob
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from reference_model.artifact.build import build as build_artifact
from reference_model.artifact.container import unpack
from reference_model.averaging import Ema, Swa, load_average
from reference_model.config import EvalConfig, Preset
from reference_model.data.loader import TrainLoader
from reference_model.data.shards import read_tokens, usable
from reference_model.data.tokens import ByteTable, load_table
from reference_model.evaluation.sliding import autocast, sliding_score
from reference_model.evaluation.ttt import score_first_ttt
from reference_model.model.init import build
from reference_model.model.linear import set_fake_quant
from reference_model.model.transformer import GPT
from reference_model.model.weights import load_state
from reference_model.optim.groups import build_optimizers, set_lr, set_momentum
from reference_model.optim.muon import zeropower
from reference_model.optim.schedule import lr_factor, muon_momentum
from reference_model.quantisation.hessians import calibration_model, collect, self_generated
from reference_model.quantisation.mixed import dequantise
from reference_model.quantisation.qat import fake_quantise
from reference_model.training.distributed import Process, lower_embeddings, started, unsynchronised, wrapped


@dataclass(frozen=True, slots=True)
class Files:
    """Where the script reads and writes."""

    train: str
    """Pattern of the training shards."""
    val: str
    """Pattern of the validation shards."""
    tokenizer: str
    artifact: str
    script: str


def run(preset: Preset, files: Files) -> None:
    """The whole submission."""
    with started() as process:
        log = print if process.is_main else _silent
        torch.manual_seed(preset.train.seed)
        model = build(preset.model, preset.train.seed).to(process.device)
        lower_embeddings(model, process.device)
        table = load_table(Path(files.tokenizer), preset.model.vocab_size).to(process.device)
        val_tokens = usable(read_tokens(_shards(files.val)), preset.train.train_seq_len)
        log(f"val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path={files.tokenizer}")
        log(f"val_loader:shards pattern={files.val} tokens:{val_tokens.numel() - 1}")
        log(f"model_params:{sum(p.numel() for p in model.parameters())}")
        log(f"world_size:{process.world_size} grad_accum_steps:{process.accumulation(preset.train.micro_steps)}")
        log(f"seed:{preset.train.seed}")
        loader = TrainLoader(_shards(files.train), process.rank, process.world_size, process.device)
        train(preset, model, loader, val_tokens, table, process)
        save(preset, model, files, process)
        evaluate(preset, files, val_tokens, table, process)
        process.barrier()


def _silent(text: str) -> None:
    """In place of ``print`` where another process writes the log."""


def _shards(pattern: str) -> list[Path]:
    return [Path(name) for name in sorted(glob.glob(pattern))]


def train(
    preset: Preset, model: GPT, loader: TrainLoader, val_tokens: Tensor, table: ByteTable, process: Process
) -> None:
    """Train ``model`` until its steps or its time are over; it then holds the averaged weights."""
    log = print if process.is_main else _silent
    config = preset.train
    seconds = max(config.max_wallclock_seconds - config.reserve_seconds, 0.0)
    schedule = replace(config, max_wallclock_seconds=seconds)
    on_cuda = process.device.type == "cuda"
    loss_of = wrapped(model, process, compiled=on_cuda)
    orthogonalise = torch.compile(zeropower, dynamic=False) if on_cuda else zeropower
    optimizers = build_optimizers(model, preset.optim, orthogonalise=orthogonalise)
    _warm_up(preset, model, loss_of, optimizers, loader, process)
    ema = Ema(model, config.ema_decay) if config.ema_decay > 0 else None
    swa = Swa()
    elapsed_ms, step, over = 0.0, 0, False
    while True:
        last = over or step == config.iterations
        if last or (config.val_loss_every > 0 and step % config.val_loss_every == 0):
            whole = EvalConfig(config.train_seq_len, config.train_seq_len, preset.eval.batch_seqs)
            score = sliding_score(model, val_tokens, table, whole, rank=process.rank, world_size=process.world_size)
            log(
                f"step:{step}/{config.iterations} val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f} "
                f"train_time:{elapsed_ms:.0f}ms step_avg:{elapsed_ms / max(step, 1):.2f}ms"
            )
        if last:
            break
        began = _now(process)
        factor = lr_factor(step, elapsed_ms, schedule)
        if factor < config.late_qat_threshold:
            set_fake_quant(model, partial(fake_quantise, bits=config.qat_bits), banks=config.qat_banks)
        set_lr(optimizers, factor)
        set_momentum(optimizers, muon_momentum(step, preset.optim))
        loss = _gradients(preset, loss_of, loader, process)
        _step(preset, model, optimizers)
        step += 1
        if ema is not None:
            ema.update(model)
        if config.swa_every > 0 and factor < config.swa_start_frac and step % config.swa_every == 0:
            swa.update(model)
        elapsed_ms += 1000.0 * (_now(process) - began)
        if step <= 10 or step % config.train_log_every == 0:
            log(
                f"step:{step}/{config.iterations} train_loss:{loss.item():.4f} "
                f"train_time:{elapsed_ms:.0f}ms step_avg:{elapsed_ms / step:.2f}ms"
            )
        over = seconds > 0 and process.any(elapsed_ms >= 1000.0 * seconds)
    if over:
        log(f"stopping_early: wallclock_cap train_time:{elapsed_ms:.0f}ms step:{step}/{config.iterations}")
    log(f"training finished: train_time:{elapsed_ms:.0f}ms steps:{step}")
    set_fake_quant(model, None, banks=True)
    if ema is not None:
        log("ema:applying EMA weights")
        load_average(model, ema.average())
    elif swa.count > 0:
        log(f"swa:applying averaged {swa.count} checkpoints")
        load_average(model, swa.average())


def _warm_up(
    preset: Preset,
    model: GPT,
    loss_of: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    loader: TrainLoader,
    process: Process,
) -> None:
    """Steps on training data that compile what there is to compile; they are undone."""
    weights = copy.deepcopy(model.state_dict())
    states = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
    place = loader.state_dict()
    for _ in range(preset.train.warmup_steps):
        _gradients(preset, loss_of, loader, process)
        _step(preset, model, optimizers)
    model.load_state_dict(weights)
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict(state)
    loader.load_state_dict(place)


def _gradients(preset: Preset, loss_of: nn.Module, loader: TrainLoader, process: Process) -> Tensor:
    """Gradients of one batch, in micro-steps; its mean loss."""
    loss_of.train()
    total = torch.zeros((), device=process.device)
    steps = process.accumulation(preset.train.micro_steps)
    for micro in range(steps):
        inputs, targets = loader.next_batch(preset.train.train_batch_tokens, preset.train.train_seq_len, steps)
        with unsynchronised(loss_of, last=micro == steps - 1), autocast(process.device):
            loss = loss_of(inputs, targets)
        (loss / steps).backward()
        total += loss.detach() / steps
    return process.mean(total)


def _step(preset: Preset, model: GPT, optimizers: list[torch.optim.Optimizer]) -> None:
    if preset.optim.grad_clip_norm > 0:
        nn.utils.clip_grad_norm_(model.parameters(), preset.optim.grad_clip_norm)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def save(preset: Preset, model: GPT, files: Files, process: Process) -> None:
    """Quantise the weights and write the artifact."""
    if process.is_main:
        code = os.path.getsize(files.script)
        hessians = calibrate(preset, model) if preset.quant.gptq else None
        artifact = build_artifact(model.state_dict(), preset.quant, code, hessians)
        with open(files.artifact, "wb") as file:
            file.write(artifact.data)
        for line in artifact.accounting.log_lines():
            print(line)
    process.barrier()


def calibrate(preset: Preset, model: GPT) -> dict[str, Tensor]:
    """Hessians for GPTQ from text that the model writes itself: no data is read."""
    quant = preset.quant
    written = self_generated(model, quant, preset.train.seed)
    reader = calibration_model(model, quant.calibration_recurrence)
    return collect(reader, [tokens[:, :-1] for tokens in written], quant.gptq_damp)


def reload(preset: Preset, files: Files, process: Process) -> GPT:
    """The model as the artifact has it: nothing else of training is used from here on."""
    with open(files.artifact, "rb") as file:
        blob = file.read()
    model = GPT(preset.model)
    load_state(model, dequantise(unpack(blob)))
    return model.to(process.device)


def evaluate(preset: Preset, files: Files, val_tokens: Tensor, table: ByteTable, process: Process) -> None:
    """Score the artifact: windows that slide, then score-first test-time training where the preset has it."""
    log = print if process.is_main else _silent
    model = reload(preset, files, process)
    began = _now(process)
    score = sliding_score(model, val_tokens, table, preset.eval, rank=process.rank, world_size=process.world_size)
    milliseconds = 1000.0 * (_now(process) - began)
    name = "final_sliding_window" if preset.eval.stride < preset.eval.seq_len else "final_roundtrip"
    log(
        f"{name} val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f} "
        f"stride:{preset.eval.stride} eval_time:{milliseconds:.0f}ms"
    )
    log(f"{name}_exact val_loss:{score.loss:.8f} val_bpb:{score.bpb:.8f}")
    if preset.ttt.kind != "none":
        began = _now(process)
        score = score_first_ttt(model, val_tokens, table, preset.ttt, preset.eval)
        milliseconds = 1000.0 * (_now(process) - began)
        log(f"legal_ttt val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f} eval_time:{milliseconds:.0f}ms")
        log(f"legal_ttt_exact val_loss:{score.loss:.8f} val_bpb:{score.bpb:.8f}")


def _now(process: Process) -> float:
    """Seconds, after the GPU has done what was asked of it."""
    if process.device.type == "cuda":
        torch.cuda.synchronize(process.device)
    return time.perf_counter()
