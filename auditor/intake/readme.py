"""Blocks of a README: fenced or indented code with the heading and the sentence before it, and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Block:
    """A code block; ``line`` is that of its first line of content, ``context`` heading and nearest words before."""

    text: str
    line: int
    language: str
    heading: str
    context: str


def blocks(text: str) -> list[Block]:
    """Fenced code blocks, and inline code that launches a script."""
    found: list[Block] = []
    heading, before = "", ""
    lines = text.split("\n")[:MAX_LINES]
    at = 0
    while at < len(lines):
        fence = re.match(r"^\s*(?:>\s*)?(`{3,}|~{3,})\s*([\w+-]*)", lines[at])
        if fence:
            end = next(
                (i for i in range(at + 1, len(lines)) if lines[i].strip().lstrip("> ").startswith(fence.group(1))),
                len(lines),
            )
            found.append(Block("\n".join(lines[at + 1:end]), at + 2, fence.group(2).lower(), heading, before))
            at = end + 1
            continue
        title = re.match(r"^\s{0,3}#{1,6}\s+(.*)", lines[at])
        if title:
            heading, before = title.group(1), ""
        elif lines[at].strip():
            before = lines[at].strip()
            found.extend(_inline(lines[at], at + 1, heading))
        at += 1
    return found


def _inline(line: str, number: int, heading: str) -> list[Block]:
    """Code spans of a line that hold a launch or assignments, and lines indented as code."""
    spans = re.findall(r"`([^`]{8,2000})`", line)
    made = [s for s in spans if re.search(r"\b(torchrun|python3?)\b.*\.py|^(?:[A-Z][A-Z0-9_]*=\S+\s*){3,}$", s)]
    if not spans and re.match(r"^(?: {4}|\t)\s*(?:[A-Z_0-9]+=\S+\s+)*(?:torchrun|python3?|export)\b", line):
        made = [line.strip()]
    return [Block(s, number, "inline", heading, line) for s in made]


def settings_in_tables(text: str) -> dict[str, tuple[str, int]]:
    """Name to (value, line) of ``NAME=value`` spans, ``NAME: value`` bullets and table rows with an upper-case name.

    These say less surely than a command what was set; names in more than one value are dropped.
    """
    found: dict[str, tuple[str, int]] = {}
    clashing: set[str] = set()
    fenced = False
    for number, line in enumerate(text.split("\n")[:MAX_LINES], 1):
        if re.match(r"^\s*(`{3,}|~{3,})", line):
            fenced = not fenced
        if fenced:
            continue
        for name, value in _pairs(line):
            if name in found and found[name][0] != value:
                clashing.add(name)
            found.setdefault(name, (value, number))
    return {name: value for name, value in found.items() if name not in clashing}


_PROSE = re.compile(
    r"(?i)\b(set|setting|disabl|turn|unset|if|without|ablat|default|optional|when|instead|try|tried|can|could|vs|versus|"
    r"rather|previous|worse|fail|sweep|test|compar|swap|replac|remov|off|would|should|use|not|no|was|old|smoke|dry|sanity|"
    r"debug|other|toggle)"
)


def _pairs(line: str) -> list[tuple[str, str]]:
    """Pairs of one line; of prose that may speak of another run (``set X=0 to disable``) only table rows count."""
    prose = bool(_PROSE.search(line)) and not line.lstrip().startswith("|")
    pairs = re.findall(r"`([A-Z][A-Z0-9_]{2,60})\s*=\s*([^`\s]{1,80})`", line)
    name, value = r"([A-Z][A-Z0-9]*_[A-Z0-9_]{1,60})", r"([-+.\w/]{1,60}(?:,\d{1,4})*)"
    row = re.match(rf"^\s*\|\s*`?{name}`?\s*\|\s*`?{value}`?\s*\|", line)
    bullet = re.match(rf"^\s*[-*]\s*`?{name}`?\s*[:=]\s*`?{value}`?\s*(?:$|[(,;#])", line)
    bare = re.findall(rf"(?<![\w`$]){name}={value}(?![\w(])", line)
    sure = [(m.group(1), m.group(2)) for m in (row, bullet) if m is not None]
    return sure if prose else [*sure, *pairs, *bare]
