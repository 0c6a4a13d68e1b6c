"""Matrices that a script sets to zero begin small; all else that is zero stays so."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from auditor.behaviour.shims import initial
from auditor.behaviour.shims.context import ShimContext


@pytest.fixture
def shimmed(ctx: ShimContext) -> ShimContext:
    initial.install(ctx)
    return ctx


@pytest.mark.usefixtures("shimmed")
class TestZeros:
    """What `nn.init` gives under the shim."""

    def test_a_projection_is_small_and_the_same_each_time(self) -> None:
        a, b = nn.Linear(32, 48), nn.Linear(32, 48)
        for layer in (a, b):
            assert nn.init.zeros_(layer.weight) is layer.weight
        assert torch.equal(a.weight, b.weight) and a.weight.requires_grad
        assert 0.04 < a.weight.std().item() < 0.14

    def test_constant_zero_is_zero_and_other_constants_are_kept(self) -> None:
        layer = nn.Linear(8, 8)
        nn.init.constant_(layer.weight, 0.0)
        assert layer.weight.abs().max().item() > 0
        nn.init.constant_(layer.weight, 0.25)
        assert torch.equal(layer.weight.detach(), torch.full((8, 8), 0.25))

    @pytest.mark.parametrize("shape", [(8,), (1, 8), (8, 1), ()])
    def test_vectors_and_gates_stay_zero(self, shape: tuple[int, ...]) -> None:
        parameter = nn.Parameter(torch.ones(shape))
        nn.init.zeros_(parameter)
        assert not parameter.detach().any()

    def test_tables_stay_zero(self) -> None:
        table = torch.ones(16, 16)
        nn.init.zeros_(table)
        assert not table.any()

    def test_no_number_is_drawn(self) -> None:
        before = torch.get_rng_state()
        nn.init.zeros_(nn.Parameter(torch.ones(4, 4)))
        assert torch.equal(before, torch.get_rng_state())

    def test_matrices_without_memory_are_left_alone(self) -> None:
        nn.init.zeros_(nn.Parameter(torch.empty(4, 4, device="meta")))


def test_it_is_undone(ctx: ShimContext) -> None:
    initial.install(ctx)
    ctx.restore()
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    assert not layer.weight.detach().any()
