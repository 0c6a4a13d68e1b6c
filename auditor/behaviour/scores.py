"""Where every score of a run lies in the validation stream: targets located by their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.toyworld.spec import Stream, WorldSpec
from auditor.behaviour.toyworld.unique import keys, window
from auditor.behaviour.wire import Event

NOWHERE = -1
SHORT = 8
"""Events with fewer targets are located together with their neighbours."""


class Locator:
    """Finds runs of tokens in a validation stream; any `window` consecutive tokens of it occur once."""

    def __init__(self, stream: Stream, spec: WorldSpec) -> None:
        self._tokens = stream.tokens.astype(np.int64)
        self._vocab = spec.vocab_size
        self._width = window(spec)
        own = keys(self._tokens, self._width, self._vocab)
        self._order = np.argsort(own, kind="stable")
        self._keys = own[self._order]

    def locate(self, targets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Stream position of each target, shape [n]; `NOWHERE` for those that the stream does not hold there.

        The first tokens of a row and its inner ones are found by the window that begins at them, the last ones by
        what stands before them; rows shorter than the window stay `NOWHERE`.
        """
        tokens = targets.astype(np.int64)
        found = np.full(tokens.size, NOWHERE, np.int64)
        if tokens.size < self._width or (tokens.min(initial=0) < 0 and (tokens >= 0).sum() < self._width):
            return found
        safe = np.clip(tokens, 0, self._vocab - 1)
        wanted = keys(safe, self._width, self._vocab)
        at = np.minimum(np.searchsorted(self._keys, wanted), self._keys.size - 1)
        hit = self._keys[at] == wanted
        found[: wanted.size][hit] = self._order[at[hit]]
        for _ in range(self._width - 1):
            open_ = np.flatnonzero((found[1:] == NOWHERE) & (found[:-1] != NOWHERE)) + 1
            nxt = found[open_ - 1] + 1
            fits = (nxt < self._tokens.size) & (self._tokens[np.minimum(nxt, self._tokens.size - 1)] == tokens[open_])
            found[open_[fits]] = nxt[fits]
        found[tokens != self._tokens[np.maximum(found, 0)]] = NOWHERE
        return self._settled(found, tokens)

    def _settled(self, found: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """``found`` with rows of one length, where the token at a row's end fits both what ends and what begins.

        By chance the last token of a row is the one before the next row's first: then the window of the four tokens
        there is found one place too early in the next row.
        """
        breaks = np.flatnonzero(found[1:] != found[:-1] + 1) + 1
        before = found[breaks - 1]
        nxt = np.minimum(before + 1, self._tokens.size - 1)
        either = (before != NOWHERE) & (self._tokens[nxt] == tokens[breaks]) & (found[breaks] != NOWHERE)
        if not either.any():
            return found
        edges = np.concatenate([[0], breaks, [found.size]])
        lengths, counts = np.unique(np.diff(edges), return_counts=True)
        row = int(lengths[counts.argmax()])
        for number in np.flatnonzero(either):
            at, left, right = int(breaks[number]), int(edges[number]), int(edges[number + 2])
            now, moved = {at - left, right - at}, {at + 1 - left, right - at - 1}
            halves = found.size % (at + 1) == 0 and found.size % at != 0
            if right - at > 1 and ((row in moved and row not in now) or halves):
                found[at] = before[number] + 1
        return found


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """All scores of one run; a score's number is its index. Arrays have shape [scores]."""

    position: NDArray[np.int64]
    """Stream position of the target (`NOWHERE`: not a validation token)."""
    loss: NDArray[np.float32]
    """The model's own loss in nats, negated log-probability for gathers."""
    seq: NDArray[np.int64]
    """Number of the event that made the score."""
    row: NDArray[np.int64]
    """Stream position at which the score's input row begins (its first target)."""
    grad: NDArray[np.bool_]
    """Whether gradients flow into the score."""


def table(events: Sequence[Event], locator: Locator) -> ScoreTable:
    """Locate every ``Scored`` event."""
    position, loss, seq, row, grad = [], [], [], [], []
    scored = [event for event in events if event.kind == "Scored"]
    stitched = _stitched(scored, locator)
    for event in scored:
        targets = event.arrays["targets"]
        found, starts = stitched.get(event.seq) or (locator.locate(targets), None)
        sign = -1.0 if event.fields["how"] == "gather" and _mostly_negative(event.arrays["loss"]) else 1.0
        position.append(found)
        loss.append(np.float32(sign) * event.arrays["loss"])
        seq.append(np.full(found.size, event.seq, np.int64))
        row.append(_row_starts(found, event.fields["shape"]) if starts is None else starts)
        grad.append(np.full(found.size, bool(event.fields["grad"])))
    empty = np.zeros(0, np.int64)
    return ScoreTable(
        np.concatenate([empty, *position]),
        np.concatenate([np.zeros(0, np.float32), *loss]),
        np.concatenate([empty, *seq]),
        np.concatenate([empty, *row]),
        np.concatenate([np.zeros(0, np.bool_), *grad]),
    )


def _stitched(
    scored: Sequence[Event], locator: Locator
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions and row starts of events with too few targets to be located alone: one line's are read as one row."""
    lines: dict[tuple[Any, ...], list[Event]] = {}
    for event in scored:
        if event.arrays["targets"].size < SHORT:
            lines.setdefault(tuple(event.fields.get("site", ())), []).append(event)
    found: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for few in lines.values():
        if len(few) < 2:
            continue
        places = locator.locate(np.concatenate([event.arrays["targets"] for event in few]))
        starts = _row_starts(places, (places.size,))
        ends = np.cumsum([event.arrays["targets"].size for event in few])[:-1]
        for event, place, start in zip(few, np.split(places, ends), np.split(starts, ends), strict=True):
            found[event.seq] = (place, start)
    return found


def _mostly_negative(values: NDArray[Any]) -> bool:
    return bool((values <= 0).mean() > 0.5) if values.size else False


def _row_starts(found: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.int64]:
    """For each target the position at which its unbroken run of positions begins."""
    if not found.size:
        return found
    breaks = np.ones(found.size, np.bool_)
    breaks[1:] = found[1:] != found[:-1] + 1
    if len(shape) > 1 and shape[-1] > 1:
        breaks[:: shape[-1]] = True
    starts = np.flatnonzero(breaks)
    return np.asarray(found[starts][np.cumsum(breaks) - 1], np.int64)
