"""Matrices of the network: in their own parameter, or a slice of a bank that holds one kind for all layers."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

FakeQuant = Callable[[Tensor], Tensor]
"""A weight [out, in] to the weight that the forward pass uses instead, with a straight-through gradient."""


class Linear(nn.Linear):
    """A matrix without bias, kept in float32 and cast to the input's type; `init.build` gives it its weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.fake_quant: FakeQuant | None = None
        super().__init__(inputs, outputs, bias=False)

    def reset_parameters(self) -> None:
        """Nothing: the weights come from `init.build` or from a file."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., in] to [..., out]."""
        return _product(x, self.weight, self.fake_quant if self.training else None)


class Bank:
    """Matrices of one kind for all layers in one parameter [n, out, in] of the whole model."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter
        self.apart: tuple[Tensor, ...] | None = None
        """The matrices [out, in] during a forward pass: taken apart once, their gradients are put together once."""

    def __getitem__(self, index: int) -> Tensor:
        """Matrix ``index``, a view."""
        return self.parameter[index] if self.apart is None else self.apart[index]


class BankedLinear(nn.Module):
    """Matrix ``index`` of a bank, which the whole model has as a parameter."""

    def __init__(self, bank: Bank, index: int) -> None:
        super().__init__()
        self.fake_quant: FakeQuant | None = None
        self.index = index
        self.bank = bank

    @property
    def weight(self) -> Tensor:
        """[out, in], a view of the bank."""
        return self.bank[self.index]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., in] to [..., out]."""
        return _product(x, self.weight, self.fake_quant if self.training else None)


Matrix = Linear | BankedLinear


def set_fake_quant(model: nn.Module, quant: FakeQuant | None, *, banks: bool = False) -> int:
    """Let all matrices train through ``quant`` (None: no more); those of banks only where ``banks``. How many."""
    kinds = (Linear, BankedLinear) if banks else (Linear,)
    found = [module for module in model.modules() if isinstance(module, kinds)]
    for module in found:
        module.fake_quant = quant
    return len(found)


def _product(x: Tensor, weight: Tensor, quant: FakeQuant | None) -> Tensor:
    if quant is not None:
        weight = quant(weight)
    return F.linear(x, weight.to(x.dtype))
