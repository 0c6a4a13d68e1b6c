"""String expressions of the code as patterns: literals plus holes typed by their format specs.

Every string that the code builds counts as a template, printed at once or through a variable: a log line that fits
none of them cannot come from this code. `Template.call` marks those that stand directly in a print-like call.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN = r".*?"
"""A hole of unknown text."""
MAX_LINE = 2000
"""Longer lines are never matched."""

_FLOAT = r"[-+]?(?:\d[\d,]*\.\d{%d}|nan|inf)"
_SPEC = re.compile(r"^(?:.?[<>=^])?[-+ ]?#?0?(\d+)?(,|_)?(?:\.(\d+))?([a-zA-Z%])?$")
_PERCENT = re.compile(r"%(?:\(\w+\))?[-+ #0]*(\d+|\*)?(?:\.(\d+))?([a-zA-Z%])")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}:!]*)(?:![rsa])?(?::([^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Template:
    """One string expression. ``parts`` alternate literal text and hole patterns (regular expressions in a tuple)."""

    parts: tuple[str | tuple[str], ...]
    line: int
    call: bool
    typed: int
    """Holes with a known format."""

    @property
    def literal(self) -> str:
        """The longest literal part, what a line must contain."""
        return max((p for p in self.parts if isinstance(p, str)), key=len, default="")

    @property
    def strength(self) -> int:
        """Letters and digits in all literal parts: how much the template says."""
        return sum(c.isalnum() for p in self.parts if isinstance(p, str) for c in p)

    def show(self) -> str:
        """Readable form for messages, holes as ``{}``."""
        return "".join(p if isinstance(p, str) else "{}" for p in self.parts)[:160]


def hole(spec: str | None) -> tuple[str, bool]:
    """The pattern of a value under a format spec, and whether the spec says anything."""
    if not spec:
        return OPEN, False
    match = _SPEC.match(spec)
    if match is None:
        return OPEN, False
    width, commas, precision, kind = match.groups()
    body = _typed(commas, int(precision) if precision else None, kind)
    if body is None:
        return OPEN, False
    return (rf"\s*{body}\s*" if width else body), True


def _typed(commas: str | None, precision: int | None, kind: str | None) -> str | None:
    if kind in ("f", "F", "%"):
        digits = 6 if precision is None else precision
        tail = "%" if kind == "%" else ""
        return (r"[-+]?(?:[\d,]+|nan|inf)" if digits == 0 else _FLOAT % digits) + tail
    if kind in ("d", "n") or (kind is None and commas and precision is None):
        return r"[-+]?\d[\d,_]*" + (r"(?:\.\d+)?" if kind is None else "")
    if kind in ("e", "E"):
        digits = 6 if precision is None else precision
        return (r"[-+]?(?:\d" + (rf"\.\d{{{digits}}}" if digits else "") + r"[eE][-+]\d+|nan|inf)")
    if kind in ("g", "G") or (kind is None and precision is not None):
        return r"[-+]?(?:\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|nan|inf)"
    if kind in ("x", "X"):
        return r"[0-9a-fA-F]+"
    return None


Parts = list["str | tuple[str]"]


def parts_of(node: ast.expr, *, fold: bool = True) -> Parts | None:
    """Literal and hole parts of a string expression; None when it is not one (then it is an open hole)."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return _joined(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _added(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _percent(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _repeated(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _formatted(node.func.value)
    if isinstance(node, ast.IfExp):
        return [(_either(node),)] if fold else None
    return None


def _joined(node: ast.JoinedStr) -> Parts:
    parts: Parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
            continue
        if not isinstance(value, ast.FormattedValue):
            continue
        spec = _spec_text(value.format_spec)
        inner = parts_of(value.value) if spec == "" and value.conversion == -1 else None
        if inner is not None:
            parts.extend(inner)
        else:
            parts.append((hole(spec)[0],))
    return parts


def _spec_text(spec: ast.expr | None) -> str | None:
    """The literal format spec, ``""`` when there is none, None when it is computed."""
    if spec is None:
        return ""
    if isinstance(spec, ast.JoinedStr) and all(isinstance(v, ast.Constant) for v in spec.values):
        return "".join(str(v.value) for v in spec.values if isinstance(v, ast.Constant))
    return None


def _added(node: ast.BinOp) -> Parts | None:
    left, right = parts_of(node.left), parts_of(node.right)
    if left is None and right is None:
        return None
    return [*(left if left is not None else [(OPEN,)]), *(right if right is not None else [(OPEN,)])]


