"""Texts that are put together: what is known of the result of ``format`` and ``%``."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from auditor.source.flow.values import HOLE, Val

_PERCENT = re.compile(r"%(?:\(\w+\))?[-#0 +]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z%]")


def formatted(pattern: str, args: Sequence[Val], kwargs: Mapping[str, Val]) -> str:
    """``pattern.format(*args, **kwargs)`` with holes for what is not known."""
    parts: list[str] = []
    try:
        fields = list(string.Formatter().parse(pattern))
    except ValueError:
        return pattern
    count = -1
    for text, name, spec, _ in fields:
        parts.append(text)
        if name is None:
            continue
        count += not name
        val = kwargs.get(name)
        if val is None:
            place = int(name) if name.isdigit() else count if not name else len(args)
            val = args[place] if place < len(args) else None
        parts.append(written(val) if val is not None and not spec else HOLE)
    return "".join(parts)


def percent_formatted(pattern: str, right: Val) -> str:
    """``pattern % right`` with holes for what is not known."""
    given = [v for o in right.objs if o.kind == "tuple" for v in (o.items or {}).values()] or [right]
    left = iter(given)

    def fill(match: re.Match[str]) -> str:
        if match.group().endswith("%"):
            return "%"
        val = next(left, None)
        return written(val) if val is not None and match.group() == "%s" else HOLE

    return _PERCENT.sub(fill, pattern)


def written(val: Val) -> str:
    """A value as text, a hole where it is not known."""
    if val.known and isinstance(val.const, (str, int, float)):
        return str(val.const)
    return val.string if val.string is not None and val.text != "%env" else HOLE
