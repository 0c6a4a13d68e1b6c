"""The training loop: micro-steps, schedules, late fake quantisation, averages, validation, clock and checkpoints."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from reference_model.averaging import Ema, Swa, load_average
from reference_model.config import Preset
from reference_model.data.folder import DataFolder
from reference_model.data.loader import TrainLoader
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.sliding import autocast
from reference_model.model.init import build
from reference_model.model.linear import set_fake_quant
from reference_model.model.transformer import GPT
from reference_model.optim.groups import build_optimizers, set_lr, set_momentum
from reference_model.optim.muon import zeropower
from reference_model.optim.schedule import lr_factor, muon_momentum
from reference_model.quantisation.qat import fake_quantise
from reference_model.training import checkpoint
from reference_model.training.distributed import Process, lower_embeddings, unsynchronised, wrapped
from reference_model.training.log import Log, header, stop_line, train_line, val_line
from reference_model.training.timers import TrainClock
from reference_model.training.validation import scorer, validation_stream, whole_score

AtEnd = Callable[[GPT, TrainLoader], None]
"""Work on the averaged weights after the last step, while the clock runs: calibration on training data."""


class TrainingError(ValueError):
    """Training that cannot go on; the message is one sentence."""


@dataclass(slots=True)
class TrainResult:
    """What training gives: the model holds the averaged weights."""

    model: GPT
    losses: Tensor
    """Mean loss of each step since the start or the resumption, float32 [steps], on the CPU."""
    steps: int
    elapsed_ms: float
    averaged: str
    """``ema``, ``swa`` or ``none``."""
    stopped_early: bool
    loader: TrainLoader
    """Where the training data stand."""
    validations: list[tuple[int, Score]] = field(default_factory=list)


def train(
    preset: Preset,
    data: DataFolder,
    process: Process,
    log: Log,
    *,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 0,
    stop_after: int | None = None,
    at_end: AtEnd | None = None,
) -> TrainResult:
    """Train ``preset`` on ``data``.

    Checkpoints go to ``out / "checkpoint.pt"`` every ``checkpoint_every`` steps (0: never) and, where ``stop_after``
    breaks the run off after so many steps, at that point; ``resume`` goes on from it. Raises `TrainingError`,
    `reference_model.training.checkpoint.CheckpointError`, `reference_model.data.shards.DataError`, `PresetError`.
    """
    run = Run(preset, data, process, log, out)
    run.warm_up()
    if resume:
        run.resume()
    return run.loop(checkpoint_every=checkpoint_every, stop_after=stop_after, at_end=at_end)


class Run:
    """One run with everything that changes while it goes on."""

    def __init__(self, preset: Preset, data: DataFolder, process: Process, log: Log, out: Path | None) -> None:
        torch.manual_seed(preset.train.seed)
        self.preset, self.process, self.log = preset, process, log
        self.config = preset.train
        self.accumulation = process.accumulation(preset.train.micro_steps)
        seconds = preset.train.max_wallclock_seconds
        self.schedule = replace(self.config, max_wallclock_seconds=max(seconds - self.config.reserve_seconds, 0.0))
        on_cuda = process.device.type == "cuda"
        self.model = build(preset.model, preset.train.seed).to(process.device)
        lower_embeddings(self.model, process.device)
        self.wrapped = wrapped(self.model, process, compiled=on_cuda)
        self.scorer = scorer(self.model, process)
        orthogonalise = torch.compile(zeropower, dynamic=False) if on_cuda else zeropower
        self.optimizers = build_optimizers(self.model, preset.optim, orthogonalise=orthogonalise)
        self.loader = TrainLoader(data.train, process.rank, process.world_size, process.device)
        self.table: ByteTable = data.byte_table()
        self.val_tokens = validation_stream(data.val_tokens(), preset.eval, self.config.train_seq_len)
        self.ema = Ema(self.model, self.config.ema_decay) if self.config.ema_decay > 0 else None
        self.swa = Swa() if self.config.swa_every > 0 else None
        self.clock = TrainClock(process.device)
        self.step = 0
        self.qat = False
        self.losses: list[Tensor] = []
        self.validations: list[tuple[int, Score]] = []
        self._path = out / "checkpoint.pt" if out is not None else None
        self._say_header(data)

    def _say_header(self, data: DataFolder) -> None:
        self.log.write(f"val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path={data.tokenizer.name}")
        self.log.write(f"train_loader:dataset:{data.folder.name} train_shards:{len(data.train)}")
        self.log.write(f"val_loader:shards files:{len(data.val)} tokens:{self.val_tokens.numel() - 1}")
        params = sum(p.numel() for p in self.model.parameters())
        for line in header(self.preset, params, self.process.world_size, self.accumulation):
            self.log.write(line)

    @property
    def cap_ms(self) -> float:
        """Training time after which no step begins; infinite without a limit."""
        return 1000.0 * self.schedule.max_wallclock_seconds or float("inf")

    def warm_up(self) -> None:
        """Steps that compile what there is to compile and are undone: weights, optimisers, data and generators."""
        if self.config.warmup_steps <= 0:
            return
        weights = copy.deepcopy(self.model.state_dict())
        states = [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers]
        place, generators = self.loader.state_dict(), checkpoint.random_states(self.process.device)
        for step in range(self.config.warmup_steps):
            self._gradients()
            self._apply()
            self.log.write(f"warmup_step:{step + 1}/{self.config.warmup_steps}")
        self.model.load_state_dict(weights, strict=True)
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        self.loader.load_state_dict(place)
        checkpoint.restore_random(generators, self.process.device)

    def loop(self, *, checkpoint_every: int, stop_after: int | None, at_end: AtEnd | None) -> TrainResult:
        """All steps until the last one or the end of the clock."""
        of, reached = self.config.iterations, False
        if self.ema is not None:
            self.log.write(f"ema:init decay={self.config.ema_decay}")
        self.clock.start()
        with self.log.progress("train", of) as progress:
            while True:
                last = self.step == of or reached
                if last and at_end is not None:
                    self._with_average(at_end)
                if last or (self.config.val_loss_every > 0 and self.step % self.config.val_loss_every == 0):
                    self.validate()
                if last or (stop_after is not None and self.step >= stop_after):
                    break
                self.one_step()
                reached = self.process.any(self.clock.elapsed_ms >= self.cap_ms)
                self._say_step(reached)
                progress(self.step, of)
                if checkpoint_every > 0 and self.step % checkpoint_every == 0:
                    self.checkpoint()
        return self._finish(last=last, early=reached and self.step < of)

    def _finish(self, *, last: bool, early: bool) -> TrainResult:
        elapsed_ms = self.clock.stop()
        if early:
            self.log.write(stop_line(self.step, self.config.iterations, elapsed_ms))
        averaged = "none"
        if last:
            averaged = self._average()
        else:
            self.checkpoint()
        losses = self.process.mean(torch.stack(self.losses)) if self.losses else torch.zeros(0)
        return TrainResult(
            self.model, losses.cpu(), self.step, elapsed_ms, averaged, early, self.loader, self.validations
        )

    def one_step(self) -> None:
        """One step: rate, momentum, gradients, clipping, updates, averages."""
        factor = lr_factor(self.step, self.clock.elapsed_ms, self.schedule)
        self._quantise_late(factor)
        set_lr(self.optimizers, factor)
        set_momentum(self.optimizers, muon_momentum(self.step, self.preset.optim))
        self.losses.append(self._gradients())
        self._apply()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.model)
        if self.swa is not None and factor < self.config.swa_start_frac and self.step % self.config.swa_every == 0:
            if self.swa.count == 0:
                self.log.write(f"swa:start step:{self.step}")
            self.swa.update(self.model)

    def _quantise_late(self, factor: float) -> None:
        """From the step on at which the rate falls below the threshold, matrices train through fake quantisation."""
        if self.qat or not factor < self.config.late_qat_threshold:
            return
        self.qat = True
        set_fake_quant(self.model, partial(fake_quantise, bits=self.config.qat_bits), banks=self.config.qat_banks)
        self.log.write(f"late_qat:enabled step:{self.step} scale:{factor:.4f}")

    def _gradients(self) -> Tensor:
        """Gradients of one batch, summed over the micro-steps; this process's mean loss, a scalar on its device."""
        self.model.train()
        total = torch.zeros((), device=self.process.device)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        for micro in range(self.accumulation):
            batch = self.loader.next_batch(self.config.train_batch_tokens, self.config.train_seq_len, self.accumulation)
            with unsynchronised(self.wrapped, last=micro == self.accumulation - 1):
                with autocast(self.process.device):
                    loss: Tensor = self.wrapped(*batch)
                (loss / self.accumulation).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total / self.accumulation

    def _apply(self) -> None:
        """Clip the gradients and step every optimiser."""
        if self.preset.optim.grad_clip_norm > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.optim.grad_clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()

    def _say_step(self, stopping: bool) -> None:
        """A line for the first ten steps, every ``train_log_every`` and the last before an early end."""
        every = self.config.train_log_every
        if every <= 0 or not (self.step <= 10 or self.step % every == 0 or stopping):
            return
        loss = float(self.process.mean(self.losses[-1]))
        self.log.write(train_line(self.step, self.config.iterations, loss, self.clock.elapsed_ms))
        if not math.isfinite(loss):
            raise TrainingError(f"the loss of step {self.step} is {loss}: training has diverged")

    def validate(self) -> None:
        """Score the validation stream; the clock stands still."""
        elapsed_ms = self.clock.stop()
        length = self.config.train_seq_len
        score = whole_score(self.scorer, self.val_tokens, self.table, self.preset.eval, length, self.process)
        self.validations.append((self.step, score))
        self.log.write(val_line(self.step, self.config.iterations, score, elapsed_ms))
        self.clock.start()

    def _average(self) -> str:
        """Put the averaged weights into the model; which average it was. The exponential one has precedence."""
        set_fake_quant(self.model, None, banks=True)
        if self.ema is not None:
            self.log.write("ema:applying EMA weights")
            load_average(self.model, self.ema.average())
            return "ema"
        if self.swa is not None and self.swa.count:
            self.log.write(f"swa:applying averaged {self.swa.count} checkpoints")
            load_average(self.model, self.swa.average())
            return "swa"
        return "none"

    def _with_average(self, at_end: AtEnd) -> None:
        """Do ``at_end`` with the averaged weights, and put the last step's back."""
        weights = copy.deepcopy(self.model.state_dict())
        if self.ema is not None:
            load_average(self.model, self.ema.average())
        elif self.swa is not None and self.swa.count:
            load_average(self.model, self.swa.average())
        at_end(self.model, self.loader)
        self.model.load_state_dict(weights)

    def _fingerprint(self) -> str:
        """Of all settings that a checkpoint depends on."""
        parts = (self.preset.name, self.preset.model, self.preset.optim, self.config)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def checkpoint(self) -> None:
        """Write a checkpoint, where there is a folder for it; the clock stands still if it ran."""
        if self._path is None:
            return
        running = self.clock.running
        elapsed_ms = self.clock.stop()
        if self.process.is_main:
            checkpoint.save(
                self._path, model=self.model, optimizers=self.optimizers, loader=self.loader, ema=self.ema,
                swa=self.swa, step=self.step, elapsed_ms=elapsed_ms, device=self.process.device,
                fingerprint=self._fingerprint(),
            )  # fmt: skip
        self.process.barrier()
        if running:
            self.clock.start()

    def resume(self) -> None:
        """Go on from the checkpoint."""
        if self._path is None:
            raise checkpoint.CheckpointError("a run without a folder has no checkpoint to resume from")
        self.step, elapsed_ms = checkpoint.load(
            self._path, model=self.model, optimizers=self.optimizers, loader=self.loader, ema=self.ema, swa=self.swa,
            device=self.process.device, fingerprint=self._fingerprint(),
        )  # fmt: skip
        self.clock.preset(elapsed_ms)
        self.log.write(f"resumed step:{self.step} train_time:{elapsed_ms:.0f}ms")
