"""Muon: momentum, orthogonalised by a Newton-Schulz iteration, for matrices (Jordan et al. 2024).

Notable choices:

- The iteration runs in bfloat16 on CUDA and in float32 elsewhere; what it returns is not U V^T but U S V^T with the
  singular values S in a band around 1 (`zeropower`).
- All matrices of one shape go through one batched iteration; a bank [layers, rows, columns] is ``layers`` matrices.
- Distributed: gradients arrive averaged (DDP), every rank keeps all momenta and orthogonalises its share of the
  matrices; one all-gather for each shape brings the updates together. So one rank's checkpoint is that of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
import torch.distributed as dist
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of x -> a x + b x^3 + c x^5, chosen for a steep slope at 0 (https://kellerjordan.github.io/posts/muon/)."""
EPSILON = 1e-7


def zeropower(
    matrices: Tensor,
    steps: int = 5,
    *,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Push the singular values of ``matrices``, [rows, columns] or [n, rows, columns], towards 1; the vectors stay.

    The quintic iteration works in ``dtype``; None: bfloat16 on CUDA, float32 elsewhere. It does not converge: after
    five steps singular values that were at least 0.01 of the norm lie in 0.68 to 1.135. Returns a tensor of the same
    shape in that dtype. A matrix of zeros stays zero.
    """
    a, b, c = coefficients
    if dtype is None:
        dtype = torch.bfloat16 if matrices.is_cuda else torch.float32
    x = matrices.to(dtype)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    norm: Tensor = x.norm(dim=(-2, -1), keepdim=True)
    x = x / (norm + EPSILON)
    for _ in range(steps):
        gram = x @ x.mT
        x = _plus_product(x, _plus_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _plus_product(added: Tensor, left: Tensor, right: Tensor, *, beta: float, alpha: float = 1.0) -> Tensor:
    """beta * added + alpha * left @ right, in one pass, for matrices or batches of them."""
    fused = torch.addmm if added.ndim == 2 else torch.baddbmm
    return fused(added, left, right, beta=beta, alpha=alpha)


def normalise_rows(matrices: Tensor) -> Tensor:
    """Every row of ``matrices`` [..., rows, columns] divided by its length (MuonEq's form "R"). Zero rows stay zero."""
    lengths: Tensor = matrices.norm(dim=-1, keepdim=True)
    return matrices / (lengths + EPSILON)


def update_scale(rows: int, columns: int) -> float:
    """max(1, rows / columns)^0.5: the factor that keeps the size of an output's change the same for every shape."""
    return math.sqrt(max(1.0, rows / columns))


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose update of each matrix is orthogonalised.

    Parameters are matrices [rows, columns] or banks [layers, rows, columns]; `ValueError` for any other shape. With an
    initialised process group the work is shared between the ranks (see the module); every rank must hold the same
    gradients and call `step` together. ``orthogonalise`` may be a compiled `zeropower`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        steps: int = 5,
        weight_decay: float = 0.0,
        nesterov: bool = True,
        row_norm: bool = False,
        orthogonalise: Callable[[Tensor, int], Tensor] = zeropower,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "steps": steps,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "row_norm": row_norm,
        }
        super().__init__(params, defaults)
        self._orthogonalise = orthogonalise
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim not in (2, 3):
                    raise ValueError(f"Muon takes matrices and banks of them, not a shape {list(param.shape)}")

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for params in by_shape(p for p in group["params"] if p.grad is not None):
                self._update(params, group)
        return loss

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Parameters of one shape (but for the number of layers of a bank) together."""
        directions = torch.cat([self._direction(p, group) for p in params])
        if group["row_norm"]:
            directions = normalise_rows(directions)
        updates = shared(directions, lambda part: self._orthogonalise(part, group["steps"]))
        scale = update_scale(updates.size(-2), updates.size(-1))
        done = 0
        for param in params:
            count = _count(param)
            param.mul_(1.0 - group["lr"] * group["weight_decay"])
            param.add_(updates[done : done + count].view_as(param).to(param.dtype), alpha=-group["lr"] * scale)
            done += count

    def _direction(self, param: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient after momentum, [matrices, rows, columns]; `step` has seen that there is a gradient."""
        gradient = param.grad
        assert gradient is not None
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"]
        buffer.mul_(group["momentum"]).add_(gradient)
        direction = gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        return direction.reshape(-1, *param.shape[-2:])


def by_shape(params: Iterable[Tensor]) -> list[list[Tensor]]:
    """Parameters grouped by the shape and dtype of their matrices, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Tensor]] = {}
    for param in params:
        groups.setdefault((param.shape[-2:], param.dtype, param.device), []).append(param)
    return list(groups.values())


def _count(param: Tensor) -> int:
    return 1 if param.ndim == 2 else param.size(0)


def shared(matrices: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
    """``work(matrices)``, a function of each matrix of [matrices, rows, columns] alone, shared between all ranks."""
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if world == 1:
        return work(matrices)
    share = -(-matrices.size(0) // world)
    start = min(dist.get_rank() * share, matrices.size(0))
    mine = matrices[start : start + share]
    done = work(mine) if mine.size(0) else None
    dtype = done.dtype if done is not None else work(matrices[:1]).dtype
    part = matrices.new_zeros((share, *matrices.shape[1:]), dtype=dtype)
    if done is not None:
        part[: done.size(0)] = done
    parts = matrices.new_empty((share * world, *matrices.shape[1:]), dtype=dtype)
    dist.all_gather_into_tensor(parts, part)
    return parts[: matrices.size(0)]
