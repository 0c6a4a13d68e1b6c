"""What an entry of a row over the vocabulary says in nats: the row may hold probabilities, their logs, or logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

CLOSE = 1e-2


def nats(rows: Any, own: Any) -> torch.Tensor:
    """Loss in nats of the entries ``own`` [n] of ``rows`` [n, vocabulary]; numpy arrays or tensors, any float type."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        table = _tensor(rows).reshape(-1, rows.shape[-1])
        entry = _tensor(own).reshape(-1)
        if not table.numel() or table.shape[0] != entry.numel():
            return entry.to(torch.float32)
        low, high = float(table.min()), float(table.max())
        if low >= 0.0 and high <= 1.0 + CLOSE:
            return -entry.clamp_min(1e-37).log().to(torch.float32)
        total = table.logsumexp(-1)
        if high <= CLOSE and float((total.abs() < CLOSE).float().mean()) > 0.5:
            return (-entry).to(torch.float32)
        return (total - entry).to(torch.float32)


def marks(rows: torch.Tensor) -> Any:
    """A number for each row of ``rows`` [.., vocabulary], float64 [n]; rarely do two differing rows share one."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        table = rows.detach().reshape(-1, rows.shape[-1]).to(torch.float64)
        weights = torch.linspace(1.0, 2.0, table.shape[1], dtype=torch.float64)
        return torch.nan_to_num(table, nan=0.0, posinf=1e6, neginf=-1e6).mv(weights).numpy()


def _tensor(value: Any) -> torch.Tensor:
    if torch.is_tensor(value):
        return value.detach().float()
    return torch.from_numpy(np.ascontiguousarray(np.asarray(value, np.float32)))
