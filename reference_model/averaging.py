"""Averages of the weights over training: exponential (EMA) and stochastic (SWA), in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a model's state: ``average = decay * average + (1 - decay) * weights``.

    It starts at the weights that the model has when it is made. In closed form, after n updates with weights w_1..w_n,
    ``decay^n w_0 + (1 - decay) * sum_k decay^(n - k) w_k``. Raises `ValueError` on a decay outside [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"the decay of an average is in [0, 1), not {decay}")
        self.decay = decay
        self._average = {name: t.detach().float().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights that ``model`` has now."""
        state = model.state_dict()
        averages = [average for name, average in self._average.items()]
        torch._foreach_lerp_(averages, [state[name].detach().float() for name in self._average], 1.0 - self.decay)

    def average(self) -> dict[str, Tensor]:
        """The averaged state, float32."""
        return {name: t.clone() for name, t in self._average.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return dict(self._average)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint. Raises `KeyError` where a tensor is missing."""
        for name, average in self._average.items():
            average.copy_(state[name])


class Swa:
    """The plain mean of the weights at the times that `update` was called; empty until then."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights that ``model`` has now."""
        for name, tensor in model.state_dict().items():
            if name in self._sum:
                self._sum[name] += tensor.detach().float()
            else:
                self._sum[name] = tensor.detach().float().clone()
        self.count += 1

    def average(self) -> dict[str, Tensor]:
        """The mean state, float32. Raises `ValueError` before the first `update`."""
        if self.count == 0:
            raise ValueError("no weights have been averaged yet")
        return {name: total / self.count for name, total in self._sum.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint; the count is in it as ``__count__``."""
        return {**self._sum, "__count__": torch.tensor(self.count)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        self.count = int(state["__count__"])
        self._sum = {name: t.clone() for name, t in state.items() if name != "__count__"}


def load_average(model: nn.Module, average: Mapping[str, Tensor]) -> None:
    """Put an averaged state into ``model``, in the dtypes that it has. Raises `RuntimeError` where names differ."""
    current = model.state_dict()
    model.load_state_dict({name: t.to(current[name].dtype) for name, t in average.items()}, strict=True)
