"""What quantisation gives: integers with their scales, or a float tensor that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reference_model.config import Scheme

Form = Scheme | Literal["as_is"]
"""How a tensor is stored; ``as_is``: not touched, say because it holds no floats."""
INTEGER_FORMS = ("int8_tensor", "int8_row", "int6_row", "int5_row")


@dataclass(frozen=True, slots=True)
class QuantisedTensor:
    """One tensor of the artifact. The weight is ``values`` times ``scale``, row by row, as ``dtype``."""

    values: Tensor
    """int8 [rows, columns] for an integer form; else the kept tensor."""
    scale: Tensor | None
    """[rows] or [] (one for the tensor), float16 or float32; None: kept."""
    form: Form
    dtype: torch.dtype
    """Of the weight that comes back."""

    def weight(self) -> Tensor:
        """The dequantised weight: product in float32, then ``dtype``."""
        if self.scale is None:
            return self.values.to(self.dtype)
        scale = self.scale.float()
        if scale.ndim:
            scale = scale.view(-1, *[1] * (self.values.ndim - 1))
        return (self.values.float() * scale).to(self.dtype)


@dataclass(frozen=True, slots=True)
class Quantised:
    """A whole state dict, quantised; matrices of banks under their names by layer (`quantisation.banks`)."""

    tensors: Mapping[str, QuantisedTensor]


class QuantisationError(ValueError):
    """Weights that cannot be quantised as asked; the message is one sentence."""
