"""Pruning: the smallest weights to zero before quantisation, or values of +-1 afterwards until the artifact fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reference_model.quantisation.quantised import Quantised
from reference_model.quantisation.rows import quantile


def prune_smallest(tensor: Tensor, fraction: float, keep_numel: int) -> Tensor:
    """A float matrix of more than ``keep_numel`` elements with its ``fraction`` of smallest magnitudes set to zero.

    Weights below the quantile of the magnitudes go: of n different ones, ceil(fraction * (n - 1)). Other tensors and a
    fraction of 0 give ``tensor`` itself.
    """
    if fraction <= 0 or tensor.ndim != 2 or not tensor.is_floating_point() or tensor.numel() <= keep_numel:
        return tensor
    threshold = quantile(tensor.abs().float().flatten(), fraction)
    return tensor.masked_fill(tensor.abs() < threshold, 0.0)


@dataclass(frozen=True, slots=True)
class SelectivePruning:
    """What selective pruning did."""

    quantised: Quantised
    bytes: int
    """Of the artifact that is left."""
    pruned: int
    candidates: int
    """Values of +-1 in matrices with one scale for each row."""


def prune_ones(quantised: Quantised, size: Callable[[Quantised], int], limit: int) -> SelectivePruning:
    """Set the fewest values of +-1 to zero, those of the smallest scale first, so that ``size`` is at most ``limit``.

    The error of each is its scale squared. ``size`` is called about log2(candidates) times. All are pruned where even
    that is not enough: compare ``bytes`` with ``limit``.
    """
    ones = _Ones(quantised)
    least, most = 0, ones.count
    best, found = quantised, size(quantised)
    if found <= limit or not most:
        return SelectivePruning(best, found, 0, most)
    best = ones.without(most)
    found = size(best)
    if found > limit:
        return SelectivePruning(best, found, most, most)
    while least < most:
        middle = (least + most) // 2
        trial = ones.without(middle)
        bytes_now = size(trial)
        if bytes_now <= limit:
            best, found, most = trial, bytes_now, middle
        else:
            least = middle + 1
    return SelectivePruning(best, found, most, ones.count)


class _Ones:
    """All values of +-1 in rows of six bits or fewer, by their error."""

    def __init__(self, quantised: Quantised) -> None:
        self._quantised = quantised
        self._names: list[str] = []
        places, errors = [], []
        for name, entry in quantised.tensors.items():
            if entry.scale is None or entry.scale.ndim == 0 or entry.form not in ("int6_row", "int5_row"):
                continue
            where = (entry.values.abs() == 1).flatten().nonzero().flatten()
            row = where // (entry.values.numel() // len(entry.values))
            self._names.append(name)
            places.append(where)
            errors.append(entry.scale.float()[row].pow(2))
        self._owner = torch.cat([torch.full_like(p, i) for i, p in enumerate(places)]) if places else torch.empty(0)
        self._place = torch.cat(places) if places else torch.empty(0, dtype=torch.int64)
        every = torch.cat(errors) if errors else torch.empty(0)
        self._order = torch.sort(every, stable=True).indices
        self.count = len(self._order)

    def without(self, number: int) -> Quantised:
        """The weights with the first ``number`` of them set to zero."""
        chosen = self._order[:number]
        owner, place = self._owner[chosen], self._place[chosen]
        tensors = dict(self._quantised.tensors)
        for index, name in enumerate(self._names):
            mine = place[owner == index]
            if len(mine):
                values = tensors[name].values.clone()
                values.view(-1)[mine] = 0
                tensors[name] = replace(tensors[name], values=values)
        return replace(self._quantised, tensors=tensors)
