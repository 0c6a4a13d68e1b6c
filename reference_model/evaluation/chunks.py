"""The stream cut into chunks, each with the windows that score it.

A position ``p`` of the stream has the input ``tokens[p]`` and the target ``tokens[p + 1]``; a stream of ``n + 1``
tokens has ``n`` positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Window:
    """Positions ``start:end`` are the model's input; ``scored:end`` of them are counted."""

    start: int
    scored: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Positions ``start:end`` that are trained on together, after ``windows`` have scored them."""

    index: int
    start: int
    end: int
    windows: tuple[Window, ...]


def sliding_windows(positions: int, seq_len: int, stride: int, *, repeat_tail: bool = False) -> list[Window]:
    """Windows of up to ``seq_len`` positions that score each of ``positions`` once, the first window all of its own.

    With ``repeat_tail`` windows go on after the end is reached, each with less context, while they hold ``stride``
    positions; each of them scores the last ``stride`` once more. Raises ``ValueError`` unless 0 < stride <= seq_len.
    """
    if not 0 < stride <= seq_len:
        raise ValueError(f"a stride of {stride} does not fit windows of {seq_len}")
    if repeat_tail:
        return _repeating(positions, seq_len, stride)
    found: list[Window] = []
    scored = 0
    for start in range(0, positions, stride):
        end = min(start + seq_len, positions)
        if end > scored:
            found.append(Window(start, scored, end))
        scored = end
    return found


def _repeating(positions: int, seq_len: int, stride: int) -> list[Window]:
    found: list[Window] = []
    for start in range(0, positions, stride):
        end = min(start + seq_len, positions)
        if end - start >= stride or start == 0:
            found.append(Window(start, 0 if start == 0 else end - stride, end))
    return found


def cut(positions: int, chunk_tokens: int, windows: list[Window]) -> list[Chunk]:
    """The chunks of the stream; a window belongs to the chunk of the first position that it scores.

    So all of a chunk's positions are scored before the chunk is over: by its own windows, or by the last one of the
    chunk before, which may reach into it.
    """
    count = -(-positions // chunk_tokens)
    members: list[list[Window]] = [[] for _ in range(count)]
    for window in windows:
        members[min(window.scored // chunk_tokens, count - 1)].append(window)
    return [Chunk(i, i * chunk_tokens, min((i + 1) * chunk_tokens, positions), tuple(members[i])) for i in range(count)]


def share(count: int, rank: int, world: int) -> range:
    """Which of ``count`` things are those of process ``rank`` of ``world``."""
    return range(count * rank // world, count * (rank + 1) // world)


def place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
