"""Checksums of what optimizers hold, so that the host can tell an update that was undone from one that was kept."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch

SAMPLES = 16
MAX_LOOKS = 6000


class WeightBook:
    """The optimizers that ever stepped, by number, and cheap checksums of their parameters."""

    def __init__(self) -> None:
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._before: dict[int, float] = {}
        self._looks = 0

    def number(self, optimizer: Any) -> int:
        """The number of ``optimizer``, given at its first step."""
        return self._numbers.setdefault(optimizer, len(self._numbers))

    def before(self, optimizer: Any) -> None:
        """Note the checksum before a step."""
        self._before[self.number(optimizer)] = self._look(optimizer)

    def step(self, optimizer: Any) -> dict[str, Any]:
        """Fields of ``Stepped``: the optimizer's number, its parameters' checksum before and after (0: not looked)."""
        number = self.number(optimizer)
        return {"id": number, "before": self._before.get(number, 0.0), "after": self._look(optimizer)}

    def now(self) -> list[list[float]]:
        """``[number, checksum]`` of every live optimizer; empty when none ever stepped or too often asked."""
        return [[number, self._look(optimizer)] for optimizer, number in list(self._numbers.items())]

    def _look(self, optimizer: Any) -> float:
        """A number made of a few elements of every parameter; 0 when too often asked."""
        self._looks += 1
        if self._looks > MAX_LOOKS:
            return 0.0
        total = 0.0
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for i, group in enumerate(optimizer.param_groups):
                for j, parameter in enumerate(group["params"]):
                    total += (1.0 + i + 0.37 * j) * _sample(parameter)
        return total


def _sample(parameter: torch.Tensor) -> float:
    flat = parameter.detach().reshape(-1)
    if not flat.numel() or not flat.is_floating_point():
        return 0.0
    few = flat[:: max(1, flat.numel() // SAMPLES)][: SAMPLES + 1].to(torch.float64).numpy()
    return float(few @ np.arange(1.0, few.size + 1.0))
