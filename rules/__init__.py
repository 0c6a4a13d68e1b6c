"""One file per rule; the file name is the id. ``load_rules`` finds them, nothing is registered by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from auditor.core.rule import Rule


@cache
def load_rules() -> dict[str, Rule]:
    """All rules by id, sorted. A module of this package that defines no ``Rule`` subclass is a ``TypeError``."""
    rules: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        classes = (c for _, c in inspect.getmembers(module, inspect.isclass))
        own = [c for c in classes if issubclass(c, Rule) and c.__module__ == module.__name__]
        if len(own) != 1:
            raise TypeError(f"rules/{info.name}.py must define exactly one Rule, it defines {len(own)}")
        rules[own[0].id()] = own[0]()
    return dict(sorted(rules.items()))
