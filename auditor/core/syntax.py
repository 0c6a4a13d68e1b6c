"""Parse Python text into an ``ast.Module`` on any interpreter from 3.11 on, or say in one sentence why not.

Fourteen of about 1,700 real scripts use the f-string grammar of Python 3.12 (the outer quote again inside the braces,
backslashes, comments), which ``ast.parse`` of 3.11 refuses. Those are parsed by libcst, only the offending f-strings
are rewritten line by line into calls that 3.11 accepts, and the calls become ``ast.JoinedStr`` nodes again, so that
nobody downstream can tell the difference. Line numbers are the original ones; columns on a rewritten line are not.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_CHARS = 3_000_000
"""Longest text that is parsed at all; the longest real script has 0.2 million characters."""
MAX_DEPTH = 200
"""Deepest syntax tree that is handed on. The deepest of 2,348 real files has 24 levels; a visitor of the standard
library takes up to three frames a level, and the default recursion limit is 1,000."""
MAX_REWRITE_CHARS = 2_000_000
MAX_REWRITE_BRACKETS = 120
"""The parser of libcst recurses on the C stack, where overflow would end the process: deep nesting is refused first."""


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """Why a text could not be parsed; ``line`` counts from 1 (0: no line can be named)."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedModule:
    """Exactly one of ``tree`` and ``problem`` is set. ``text`` is what was parsed (rewritten only if ``rewritten``)."""

    tree: ast.Module | None
    problem: SyntaxProblem | None
    text: str
    rewritten: bool = False


@lru_cache(maxsize=16)
def parse_python(text: str) -> ParsedModule:
    """Parse ``text``; never raises on any input.

    Results are shared between callers (parsing is the dearest step of an audit): treat the tree as read-only.
    A leading byte order mark is dropped. Encoding declarations are without effect, since the text is decoded.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARS:
        return _refused(text, 0, f"the text has {len(text):,} characters, over the limit of {MAX_CHARS:,}")
    if "\0" in text:
        return _refused(text, text.count("\n", 0, text.index("\0")) + 1, "the text contains a NUL character")
    tree, problem = _parse(text)
    if tree is not None:
        return _checked(tree, text, rewritten=False)
    assert problem is not None
    rewritten = _rewrite_312(text, problem)
    if rewritten is None:
        return ParsedModule(None, problem, text)
    tree, _ = _parse(rewritten)
    if tree is None:
        return ParsedModule(None, problem, text)
    return _checked(_Joiner().visit(tree), rewritten, rewritten=True)


def depth(tree: ast.AST, limit: int = MAX_DEPTH) -> int:
    """Levels of the deepest node below ``tree``, counted without recursion; stops at ``limit`` + 1."""
    deepest, level = 0, [tree]
    while level and deepest <= limit:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def _refused(text: str, line: int, reason: str) -> ParsedModule:
    return ParsedModule(None, SyntaxProblem(line, reason), text)


def _checked(tree: ast.Module, text: str, *, rewritten: bool) -> ParsedModule:
    """``tree`` unless it nests deeper than visitors can follow."""
    if depth(tree) > MAX_DEPTH:
        return _refused(text, 0, f"expressions or blocks nest deeper than {MAX_DEPTH} levels")
    return ParsedModule(tree, None, text, rewritten)


def _parse(text: str) -> tuple[ast.Module | None, SyntaxProblem | None]:
    """``ast.parse`` with every way to fail turned into a problem."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text), None
    except SyntaxError as error:
        return None, SyntaxProblem(error.lineno or 0, f"not valid Python: {error.msg}")
    except (RecursionError, MemoryError):
        return None, SyntaxProblem(0, "expressions or blocks nest too deeply to be parsed")
    except (ValueError, UnicodeError) as error:
        return None, SyntaxProblem(0, f"not valid Python: {error}")


_FSTRING = re.compile(r"(?i)(?<![a-z0-9_])(?:f|rf|fr)['\"]")
_GENERIC = re.compile(r"^\s*(?:type\s+\w+|(?:async\s+)?def\s+\w+\s*\[|class\s+\w+\s*\[)", re.M)
_CHAINS = re.compile(r"(?:[-+~]\s*){40}|(?:\bnot\s+){40}")


def _rewrite_312(text: str, problem: SyntaxProblem) -> str | None:
    """``text`` with 3.12-only f-strings and type parameters rewritten, or None when that is no remedy."""
    if "nest" in problem.reason or not (_FSTRING.search(text) or _GENERIC.search(text)):
        return None
    if len(text) > MAX_REWRITE_CHARS or _bracket_depth(text) > MAX_REWRITE_BRACKETS or _chained(text):
        return None
    from auditor.core._syntax312 import rewrite  # libcst: imported only for the few scripts that need it

    return rewrite(text)


def _chained(text: str) -> bool:
    """Whether one line (or a row of operators) nests without brackets: ``not not ...``, ``lambda: lambda: ...``."""
    return bool(_CHAINS.search(text)) or any(
        line.count("else") > 60 or line.count("lambda") > 40 or line.count("**") > 60 for line in text.split("\n")
    )


def _bracket_depth(text: str) -> int:
    """An upper bound of the nesting of brackets and of indentation; brackets in strings are counted too."""
    level = deepest = 0
    for match in re.finditer(r"[(\[{]|[)\]}]", text):
        level = level + 1 if match.group() in "([{" else max(level - 1, 0)
        deepest = max(deepest, level)
    indents = (len(m.group(1)) for m in re.finditer(r"^([ \t]*)\S", text, re.M))
    return max(deepest, max(indents, default=0) // 4)


FSTRING, FVALUE = "__fstring_312__", "__fvalue_312__"
"""Names of the calls that stand in for ``JoinedStr`` and ``FormattedValue`` between the two parsers."""


class _Joiner(ast.NodeTransformer):
    """Turn the stand-in calls back into the nodes that Python 3.12 would have made."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == FSTRING:
            return ast.copy_location(ast.JoinedStr(values=list(_merged(node.args))), node)
        if name == FVALUE:
            value, conversion, spec = node.args
            code = conversion.value if isinstance(conversion, ast.Constant) else -1
            if isinstance(conversion, ast.UnaryOp):
                code = -1
            spec_node = spec if isinstance(spec, ast.JoinedStr) else None
            made = ast.FormattedValue(value=value, conversion=int(str(code)), format_spec=spec_node)
            return ast.copy_location(made, node)
        return node


def _merged(parts: list[ast.expr]) -> Iterator[ast.expr]:
    """Neighbouring string constants as one, empty ones dropped, as the compiler does."""
    pending: ast.Constant | None = None
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if pending is None:
                pending = ast.copy_location(ast.Constant(value=part.value), part)
            else:
                pending.value = str(pending.value) + part.value
            continue
        if pending is not None and pending.value:
            yield pending
        pending = None
        yield part
    if pending is not None and pending.value:
        yield pending
