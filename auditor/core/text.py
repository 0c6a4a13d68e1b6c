"""Hostile text made harmless: what a submission wrote must not steer a terminal, a page or a reader."""

from __future__ import annotations

import re
import unicodedata

LONG = 300
"""Characters of one piece of foreign text that a report shows."""

_KEPT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: object, limit: int = LONG) -> str:
    """One printable line: line breaks and tabs become spaces, control and format characters visible escapes.

    Text longer than ``limit`` is cut in its middle, with the number of characters left out. Idempotent on short text.
    """
    raw = str(text)
    left_out = len(raw) - limit
    if left_out > 0:
        head = limit * 2 // 3
        raw = f"{raw[:head]} ...({left_out} characters left out)... {raw[len(raw) - (limit - head) :]}"
    return " ".join("".join(_visible(char) for char in raw).split())


def visible(line: str) -> str:
    """A line at full length with its tabs and spaces, control and format characters as escapes."""
    return "".join(char if char == "\t" else _visible(char) for char in line)


def _visible(char: str) -> str:
    if char in "\n\r\t\v\f":
        return " "
    if unicodedata.category(char) not in _KEPT:
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&^])")
_LIST_START = re.compile(r"^(\s*)([-=])")
_NUMBERED = re.compile(r"^(\s*\d+)([.)])(?=\s|$)")
_AUTOLINK = re.compile(r"(@|#|GH-|www(?=\.)|:(?=//))", re.IGNORECASE)


def markdown(text: object, limit: int = LONG) -> str:
    """Foreign text as Markdown prose: no markup, no HTML, no links, no mentions of people or issues."""
    safe = _PUNCTUATION.sub(r"\\\1", plain(text, limit))
    safe = _NUMBERED.sub(r"\1\\\2", _LIST_START.sub(r"\1\\\2", safe))
    safe = safe.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    return _AUTOLINK.sub("\\1\u200b", safe)


def code(text: object, limit: int = LONG) -> str:
    """Foreign text as a Markdown code span; its fence is longer than any run of backticks in it."""
    safe = plain(text, limit)
    runs = [len(run) for run in re.findall(r"`+", safe)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") or not safe else ""
    return f"{fence}{pad}{safe}{pad}{fence}"
