"""Low-rank adapters that live for one document: each of its chunks is scored, then the adapters are trained on it.

The weights never change. An adapted matrix is ``W + B A``; at a document's beginning A [rank, in] is drawn anew and B
[out, rank] is zero (Hu et al. 2021; per document in the competition's record of 2026-03-17).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.optim import AdamW

from reference_model.config import EvalConfig, TttConfig
from reference_model.data.documents import document_spans
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score, Tally
from reference_model.evaluation.chunks import place, share
from reference_model.evaluation.sliding import autocast
from reference_model.evaluation.trace import Event, Trace

if TYPE_CHECKING:
    from reference_model.model.transformer import GPT

ADAPTED = (".attn.", "qo_bank", "kv_bank")
"""Parts of the names of attention's matrices, alone or in banks."""
SEED = 1337


class Adapters:
    """A and B of every adapted matrix, and the weights that they make."""

    def __init__(self, model: GPT, rank: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.weights = {n: p.detach() for n, p in model.named_parameters() if p.ndim >= 2 and _adapted(n)}
        self.down: dict[str, Tensor] = {}
        self.up: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            *bank, rows, columns = weight.shape
            drawn = torch.randn(*bank, rank, columns, generator=generator) / math.sqrt(columns)
            self.down[name] = drawn.to(weight).requires_grad_()
            self.up[name] = torch.zeros(*bank, rows, rank).to(weight).requires_grad_()

    def parameters(self) -> list[Tensor]:
        """All A, then all B."""
        return [*self.down.values(), *self.up.values()]

    def adapted(self) -> dict[str, Tensor]:
        """The adapted matrices by the names of the model's parameters."""
        return {name: weight + self.up[name] @ self.down[name] for name, weight in self.weights.items()}


def _adapted(name: str) -> bool:
    return any(part in name for part in ADAPTED)


def lora_ttt(
    model: GPT,
    tokens: Tensor,
    table: ByteTable,
    ttt: TttConfig,
    ev: EvalConfig,
    *,
    bos_id: int = 1,
    trace: Trace | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Score:
    """The score of ``tokens`` [n + 1]; no adapter and no context reaches from one document into the next.

    A document's targets include the BOS that follows it, so every position is scored once. A chunk of a document has
    up to ``ttt.chunk_tokens`` positions and is scored in one window of up to ``ev.seq_len`` that ends with it. After it
    come ``ttt.epochs`` steps of AdamW on its own mean loss, but none after a document's last chunk. ``on_progress``
    counts documents, of which each process takes its share. Raises ``ValueError`` where chunks are longer than windows.
    """
    if ttt.chunk_tokens > ev.seq_len:
        raise ValueError(f"chunks of {ttt.chunk_tokens} are longer than windows of {ev.seq_len}")
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    device = next(model.parameters()).device
    table, tokens, total = table.to(device), tokens.to(device), Tally(device)
    spans = document_spans(tokens[:-1], bos_id)
    mine = share(len(spans), *place())
    for done, index in enumerate(mine, 1):
        _document(model, tokens, table, spans[index], ttt, ev, total, trace)
        if on_progress is not None:
            on_progress(done, len(mine))
    total.all_reduce()
    return total.score()


def _document(
    model: GPT,
    tokens: Tensor,
    table: ByteTable,
    span: tuple[int, int],
    ttt: TttConfig,
    ev: EvalConfig,
    tally: Tally,
    trace: Trace | None,
) -> None:
    """Score the positions ``span``, chunk by chunk, with adapters of their own."""
    start, end = span
    adapters = Adapters(model, ttt.lora_rank, SEED + start)
    optimizer = AdamW(adapters.parameters(), lr=ttt.lr, weight_decay=ttt.weight_decay)
    for chunk, first in enumerate(range(start, end, ttt.chunk_tokens)):
        last = min(first + ttt.chunk_tokens, end)
        window = slice(max(start, last - ev.seq_len), last)
        with torch.no_grad():
            losses = _losses(model, tokens, window, adapters)[first - window.start :]
        tally.add(losses, table.count(tokens[first:last], tokens[first + 1 : last + 1]))
        if trace is not None:
            trace.losses[first:last] = losses.cpu()
            trace.events.append(Event("score", chunk, first, last))
        if last == end:
            break
        for epoch in range(1, ttt.epochs + 1):
            optimizer.zero_grad(set_to_none=True)
            _losses(model, tokens, window, adapters)[first - window.start :].mean().backward()  # type: ignore[no-untyped-call]
            if ttt.grad_clip > 0:
                torch.nn.utils.clip_grad_norm_(adapters.parameters(), ttt.grad_clip)
            optimizer.step()
            if trace is not None:
                trace.events.append(Event("train", chunk, first, last, epoch))


def _losses(model: GPT, tokens: Tensor, window: slice, adapters: Adapters) -> Tensor:
    """Losses in nats of all positions of ``window``: float32 [window]."""
    with autocast(tokens.device):
        logits = logits_with(model, adapters.adapted(), tokens[window][None])
    return F.cross_entropy(logits[0].float(), tokens[window.start + 1 : window.stop + 1], reduction="none")


def logits_with(model: GPT, weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """The model's logits [b, s, vocab] with other tensors for some of its parameters, by their names."""
    banks = {name: bank for name, bank in getattr(model, "banks", {}).items() if name in weights}
    own = {name: bank.parameter for name, bank in banks.items()}
    try:
        for name, bank in banks.items():
            bank.parameter = weights[name]
        logits: Tensor = functional_call(model, weights, (tokens,))
        return logits
    finally:
        for name, bank in banks.items():
            bank.parameter = own[name]
