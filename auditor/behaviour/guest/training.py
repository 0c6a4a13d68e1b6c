"""Training as events: which scores a backward came from, the steps of optimizers, and the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from auditor.behaviour.guest.labels import Labels
from auditor.behaviour.guest.weights import WeightBook
from auditor.behaviour.shims.context import ShimContext

BACKWARD_SECONDS = 0.125
INTS = (torch.int64, torch.int32, torch.int16, torch.uint8)
GRAPH_NODES = 600


class TrainingWatch:
    """The recorder's part that watches training."""

    def __init__(self, ctx: ShimContext) -> None:
        self.ctx = ctx
        self.nodes: dict[Any, tuple[int, int]] = {}
        self.pending: list[tuple[int, int]] = []
        self.weights = WeightBook()
        self.flowed: list[tuple[int, int, Labels]] = []
        self.depth = 0
        self.fed: tuple[int, int] = (0, -1)

    def site(self) -> list[Any]:
        """``[file, line, function]`` of the submission's innermost frame."""
        raise NotImplementedError

    def _remember(self, result: Any, first: int, count: int) -> None:
        self.nodes[result.grad_fn] = (first, count)
        self.pending.append((first, count))
        result.register_hook(lambda gradient: self._note_flow(first, count, gradient))

    def _backward(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._flow("backward", func, args, kwargs)

    def _grad(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._flow("grad", func, args, kwargs)

    def _flow(self, how: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take gradients; the outermost call tells which scores they came from (hooks note it on the way)."""
        self.depth += 1
        if self.depth == 1:
            self.flowed.clear()
        try:
            result = func(*args, **kwargs)
        finally:
            self.depth -= 1
        if self.depth == 0:
            self._trained(how, args[0] if args else kwargs.get("outputs", kwargs.get("tensors")))
        return result

    def _note_flow(self, first: int, count: int, gradient: Any) -> None:
        """A gradient reached scores ``first..first+count-1``; those with a gradient of zero took no part."""
        unused = np.zeros(0, np.int64)
        if gradient.numel() == count:
            with torch._C.DisableTorchFunction():
                unused = first + np.flatnonzero(gradient.detach().reshape(-1).float().numpy() == 0.0)
        self.flowed.append((first, count, unused))

    def _trained(self, how: str, loss: Any) -> None:
        roots = [loss] if torch.is_tensor(loss) else list(loss or ())
        groups = sorted({(first, count) for first, count, _ in self.flowed})
        unused = np.concatenate([np.zeros(0, np.int64), *(part for *_, part in self.flowed)])
        if not groups:
            groups = self._reached([r.grad_fn for r in roots if torch.is_tensor(r) and r.grad_fn is not None])
        self.ctx.clock.advance(BACKWARD_SECONDS)
        fields = {"site": self.site(), "groups": [list(g) for g in groups], "time": self.ctx.clock.now, "how": how}
        self.ctx.emit("Trained", {**fields, "unused": unused})
        for node in [n for n, group in self.nodes.items() if group in groups]:
            del self.nodes[node]
        self.pending.clear()
        self.flowed.clear()

    def _embedding(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Tokens that a model reads, scored or not."""
        tokens = args[0] if args else kwargs.get("input")
        if torch.is_tensor(tokens) and tokens.dtype in INTS and tokens.numel() >= 4:
            key = (tokens.data_ptr(), tokens.numel())
            if key != self.fed or not torch.is_grad_enabled():
                flat = tokens.detach().reshape(-1).to(torch.int32).numpy()
                fields = {"site": self.site(), "shape": list(tokens.shape), "grad": torch.is_grad_enabled()}
                self.ctx.emit("Fed", {**fields, "time": self.ctx.clock.now, "tokens": flat})
            self.fed = key
        return func(*args, **kwargs)

    def _reached(self, roots: list[Any]) -> list[tuple[int, int]]:
        """The scores whose losses the graph below ``roots`` holds; those still pending when the search finds none."""
        seen: set[Any] = set()
        found: list[tuple[int, int]] = []
        queue = list(roots)
        while queue and len(seen) < GRAPH_NODES:
            node = queue.pop(0)
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self.nodes:
                found.append(self.nodes[node])
                continue
            queue.extend(n for n, _ in node.next_functions)
        return sorted(set(found)) or list(self.pending)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        count = sum(p.numel() for g in optimizer.param_groups for p in g["params"])
        self.ctx.emit(
            "Stepped",
            {
                "site": self.site(), "optimizer": type(optimizer).__name__, "parameters": count,
                "time": self.ctx.clock.now, **self.weights.step(optimizer),
            },
        )
