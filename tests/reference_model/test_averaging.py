"""EMA against its closed form, SWA against the mean."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from reference_model.averaging import Ema, Swa, load_average

WEIGHTS = [torch.randn(3, 4, generator=torch.Generator().manual_seed(k)) for k in range(9)]


def closed_form(decay: float) -> Tensor:
    """decay^n w_0 + (1 - decay) * sum_k decay^(n - k) w_k, in float64."""
    n = len(WEIGHTS) - 1
    total = decay**n * WEIGHTS[0].double()
    for k in range(1, n + 1):
        total += (1 - decay) * decay ** (n - k) * WEIGHTS[k].double()
    return total


def model_with(weights: Tensor) -> nn.Linear:
    model = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(weights)
    return model


def after_all(decay: float) -> Tensor:
    model = model_with(WEIGHTS[0])
    ema = Ema(model, decay)
    for weights in WEIGHTS[1:]:
        with torch.no_grad():
            model.weight.copy_(weights)
        ema.update(model)
    return ema.average()["weight"]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.997])
def test_ema_is_its_closed_form(decay: float) -> None:
    torch.testing.assert_close(after_all(decay).double(), closed_form(decay), atol=1e-6, rtol=1e-6)


def test_a_wrong_decay_is_noticed() -> None:
    assert not torch.allclose(after_all(0.997).double(), closed_form(0.996), atol=1e-6, rtol=1e-6)


def test_ema_keeps_what_float32_keeps() -> None:
    """A bfloat16 average would lose steps of 0.003 of the difference altogether."""
    model = model_with(torch.ones(3, 4)).bfloat16()
    ema = Ema(model, 0.997)
    with torch.no_grad():
        model.weight.fill_(1.0078125)
    for _ in range(100):
        ema.update(model)
    expected = 1.0078125 - 0.0078125 * 0.997**100
    assert ema.average()["weight"].flatten().tolist() == pytest.approx([expected] * 12, abs=1e-6)
    load_average(model, ema.average())
    assert model.weight.dtype == torch.bfloat16


def test_ema_does_not_hold_the_models_own_tensors() -> None:
    model = model_with(WEIGHTS[0])
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model.weight.zero_()
    torch.testing.assert_close(ema.average()["weight"], WEIGHTS[0])


def test_swa_is_the_mean() -> None:
    swa, model = Swa(), model_with(WEIGHTS[0])
    for weights in WEIGHTS:
        with torch.no_grad():
            model.weight.copy_(weights)
        swa.update(model)
    assert swa.count == len(WEIGHTS)
    torch.testing.assert_close(swa.average()["weight"], torch.stack(WEIGHTS).mean(0))


def test_states_are_restored() -> None:
    model = model_with(WEIGHTS[0])
    ema, swa = Ema(model_with(WEIGHTS[1]), 0.9), Swa()
    swa.update(model)
    again, swa_again = Ema(model, 0.9), Swa()
    again.load_state_dict(ema.state_dict())
    swa_again.load_state_dict(swa.state_dict())
    torch.testing.assert_close(again.average()["weight"], WEIGHTS[1])
    assert swa_again.count == 1
    torch.testing.assert_close(swa_again.average()["weight"], WEIGHTS[0])


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="decay"):
        Ema(nn.Linear(1, 1), 1.0)
    with pytest.raises(ValueError, match="averaged"):
        Swa().average()
    with pytest.raises(RuntimeError, match="weight"):
        load_average(nn.Linear(4, 3, bias=False), {})
