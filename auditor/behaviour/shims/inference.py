"""``torch.inference_mode`` becomes ``torch.no_grad``: a CPU tensor made under it may be saved for backward later.

On the real machine compiled graphs hide most of the difference; run eagerly, "Inference tensors cannot be saved for
backward" would stop scripts that never meet it. The values computed are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from auditor.behaviour.shims.context import ShimContext


class InferenceMode:
    """``inference_mode()``, ``inference_mode(False)`` and ``@inference_mode`` with or without brackets."""

    depth = 0

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        """Decorate at once when called with a function, as the real one does."""
        if callable(mode):
            return cls(True)(mode)
        return super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.mode = bool(mode)
        self._stack: list[torch.no_grad] = []

    def __enter__(self) -> None:
        """Switch gradients off; ``inference_mode(False)`` leaves them as they are."""
        guard = torch.no_grad()
        if self.mode:
            guard.__enter__()
            InferenceMode.depth += 1
        self._stack.append(guard)

    def __exit__(self, *error: Any) -> None:
        """Restore the gradient mode."""
        guard = self._stack.pop()
        if self.mode:
            InferenceMode.depth -= 1
            guard.__exit__(*error)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The decorator form."""
        return torch.no_grad()(function) if self.mode else function


def install(ctx: ShimContext) -> None:
    """Patch ``torch.inference_mode`` and ``torch.is_inference_mode_enabled``."""
    InferenceMode.depth = 0
    ctx.patch(torch, "inference_mode", InferenceMode)
    ctx.patch(torch.autograd.grad_mode, "inference_mode", InferenceMode)
    ctx.patch(torch.autograd, "inference_mode", InferenceMode)
    ctx.patch(torch, "is_inference_mode_enabled", lambda: InferenceMode.depth > 0)
