"""Where documents begin in a stream: each has a BOS in front."""

from __future__ import annotations

from torch import Tensor


def document_spans(tokens: Tensor, bos_id: int = 1) -> list[tuple[int, int]]:
    """(start, end) of each document of ``tokens`` [n], its BOS included.

    Tokens before the first BOS are a document too: the end of one that began in an earlier shard.
    """
    total = tokens.numel()
    starts: list[int] = (tokens == bos_id).nonzero().flatten().tolist()
    if total and (not starts or starts[0] != 0):
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], total][: len(starts)], strict=True))


def document_ids(tokens: Tensor, bos_id: int = 1) -> Tensor:
    """For each of ``tokens`` [..., n] the number of the document that it is in, counted along the last dimension."""
    return (tokens == bos_id).long().cumsum(dim=-1)
