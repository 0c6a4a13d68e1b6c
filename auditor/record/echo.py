"""The source text that a log carries at its head, against the submitted script."""

from __future__ import annotations

import re
from collections import Counter

from auditor.core.submission import LogFile, SourceFile
from auditor.record import lines as ln
from auditor.record.facts import EmbeddedSource
from auditor.record.parse import source_regions

_COMMENT = re.compile(r"\s*#.*$")
_DOC = re.compile(r'("""|\'\'\')(?:.|\n)*?\1')


def embedded_sources(log: LogFile, sources: tuple[SourceFile, ...]) -> list[EmbeddedSource]:
    """Each echo of source text in ``log``, compared with the closest of ``sources`` (decoded and shipped text)."""
    texts = [ln.clean(line) for line in log.lines]
    known = frozenset(line.strip() for s in sources for line in s.text.splitlines() if len(line.strip()) > 8)
    found = []
    for first, last in source_regions(texts, known):
        echo = "\n".join(log.lines[first:last])
        best = min((_compared(log.path, first, last, echo, text) for text in _texts(sources)),
                   key=lambda e: (not e.identical, e.changed), default=None)
        if best is not None and best.total >= 20:
            found.append(best)
    return found


def _texts(sources: tuple[SourceFile, ...]) -> list[str]:
    return [t for s in sources if s.path.endswith(".py") for t in {s.text, s.shipped_text} if t]


def _compared(log: str, first: int, last: int, echo: str, text: str) -> EmbeddedSource:
    theirs, ours = Counter(essential(echo)), Counter(essential(text))
    extra, missing = theirs - ours, ours - theirs
    sample = [f"only in the log: {line[:90]}" for line in list(extra)[:3]]
    sample += [f"only in the script: {line[:90]}" for line in list(missing)[:3]]
    return EmbeddedSource(
        log=log,
        first=first + 1,
        last=last,
        identical=echo.strip() == text.strip(),
        changed=max(extra.total(), missing.total()),
        total=ours.total(),
        sample=tuple(sample),
        bytes=len(echo.strip().encode()),
    )


def essential(text: str) -> list[str]:
    """Lines of code without comments, docstrings, blank lines and indentation."""
    plain = _DOC.sub("", text)
    lines = (_COMMENT.sub("", line).strip() for line in plain.splitlines())
    return [" ".join(line.split()) for line in lines if line]
