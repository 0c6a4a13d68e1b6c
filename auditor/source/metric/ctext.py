"""A loose reader of C, C++ and CUDA text: tokens, and statements nested in functions. No preprocessor, no types.

It keeps what a data-flow question needs: assignments, calls, conditions and loops in their order. Text that does not
nest (unbalanced braces) gives the part that does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/|\#[^\n]*(?:\\\n[^\n]*)*)
  | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?\d[\w.]*)
  | (?P<op>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|/=|%=|&=|\|=|\^=|::|.)
""",
    re.X | re.S,
)
MAX_CHARS = 2_000_000


@dataclass(frozen=True, slots=True)
class Tok:
    """One token with its line."""

    text: str
    line: int
    word: bool


@dataclass
class Stmt:
    """A statement: ``kind`` is ``expr``, ``if``, ``loop`` or ``block``; ``head`` its own tokens (the condition)."""

    kind: str
    head: list[Tok]
    body: list[Stmt] = field(default_factory=list)
    orelse: list[Stmt] = field(default_factory=list)

    @property
    def line(self) -> int:
        """Line of the first token."""
        return self.head[0].line if self.head else self.body[0].line if self.body else 1


@dataclass
class CFunction:
    """A function with its parameters' names in order."""

    name: str
    params: list[str]
    body: list[Stmt]
    line: int


def tokens(text: str) -> list[Tok]:
    """The tokens of ``text`` (cut at `MAX_CHARS`)."""
    out: list[Tok] = []
    line = 1
    for match in _TOKEN.finditer(text[:MAX_CHARS]):
        kind = match.lastgroup
        if kind != "skip":
            out.append(Tok(match.group(), line, kind == "word"))
        line += match.group().count("\n")
    return out


def functions(text: str) -> list[CFunction]:
    """All function bodies, methods of classes included."""
    toks = tokens(text)
    found: list[CFunction] = []
    _scan(toks, 0, len(toks), found)
    return found


def _scan(toks: list[Tok], start: int, end: int, found: list[CFunction]) -> None:
    i = start
    while i < end:
        if toks[i].text == "{":
            close = match_close(toks, i, end)
            head = _header(toks, i, start)
            if head is not None:
                name, params, line = head
                body, _ = _block(toks, i + 1, close)
                found.append(CFunction(name, params, body, line))
            else:
                _scan(toks, i + 1, close, found)
            i = close
        i += 1


_NOT_FUNCTIONS = frozenset({"if", "for", "while", "switch", "catch", "return", "sizeof", "defined", "alignas"})


def _header(toks: list[Tok], brace: int, floor: int) -> tuple[str, list[str], int] | None:
    """``name(params) [const] {`` before ``brace``."""
    i = brace - 1
    while i >= floor and toks[i].text in {"const", "noexcept", "override", "final"}:
        i -= 1
    if i < floor or toks[i].text != ")":
        return None
    depth, j = 0, i
    while j >= floor:
        depth += {")": 1, "(": -1}.get(toks[j].text, 0)
        if depth == 0:
            break
        j -= 1
    if j <= floor or not toks[j - 1].word or toks[j - 1].text in _NOT_FUNCTIONS:
        return None
    params = [part[-1].text for part in split_args(toks[j + 1 : i]) if part and part[-1].word]
    return toks[j - 1].text, params, toks[j - 1].line


def match_close(toks: list[Tok], at: int, end: int) -> int:
    """Index of the bracket that closes the one at ``at`` (``end`` when none does)."""
    opening = toks[at].text
    closing = {"{": "}", "(": ")", "[": "]"}[opening]
    depth = 0
    for i in range(at, end):
        if toks[i].text == opening:
            depth += 1
        elif toks[i].text == closing:
            depth -= 1
            if depth == 0:
                return i
    return end


def split_args(toks: list[Tok]) -> list[list[Tok]]:
    """Tokens split at top-level commas."""
    parts: list[list[Tok]] = [[]]
    depth = 0
    for tok in toks:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(tok.text, 0)
        if tok.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(tok)
    return [part for part in parts if part]


def _block(toks: list[Tok], start: int, end: int) -> tuple[list[Stmt], int]:
    out: list[Stmt] = []
    i = start
    while i < end:
        statement, i = _statement(toks, i, end)
        if statement is not None:
            out.append(statement)
    return out, i


def _statement(toks: list[Tok], i: int, end: int, depth: int = 0) -> tuple[Stmt | None, int]:
    text = toks[i].text
    if text == ";" or depth > 60:
        return None, i + 1
    if text == "{":
        close = match_close(toks, i, end)
        body, _ = _block(toks, i + 1, close)
        return Stmt("block", [], body), close + 1
    if text in {"if", "for", "while"} and i + 1 < end:
        return _compound(toks, i, end, depth)
    j = i
    while j < end and toks[j].text != ";":
        if toks[j].text in "([{":
            j = match_close(toks, j, end)
        j += 1
    return Stmt("expr", toks[i:j]), j + 1


def _compound(toks: list[Tok], i: int, end: int, depth: int) -> tuple[Stmt | None, int]:
    kind = "if" if toks[i].text == "if" else "loop"
    opened = i + 1
    while opened < end and toks[opened].text != "(":
        opened += 1
    if opened >= end:
        return None, end
    close = match_close(toks, opened, end)
    body, after = _statement(toks, close + 1, end, depth + 1) if close + 1 < end else (None, end)
    statement = Stmt(kind, toks[opened + 1 : close] or [toks[i]], [body] if body else [])
    if kind == "if" and after < end and toks[after].text == "else" and after + 1 < end:
        other, after = _statement(toks, after + 1, end, depth + 1)
        statement.orelse = [other] if other else []
    return statement, after
