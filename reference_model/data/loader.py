"""Batches of training, for each rank its own span of one stream, as the competition's distributed loader gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .shards import DataError, Tokens, read_shard


class TokenStream:
    """All shards in order, from the first again after the last."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises `DataError` where there is no shard, or none that holds a token."""
        if not paths:
            raise DataError("there are no training shards")
        self.paths = tuple(paths)
        self.file, self.position = 0, 0
        self._tokens = read_shard(self.paths[0])

    def take(self, count: int) -> Tokens:
        """The next ``count`` tokens, uint16 [count]."""
        parts: list[Tokens] = []
        empty = 0
        while count > 0:
            part = self._tokens[self.position : self.position + count]
            parts.append(part)
            self.position += part.size
            count -= part.size
            empty = 0 if part.size else empty + 1
            if empty > len(self.paths):
                raise DataError("the training shards hold no tokens")
            if count > 0:
                self._open((self.file + 1) % len(self.paths), 0)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _open(self, file: int, position: int) -> None:
        if file != self.file or len(self.paths) > 1:
            self._tokens = read_shard(self.paths[file])
        self.file, self.position = file, position


class TrainLoader:
    """Inputs and targets for one of ``world_size`` ranks.

    A call takes one span for each rank, one after the other, from the stream; each span is one token longer than the
    rank's inputs, so that its targets are the inputs moved by one. So two ranks read in one call what one rank reads
    in two, token by token.
    """

    def __init__(
        self, paths: Sequence[Path], rank: int = 0, world_size: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        """Raises `DataError` where there is no shard, and ValueError for a rank outside of the world."""
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}")
        self.stream = TokenStream(paths)
        self.rank, self.world_size = rank, world_size
        self.device = torch.device(device)

    def next_batch(self, global_tokens: int, seq_len: int, accum: int = 1) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [b, seq_len] each, where b is ``global_tokens`` / (ranks * ``accum`` * seq_len).

        Raises:
            ValueError: the tokens do not divide into whole sequences for each rank and micro-step.
        """
        local, rest = divmod(global_tokens, self.world_size * accum)
        if rest or not local or local % seq_len:
            raise ValueError(
                f"{global_tokens:,} tokens are no whole sequences of {seq_len:,} for {self.world_size} ranks and "
                f"{accum} micro-steps"
            )
        span = local + 1
        chunk = self.stream.take(span * self.world_size)
        own = torch.from_numpy(chunk[self.rank * span : (self.rank + 1) * span].astype(np.int64))
        if self.device.type == "cuda":
            own = own.pin_memory()
        own = own.to(self.device, non_blocking=True)
        return own[:-1].view(-1, seq_len), own[1:].view(-1, seq_len)

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands, for `load_state_dict`."""
        return {"file": self.stream.file, "position": self.stream.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where ``state`` was taken. Raises `DataError` where the shards are fewer now."""
        if not 0 <= state["file"] < len(self.stream.paths):
            raise DataError(f"the checkpoint stood in training shard {state['file']}, which is not there")
        self.stream._open(state["file"], state["position"])
