"""Rewriting of sources for the guest: literals replaced in place, 3.12 f-strings made runnable on 3.11."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from auditor.core.syntax import FSTRING, FVALUE, ParsedModule

Span = tuple[int, int, int]
"""Line from 1, first and end byte column."""
_HELPERS = (
    f"{FSTRING} = lambda *parts: ''.join(parts); "
    f"{FVALUE} = lambda value, conversion, spec: "
    "format({-1: lambda v: v, 115: str, 114: repr, 97: ascii}[conversion](value), spec or ''); "
)
"""What the stand-in calls of `auditor.core.syntax` mean, in one line."""


def replace_spans(text: str, edits: Iterable[tuple[Span, str]]) -> str:
    """``text`` with the given single-line spans (line from 1, byte columns) replaced; line numbers stay."""
    lines = text.split("\n")
    for (line, start, end), new in sorted(set(edits), reverse=True):
        data = lines[line - 1].encode("utf-8")
        lines[line - 1] = (data[:start] + new.encode("utf-8") + data[end:]).decode("utf-8")
    return "\n".join(lines)


def with_helpers(parsed: ParsedModule) -> str:
    """The text of a rewritten module with the helpers' definitions, on a line that is already there."""
    if not parsed.rewritten:
        return parsed.text
    tree = ast.parse(parsed.text)
    lines = parsed.text.split("\n")
    for position, node in enumerate(tree.body):
        docstring = position == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if docstring or future:
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr, ast.AnnAssign)):
            line = lines[node.lineno - 1].encode("utf-8")
            lines[node.lineno - 1] = (line[: node.col_offset] + _HELPERS.encode() + line[node.col_offset :]).decode()
            break
    return "\n".join(lines)


def literal_text(value: int | float | str) -> str:
    """``value`` as source text (a text as it is)."""
    if isinstance(value, str):
        return value
    return repr(int(value)) if float(value).is_integer() and not isinstance(value, float) else repr(value)
