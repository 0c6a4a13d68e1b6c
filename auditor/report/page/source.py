"""Lines of source with their words coloured by Python's own tokenizer: no script in the page, all text escaped."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from auditor.core.exhibits import Excerpt
from auditor.core.text import visible

_KINDS = {tokenize.STRING: "s", tokenize.NUMBER: "n", tokenize.COMMENT: "c", tokenize.OP: "o"}
_KINDS |= {kind: "s" for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
           if isinstance(kind := getattr(tokenize, name, None), int)}  # fmt: skip
"""Token to CSS class; newer Pythons cut f-strings into parts."""


LONG = 400
"""Characters of one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an excerpt for the page; ``hot``: what the finding points at."""

    number: int
    html: Markup
    hot: bool


def lines(excerpt: Excerpt, first: int, last: int, around: int = 4) -> list[Line]:
    """The lines of ``excerpt`` near ``first`` to ``last``, which are marked."""
    python = excerpt.file.endswith(".py")
    low, high = max(excerpt.first, first - around), min(excerpt.first + len(excerpt.lines) - 1, last + around)
    return [
        Line(number, code(excerpt.lines[number - excerpt.first], python=python), first <= number <= last)
        for number in range(low, high + 1)
    ]


def code(line: str, *, python: bool = True) -> Markup:
    """One line as HTML: its text, cut where it is very long, with control characters as visible escapes."""
    shown = visible(line if len(line) <= LONG else f"{line[:LONG]} ...({len(line) - LONG} characters left out)")
    if not python:
        return escape(shown)
    out, at = Markup(""), 0
    for start, end, kind in _words(shown):
        if start < at or end <= start:
            continue
        out += escape(shown[at:start])
        out += Markup('<span class="{}">{}</span>').format(kind, shown[start:end])
        at = end
    return out + escape(shown[at:])


def _words(line: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, class) of the words of one line; what follows an unclosed string or bracket stays plain."""
    indent = len(line) - len(line.lstrip())
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.lstrip() + "\n").readline):
            if token.start[0] != 1 or token.end[0] != 1:
                continue
            kind = _KINDS.get(token.type, "")
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                kind = "k"
            if kind:
                yield token.start[1] + indent, token.end[1] + indent, kind
    except (tokenize.TokenError, SyntaxError, ValueError):
        return  # a piece of a longer statement, or no Python at all: the rest is shown without colours
