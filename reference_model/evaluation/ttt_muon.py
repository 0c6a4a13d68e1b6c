"""Updates whose matrices are orthogonalised, without momentum: the test-time training of `muon_ttt_1406`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from reference_model.optim.muon import zeropower


class NewtonSchulz(Optimizer):
    """Matrices [.., m, n] move by ``lr`` times their orthogonalised gradient, vectors by ``lr`` times the gradient."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, steps: int = 3) -> None:
        super().__init__(parameters, {"lr": lr, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update; no closure is taken."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = parameter.grad.float()
                if update.ndim >= 2:
                    update = zeropower(update, group["steps"])
                parameter.add_(update.to(parameter.dtype), alpha=-group["lr"])
