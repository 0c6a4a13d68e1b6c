"""Read ``submission.json`` however dirty it is: what can be read is read, and every defect is said with its line."""

from __future__ import annotations

import json
import re
from typing import Any

from auditor.core.submission import JsonDoc

MAX_DEPTH = 60
"""Deepest nesting of brackets that is parsed; the deepest real file has 7."""
MAX_PROBLEMS = 50
_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\\?\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)|#[^\n]*|,(?=\s*[}\]])|[{}\[\]]', re.S
)


def read_json(path: str, text: str, decoding: str | None = None) -> JsonDoc:
    """Parse ``text``; ``decoding`` is a problem that decoding the bytes already had. Never raises."""
    problems: list[tuple[int, str]] = [(1, decoding)] if decoding else []
    raw = text
    text = text.removeprefix("\ufeff")
    if not text.strip("\0 \t\r\n"):
        return JsonDoc(path, raw, None, (*problems, (1, "the file is empty")))
    if "\0" in text:
        problems.append((text.count("\n", 0, text.index("\0")) + 1, "contains NUL characters"))
        text = text.replace("\0", "")
    if _nesting(text) > MAX_DEPTH:
        return JsonDoc(path, raw, None, (*problems, (1, f"nests deeper than {MAX_DEPTH} levels")))
    value, found = _parse(text, problems)
    if not found:
        return JsonDoc(path, raw, None, tuple(problems))
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        problems.append((1, "a list with one object instead of an object"))
        value = value[0]
    if not isinstance(value, dict):
        problems.append((1, f"the top level is {_kind(value)}, not an object"))
        return JsonDoc(path, raw, None, tuple(problems))
    return JsonDoc(path, raw, value, tuple(problems), key_lines(text))


def key_lines(text: str) -> dict[str, int]:
    """Line on which each key of the top-level object first stands."""
    lines: dict[str, int] = {}
    level, at, line = 0, 0, 1
    for match in _TOKEN.finditer(text):
        line += text.count("\n", at, match.start())
        at, token = match.start(), match.group()
        if token in "{[":
            level += 1
        elif token in "}]":
            level -= 1
        elif token.startswith('"') and level == 1 and re.match(r"\s*:", text[match.end():match.end() + 40]):
            lines.setdefault(_unquoted(token), line)
    return lines


def _parse(text: str, problems: list[tuple[int, str]]) -> tuple[Any, bool]:
    """Strictly first, then with each tolerance in turn; (value, whether anything could be read)."""
    try:
        return _load(text, problems), True
    except (ValueError, RecursionError) as error:
        first = error
    mended, defects = _mended(text)
    if defects:
        try:
            value = _load(mended, problems)
            problems.extend(defects)
            return value, True
        except (ValueError, RecursionError):
            pass
    start = text.find("{")
    if start >= 0:
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
            where = 0 if text[:start].strip() else end
            problems.append((text.count("\n", 0, where) + 1, "text before or after the object"))
            return value, True
        except (ValueError, RecursionError):
            pass
    line = getattr(first, "lineno", 1)
    problems.append((line, f"not valid JSON: {getattr(first, 'msg', first)}"))
    return None, False


def _load(text: str, problems: list[tuple[int, str]]) -> Any:
    found: list[tuple[int, str]] = []

    def constant(name: str) -> float:
        if len(found) < MAX_PROBLEMS:
            found.append((_line_of(text, name), f"{name} is not a JSON number"))
        return float(name.replace("Infinity", "inf"))

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result and len(found) < MAX_PROBLEMS:
                found.append((_line_of(text, json.dumps(key), last=True), f"the key {key!r} stands twice"))
            result[key] = value
        return result

    def number(digits: str) -> int | float:
        return int(digits) if len(digits) < 400 else float("inf")

    value = json.JSONDecoder(
        object_pairs_hook=pairs, parse_constant=constant, parse_int=number, strict=False
    ).decode(text)
    problems.extend(found)
    return value


def _mended(text: str) -> tuple[str, list[tuple[int, str]]]:
    """``text`` without comments and trailing commas (line ends kept), with what was dropped."""
    defects: list[tuple[int, str]] = []

    def drop(match: re.Match[str]) -> str:
        token = match.group()
        if token[0] in '"{}[]':
            return token
        what = "a trailing comma" if token == "," else "a comment"
        if len(defects) < MAX_PROBLEMS:
            defects.append((text.count("\n", 0, match.start()) + 1, what))
        return "\n" * token.count("\n")

    first = _TOKEN.sub(drop, text)
    return re.sub(r",(\s*[}\]])", r"\1", first) if defects else first, defects


def _nesting(text: str) -> int:
    level = deepest = 0
    for match in _TOKEN.finditer(text):
        if match.group() in ("{", "["):
            level += 1
            deepest = max(deepest, level)
        elif match.group() in ("}", "]"):
            level -= 1
    return deepest


def _line_of(text: str, token: str, *, last: bool = False) -> int:
    at = text.rfind(token) if last else text.find(token)
    return text.count("\n", 0, max(at, 0)) + 1


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token[1:-1]


def _kind(value: Any) -> str:
    return {"NoneType": "null", "list": "a list", "str": "text", "bool": "true or false"}.get(
        type(value).__name__, "a number"
    )
