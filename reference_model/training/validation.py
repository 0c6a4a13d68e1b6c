"""Scores during and after training, shared between the processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from reference_model.config import EvalConfig
from reference_model.data.shards import usable
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.sliding import sliding_score
from reference_model.model.transformer import GPT
from reference_model.training.distributed import Process


class Compiled(nn.Module):
    """A model whose `losses` are compiled; its mode is the model's."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model
        self._losses: Callable[[Tensor, Tensor], Tensor] = torch.compile(model.losses, dynamic=False)

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """int64 [b, s] twice to nats [b, s]."""
        return self._losses(tokens, targets)


def scorer(model: GPT, process: Process) -> GPT | Compiled:
    """``model`` for scoring: compiled on CUDA, itself elsewhere."""
    return Compiled(model) if process.device.type == "cuda" else model


def validation_stream(tokens: Tensor, config: EvalConfig, seq_len: int) -> Tensor:
    """What is scored of the validation ``tokens`` [n]: whole sequences, ``config.max_tokens`` at most. `DataError`."""
    limited = tokens if config.max_tokens <= 0 else tokens[: config.max_tokens + 1]
    return usable(limited, seq_len)


def whole_score(
    model: GPT | Compiled, tokens: Tensor, table: ByteTable, config: EvalConfig, seq_len: int, process: Process
) -> Score:
    """Sequences of ``seq_len`` that do not overlap, the competition's validation during training."""
    whole = replace(config, seq_len=seq_len, stride=seq_len, repeat_tail=False)
    return sliding_score(model, tokens, table, whole, rank=process.rank, world_size=process.world_size)
