"""The one `TorchFunctionMode` of the guest: every torch call passes here, to its stand-in and to the observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from auditor.behaviour.shims.context import Handler

Observer = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], None]
"""Called as ``observer(func, args, kwargs, result)`` after each call."""

CPU = torch.device("cpu")


class GuestMode(TorchFunctionMode):
    """Dispatches torch functions to handlers, sends CUDA devices to the CPU, and lets one observer look on."""

    def __init__(self, handlers: dict[Any, Handler], observer: Observer | None = None) -> None:
        super().__init__()
        self.handlers = handlers
        self.observer = observer
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` or its stand-in."""
        self.calls += 1
        kwargs = kwargs or {}
        if kwargs:
            if kwargs.get("device") is not None:
                kwargs["device"] = CPU
            kwargs.pop("pin_memory", None)
        handler = self.handlers.get(func)
        result = func(*args, **kwargs) if handler is None else handler(func, args, kwargs)
        if self.observer is not None:
            self.observer(func, args, kwargs, result)
        return result
