"""A stand-in for ``torch._dynamo``, which every optimizer imports at its first step for a second of CPU time.

Nothing is compiled in the guest, so all that is ever asked of it are decorators that return their function, and
settings. Scripts that reach for more get the real one (`needs_real`, decided by the host from the source).
"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

_SERVED = (
    "config", "disable", "reset", "mark_dynamic", "maybe_mark_dynamic", "mark_static", "mark_static_address",
    "graph_break", "is_compiling", "allow_in_graph", "run", "disallow_in_graph", "assume_constant_result",
)  # fmt: skip
_MORE = re.compile(
    r"flex_attention|_inductor\.(?!config\b)|_functorch|torch\.export|torch\.fx\b|make_fx|torch\.func\b|"
    rf"_dynamo\.(?!(?:{'|'.join(_SERVED)})\b)|from torch\._dynamo|custom_op|torch\.library"
)
_DEFAULTS = {
    "cache_size_limit": 8, "recompile_limit": 8, "accumulated_cache_size_limit": 256,
    "accumulated_recompile_limit": 256,
    "suppress_errors": False, "optimize_ddp": True, "verbose": False, "automatic_dynamic_shapes": True,
}  # fmt: skip


def needs_real(text: str) -> bool:
    """Whether a script's text uses more of the compiler than the stand-in serves."""
    return _MORE.search(text) is not None


class _Config(ModuleType):
    """Settings: anything may be set; what was never set has its usual value, or None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _DEFAULTS.get(name)


def _decorator(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    return function if callable(function) else (lambda inner: inner)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Accept anything, do nothing."""


def install() -> None:
    """Put the stand-ins where the real modules would be imported to. Does nothing where those are imported already."""
    import torch

    if "torch._dynamo" in sys.modules or "torch._inductor" in sys.modules:
        return
    for name in ("_dynamo", "_inductor"):
        module, config = ModuleType(f"torch.{name}"), _Config(f"torch.{name}.config")
        module.__path__ = []
        vars(module).update(config=config)
        sys.modules[f"torch.{name}"], sys.modules[f"torch.{name}.config"] = module, config
        setattr(torch, name, module)
    served: dict[str, Any] = dict.fromkeys(_SERVED[1:], _nothing)
    decorators = ("disable", "allow_in_graph", "run", "disallow_in_graph", "assume_constant_result")
    served |= dict.fromkeys(decorators, _decorator)
    vars(sys.modules["torch._dynamo"]).update(served | {"is_compiling": lambda: False})
