"""From float weights to small integers and back: rows, clip search, GPTQ, pruning, straight-through training."""

from __future__ import annotations

from reference_model.quantisation.mixed import dequantise, quantise
from reference_model.quantisation.quantised import Form, Quantised, QuantisedTensor

__all__ = ["Form", "Quantised", "QuantisedTensor", "dequantise", "quantise"]
