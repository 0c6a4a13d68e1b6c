"""Modules made here that stand in ``sys.modules`` for packages that this machine lacks."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Mapping
from typing import Any

from auditor.behaviour.shims.context import ShimContext


def make_module(name: str, contents: Mapping[str, Any]) -> types.ModuleType:
    """A package called ``name`` with ``contents``, with a spec so that ``importlib.util.find_spec`` finds it."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None, is_package=True)
    module.__path__ = []
    module.__dict__.update(contents)
    return module


def place_module(ctx: ShimContext, module: types.ModuleType) -> None:
    """Put ``module`` into ``sys.modules`` and onto its parent package, until ``ctx.restore()``."""
    name = module.__name__
    old = sys.modules.get(name)
    sys.modules[name] = module
    ctx.on_restore(lambda: _put_back(name, old))
    parent, _, leaf = name.rpartition(".")
    if parent in sys.modules:
        ctx.patch(sys.modules[parent], leaf, module)


def _put_back(name: str, old: types.ModuleType | None) -> None:
    if old is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = old
