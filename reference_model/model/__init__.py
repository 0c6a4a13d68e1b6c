"""The network: `build(config, seed)` gives a `GPT` with its first weights."""

from __future__ import annotations

from reference_model.model.init import build
from reference_model.model.linear import BankedLinear, Linear, set_fake_quant
from reference_model.model.transformer import GPT

__all__ = ["GPT", "BankedLinear", "Linear", "build", "set_fake_quant"]