def _repeated(node: ast.BinOp) -> Parts | None:
    for text, times in ((node.left, node.right), (node.right, node.left)):
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            if isinstance(times, ast.Constant) and isinstance(times.value, int) and 0 <= times.value <= 1000:
                return [text.value * times.value]
            return [(f"(?:{re.escape(text.value)})*",)]
    return None


def _percent(node: ast.BinOp) -> Parts | None:
    if not (isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)):
        return None
    parts: Parts = []
    end = 0
    for match in _PERCENT.finditer(node.left.value):
        parts.append(node.left.value[end : match.start()])
        end = match.end()
        if match.group(3) == "%":
            parts.append("%")
            continue
        width, precision, kind = match.groups()
        kind = {"i": "d", "u": "d"}.get(kind, kind)
        spec = ("9" if width else "") + (f".{precision}" if precision else "") + kind
        parts.append((hole(spec)[0],))
    return [*parts, node.left.value[end:]]


def _formatted(template: ast.expr) -> Parts | None:
    if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
        return None
    parts: Parts = []
    end = 0
    for match in _BRACES.finditer(template.value):
        parts.append(template.value[end : match.start()])
        end = match.end()
        token = match.group(0)
        parts.append(token[0] if token in ("{{", "}}") else (hole(match.group(2))[0],))
    return [*parts, template.value[end:]]


def _either(node: ast.IfExp) -> str:
    """Both branches of a conditional expression as alternatives; open as soon as one of them is."""
    sides = [parts_of(side) for side in (node.body, node.orelse)]
    if any(parts is None or (OPEN,) in parts for parts in sides):
        return OPEN
    texts = ("".join(re.escape(p) if isinstance(p, str) else p[0] for p in parts or []) for parts in sides)
    return f"(?:{'|'.join(texts)})"


def split_lines(parts: Parts) -> Iterator[Parts]:
    """Cut parts at newlines: each printed line is a template of its own."""
    current: Parts = []
    for part in parts:
        if isinstance(part, tuple):
            current.append(part)
            continue
        pieces = part.replace("\r", "\n").split("\n")
        for number, piece in enumerate(pieces):
            if number:
                yield current
                current = []
            if piece:
                current.append(piece)
    yield current


class Matcher:
    """One template ready to match lines, in time linear in the line (submissions are hostile).

    Open holes are wildcards: the segments between them are searched one after the other, leftmost first.
    """

    def __init__(self, template: Template) -> None:
        self.template = template
        self.literal = template.literal.strip()
        segments = _segments(template.parts)
        _trim(segments)
        self._segments = [_segment(parts) for parts in segments]

    def fits(self, line: str, *, whole: bool = True) -> bool:
        """Whether ``line`` is (or, not ``whole``, begins with) a print of the template; outer blanks are free."""
        if self.literal not in line or len(line) > MAX_LINE:
            return False
        text = line.strip()
        head = self._segments[0].match(text)
        if head is None:
            return False
        position = head.end()
        for number, segment in enumerate(self._segments[1:], 1):
            last = number == len(self._segments) - 1
            if last and whole:
                return _ends(segment, text, position)
            found = segment.search(text, position)
            if found is None:
                return False
            position = found.end()
        return not whole or position == len(text)


def _ends(segment: re.Pattern[str], text: str, position: int) -> bool:
    """Whether ``segment`` matches at the end of ``text``, not before ``position``."""
    if segment.pattern == "":
        return True
    return any(m.end() == len(text) for m in _overlapping(segment, text, position))


def _overlapping(segment: re.Pattern[str], text: str, position: int) -> Iterator[re.Match[str]]:
    for _ in range(64):
        found = segment.search(text, position)
        if found is None:
            return
        yield found
        position = found.start() + 1


def _segments(parts: tuple[str | tuple[str], ...]) -> list[Parts]:
    """Parts between open holes; an open hole at either end leaves an empty segment there."""
    segments: list[Parts] = [[]]
    for part in parts:
        if part == (OPEN,):
            segments.append([])
        else:
            segments[-1].append(part)
    return segments


def _trim(segments: list[Parts]) -> None:
    """Drop blanks at the outer ends: lines are compared without theirs."""
    first, last = segments[0], segments[-1]
    if first and isinstance(first[0], str):
        first[0] = first[0].lstrip()
    if last and isinstance(last[-1], str):
        last[-1] = last[-1].rstrip()


def _segment(parts: Parts) -> re.Pattern[str]:
    pattern = "".join(re.escape(p) if isinstance(p, str) else p[0] for p in parts)
    return re.compile(pattern)
