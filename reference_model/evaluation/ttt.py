"""Score-first test-time training: every chunk of the stream is scored once, and only then trained on.

The weights are put back at the end, so one model can be scored in several ways. Under ``torch.distributed`` the windows
and the sequences of a chunk are shared between the processes and gradients are averaged; all return the same score.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from reference_model.config import EvalConfig, TttConfig
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score, Tally
from reference_model.evaluation.chunks import Chunk, cut, place, share, sliding_windows
from reference_model.evaluation.sliding import autocast, gather, losses_from
from reference_model.evaluation.trace import Event, Trace
from reference_model.evaluation.ttt_lora import lora_ttt
from reference_model.evaluation.ttt_updates import build_optimizer, epochs_of, lr_factor, restore, saved, trainable
from reference_model.model.linear import set_fake_quant
from reference_model.quantisation.qat import fake_quantise

if TYPE_CHECKING:
    from reference_model.model.transformer import GPT

Progress = Callable[[int, int], None]


def score_first_ttt(
    model: GPT,
    tokens: Tensor,
    table: ByteTable,
    ttt: TttConfig,
    ev: EvalConfig,
    *,
    trace: Trace | None = None,
    on_progress: Progress | None = None,
) -> Score:
    """The score of ``tokens`` [n + 1] by a model that learns from each chunk after it was scored.

    ``trace`` receives what was done, in order. ``on_progress`` is called with the chunks done and all of them. With the
    kind ``none`` the same windows are scored and nothing is trained.
    """
    weights, training = saved(model), model.training
    try:
        if ttt.kind == "lora":
            return lora_ttt(model, tokens, table, ttt, ev, trace=trace, on_progress=on_progress)
        return _chunked(model, tokens, table, ttt, ev, trace, on_progress)
    finally:
        restore(weights)
        set_fake_quant(model, None)
        model.train(training)


def _chunked(
    model: GPT,
    tokens: Tensor,
    table: ByteTable,
    ttt: TttConfig,
    ev: EvalConfig,
    trace: Trace | None,
    on_progress: Progress | None,
) -> Score:
    positions = tokens.numel() - 1
    windows = sliding_windows(positions, ev.seq_len, ev.stride, repeat_tail=ev.repeat_tail)
    chunks = cut(positions, ttt.chunk_tokens, windows)
    parameters = trainable(model, ttt)
    if ttt.fake_quant_bits:
        set_fake_quant(model, partial(fake_quantise, bits=ttt.fake_quant_bits))
    optimizer = None if ttt.kind == "none" else build_optimizer(parameters, ttt)
    table = table.to(next(model.parameters()).device)
    total = Tally(table.boundary.device)
    for chunk in chunks:
        tally = _score(model, tokens, table, chunk, ev, trace)
        total.merge(tally)
        if optimizer is not None and chunk.windows and chunk is not chunks[-1]:
            for group in optimizer.param_groups:
                group["lr"] = ttt.lr * lr_factor(chunk.index, len(chunks), ttt)
            for epoch in range(1, epochs_of(tally, ttt) + 1):
                _train(model, tokens, chunk, epoch, optimizer, parameters, ttt, ev, trace)
        if on_progress is not None:
            on_progress(chunk.index + 1, len(chunks))
    return total.score()


def _score(model: GPT, tokens: Tensor, table: ByteTable, chunk: Chunk, ev: EvalConfig, trace: Trace | None) -> Tally:
    """Losses, tokens and bytes of the chunk's windows, summed over all processes."""
    model.eval()
    mine = share(len(chunk.windows), *place())
    tally = Tally(table.boundary.device)
    for first in range(mine.start, mine.stop, ev.batch_seqs):
        batch = chunk.windows[first : min(first + ev.batch_seqs, mine.stop)]
        inputs, targets, scored = (part.to(tally.sums.device) for part in gather(tokens, batch, ev.seq_len))
        with torch.no_grad(), autocast(inputs.device):
            start = min(window.scored - window.start for window in batch)
            losses = losses_from(model, inputs, targets, start)
        tally.add(losses, table.count(inputs, targets)[:, start:], scored[:, start:])
        if trace is not None:
            trace.scored(chunk.index, batch, losses, start)
    tally.all_reduce()
    return tally


def _train(
    model: GPT,
    tokens: Tensor,
    chunk: Chunk,
    epoch: int,
    optimizer: Optimizer,
    parameters: list[torch.nn.Parameter],
    ttt: TttConfig,
    ev: EvalConfig,
    trace: Trace | None,
) -> None:
    """One pass over the chunk's whole sequences, ``batch_seqs`` a step, in order; every process takes as many steps."""
    model.train()
    rank, world = place()
    count = (chunk.end - chunk.start) // ev.seq_len
    mine = share(count, rank, world)
    for step in range(-(-count // (world * ttt.batch_seqs))):
        first, last = (min(mine.start + i * ttt.batch_seqs, mine.stop) for i in (step, step + 1))
        start, end = chunk.start + first * ev.seq_len, chunk.start + last * ev.seq_len
        optimizer.zero_grad(set_to_none=True)
        if first < last:
            inputs, targets = (tokens[start + i : end + i].reshape(-1, ev.seq_len) for i in (0, 1))
            _loss(model, inputs, targets).backward()  # type: ignore[no-untyped-call]
        _average_gradients(parameters, world)
        if ttt.grad_clip > 0:
            torch.nn.utils.clip_grad_norm_(parameters, ttt.grad_clip)
        optimizer.step()
        if trace is not None:
            trace.events.append(Event("train", chunk.index, start, end, epoch))


def _loss(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean loss in nats of sequences [b, s], with gradients."""
    device = next(model.parameters()).device
    with autocast(device):
        return model.losses(inputs.to(device), targets.to(device)).mean()


def _average_gradients(parameters: list[torch.nn.Parameter], world: int) -> None:
    """Each gradient becomes the mean over all processes; a process without a sequence gives zeros."""
    if world > 1:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= world
