"""The process environment as the claimed run had it: launch settings over what the script itself sets."""

from __future__ import annotations

import ast

from auditor.source.flow.machine import Machine
from auditor.source.flow.values import EMPTY, NONE, UNKNOWN, Val

ENV_MARK = "%env"
"""``Val.text`` of a value that came out of the environment, so that a logged setting may replace it."""


def is_set(m: Machine, name: str) -> bool | None:
    """Whether a variable is set in the claimed run; None when that cannot be told."""
    if name in m.environ or name in m.launch.env:
        return True
    return name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")


def getenv(m: Machine, node: ast.AST, key: Val, default: Val | None) -> Val:
    """``os.environ.get(key, default)``."""
    name = key.const if isinstance(key.const, str) else None
    if name is None:
        return Val(UNKNOWN, frozenset({m.label("cfg")}), EMPTY, (), None if default is None else default.string)
    if name in m.launch.env:
        return _marked(Val(m.launch.env[name].value))
    if name in m.environ:
        return m.environ[name]
    if name == "WORLD_SIZE":
        return Val(str(m.launch.world_size or 8))
    if name in ("RANK", "LOCAL_RANK"):
        return Val("0")
    if default is None:
        return NONE
    found = _marked(default)
    if m.unknown_launch and default.const in _SWITCHES:
        return found.with_labels(frozenset({m.label("cfg")}))
    return found


_SWITCHES = ("0", "1", 0, 1, "false", "true", "False", "True", "no", "yes")


def _marked(val: Val) -> Val:
    return Val(val.const, val.labels, val.deps, val.objs, ENV_MARK if val.known else val.text)
