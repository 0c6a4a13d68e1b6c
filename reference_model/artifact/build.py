"""From float weights to the artifact's bytes: prune, quantise, prune until it fits, pack, account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from reference_model.artifact.accounting import Accounting, account
from reference_model.artifact.container import pack
from reference_model.config import QuantConfig
from reference_model.quantisation.mixed import quantise
from reference_model.quantisation.pruning import prune_ones
from reference_model.quantisation.quantised import Quantised


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact and what it is made of."""

    data: bytes
    quantised: Quantised
    accounting: Accounting
    pruned_ones: int = 0
    """Values of +-1 that selective pruning set to zero."""
    ones: int = 0
    """Values of +-1 that it could have."""


def build(
    state: Mapping[str, Tensor], config: QuantConfig, code: int = 0, hessians: Mapping[str, Tensor] | None = None
) -> Artifact:
    """The artifact of ``state`` beside ``code`` bytes of code. Raises `QuantisationError`, `ArtifactError`."""
    quantised = quantise(state, config, hessians)
    if not config.selective_prune_bytes:
        data = pack(quantised, config)
        return Artifact(data, quantised, account(quantised, data, code, config))
    tried: list[tuple[Quantised, bytes]] = []

    def size(trial: Quantised) -> int:
        tried[:] = [(trial, pack(trial, config))]
        return len(tried[0][1])

    done = prune_ones(quantised, size, config.selective_prune_bytes - code)
    last, packed = tried[0]
    data = packed if last is done.quantised else pack(done.quantised, config)
    return Artifact(data, done.quantised, account(done.quantised, data, code, config), done.pruned, done.candidates)
