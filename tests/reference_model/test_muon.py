"""Muon: the singular values of what it applies, its forms against each other, and the shared work of two processes."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from reference_model.optim.muon import COEFFICIENTS, Muon, normalise_rows, update_scale, zeropower
from reference_model.training.distributed import started

BAND = (0.68, 1.135)
"""Of the singular values after five steps, where each was at least a hundredth of the matrix's norm: the polynomial's
own extremes there are 0.6818 and 1.1344 (200,001 points between 0.01 and 1)."""
SHAPES = [(64, 64), (64, 192), (192, 64), (5, 33)]


def conditioned(rows: int, columns: int, smallest: float = 0.05, seed: int = 0) -> Tensor:
    """A matrix with singular values between ``smallest`` and 1."""
    generator = torch.Generator().manual_seed(seed)
    u, _, vh = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    values = torch.linspace(smallest, 1.0, min(rows, columns))
    matrix: Tensor = (u * values) @ vh
    return matrix


def in_band(matrix: Tensor) -> bool:
    values = torch.linalg.svdvals(matrix.float())
    return bool(values.min() >= BAND[0] and values.max() <= BAND[1])


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_singular_values_are_in_their_band(rows: int, columns: int) -> None:
    assert in_band(zeropower(conditioned(rows, columns)))


def test_the_band_is_the_polynomials_own() -> None:
    """Singular values are mapped one by one, so a diagonal matrix shows the whole curve."""
    values = torch.logspace(-2, 0, 400, dtype=torch.float64)
    matrix = torch.diag(values * 0.999 / values.norm())
    kept = values * 0.999 / values.norm() > 0.01
    mapped = zeropower(matrix, dtype=torch.float64).diagonal()[kept]
    assert BAND[0] < mapped.min() < 0.70 and 1.10 < mapped.max() < BAND[1]


def test_bfloat16_stays_near_the_band() -> None:
    values = torch.linalg.svdvals(zeropower(conditioned(64, 64), dtype=torch.bfloat16).float())
    assert values.min() > 0.6 and values.max() < 1.2


@pytest.mark.parametrize("changed", [(3.0, -4.7750, 2.0315), (3.4445, -4.0, 2.0315), (3.4445, -4.7750, 2.3)])
def test_a_wrong_coefficient_is_noticed(changed: tuple[float, float, float]) -> None:
    assert not in_band(zeropower(conditioned(64, 64), coefficients=changed))


def test_too_few_steps_are_noticed() -> None:
    assert not in_band(zeropower(conditioned(64, 64), 3))


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_singular_vectors_are_kept(rows: int, columns: int) -> None:
    """U'^T result V is diagonal: each singular direction is only scaled, by the polynomial of its own value."""
    matrix = conditioned(rows, columns).double()
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    values = s / (matrix.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(zeropower(matrix, dtype=torch.float64), (u * values) @ vh, atol=1e-9, rtol=1e-9)


def test_a_bank_is_its_matrices_one_by_one() -> None:
    bank = torch.stack([conditioned(48, 32, seed=seed) * (seed + 1) for seed in range(3)])
    one_by_one = torch.stack([zeropower(matrix) for matrix in bank])
    torch.testing.assert_close(zeropower(bank), one_by_one, atol=2e-6, rtol=1e-5)


def test_a_zero_gradient_moves_nothing() -> None:
    assert not zeropower(torch.zeros(8, 4)).any() and not normalise_rows(torch.zeros(8, 4)).any()


def test_rows_have_length_one() -> None:
    matrix = torch.randn(7, 30, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 3, 7)[:, None]
    torch.testing.assert_close(normalise_rows(matrix).norm(dim=-1), torch.ones(7), atol=1e-4, rtol=0)


def test_row_norm_comes_before_newton_schulz() -> None:
    start, gradient = torch.zeros(6, 12), torch.randn(6, 12, generator=torch.Generator().manual_seed(2))
    stepped = one_step(start, gradient, row_norm=True, momentum=0.0)
    torch.testing.assert_close(stepped, -0.02 * zeropower(normalise_rows(gradient)))
    assert not torch.allclose(stepped, -0.02 * normalise_rows(zeropower(gradient)), atol=1e-4)


def one_step(start: Tensor, gradient: Tensor, **settings: object) -> Tensor:
    param = nn.Parameter(start.clone())
    optimizer = Muon([param], **settings)  # type: ignore[arg-type]
    param.grad = gradient.clone()
    optimizer.step()
    return param.detach()


def test_two_steps_against_the_formula() -> None:
    """Nesterov momentum, decoupled decay and the scale of a tall matrix, written out."""
    generator = torch.Generator().manual_seed(3)
    weight, g1, g2 = (torch.randn(16, 4, generator=generator) for _ in range(3))
    param = nn.Parameter(weight.clone())
    optimizer = Muon([param], lr=0.1, momentum=0.9, weight_decay=0.5)
    for gradient in (g1, g2):
        param.grad = gradient.clone()
        optimizer.step()
    w = weight * (1 - 0.1 * 0.5) - 0.1 * 2.0 * zeropower(g1 + 0.9 * g1)
    buffer = 0.9 * g1 + g2
    w = w * (1 - 0.1 * 0.5) - 0.1 * 2.0 * zeropower(g2 + 0.9 * buffer)
    torch.testing.assert_close(param.detach(), w)


def test_scale_of_shapes() -> None:
    assert update_scale(1536, 512) == pytest.approx(3**0.5) and update_scale(512, 1536) == 1.0


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.zeros(3))])


def parameters() -> list[nn.Parameter]:
    """Three matrices of one shape, one of another and a bank: neither count is a multiple of two processes."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(8, 12), (8, 12), (20, 6), (8, 12), (3, 20, 6)]
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in shapes]


def three_steps(params: list[nn.Parameter]) -> list[Tensor]:
    optimizer = Muon(params, lr=0.05, momentum=0.9, weight_decay=0.1, row_norm=True)
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()
    return [param.detach() for param in params]


def _process(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    with started("cpu"):
        torch.save(three_steps(parameters()), Path(folder) / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_give_the_single_process_result(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(rank, port, str(tmp_path))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for single, a, b in zip(three_steps(parameters()), first, second, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, single, atol=1e-5, rtol=1e-5)
