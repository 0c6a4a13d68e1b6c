"""The lines that findings point at, with a few around them: bounded, and cut where a line is too long to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from auditor.core.exhibits import Excerpt
from auditor.core.submission import Submission
from auditor.core.types import Finding, Outcome, RuleResult

AROUND = 4
"""Lines on either side of a finding."""
AROUND_STEP = 1
"""Lines on either side of a step of its path."""
MAX_LINES = 900
"""Of all excerpts together."""
MAX_FINDINGS = 12
"""Of one result; a page shows no more."""
MAX_STEPS = 16
LONG = 240
"""Characters of one line."""


def excerpts(submission: Submission, results: Iterable[RuleResult]) -> tuple[Excerpt, ...]:
    """Excerpts of the sources and logs of ``submission`` at what was found, by file and line; the first come first."""
    texts = _texts(submission)
    wanted: dict[str, set[int]] = {}
    left = MAX_LINES
    for finding in _in_turn(results):
        for file, line, around in _places(finding):
            lines = texts.get(file)
            if lines is None or not 1 <= line <= len(lines):
                continue
            new = set(range(max(1, line - around), min(len(lines), line + around) + 1)) - wanted.get(file, set())
            if len(new) <= left:
                wanted.setdefault(file, set()).update(new)
                left -= len(new)
    return tuple(one for file in sorted(wanted) for one in _runs(file, sorted(wanted[file]), texts[file]))


def _texts(submission: Submission) -> Mapping[str, Sequence[str]]:
    """Lines of every file that a finding may name, by its name."""
    sources = (*((submission.entry,) if submission.entry else ()), *submission.modules)
    found: dict[str, Sequence[str]] = {log.path: log.lines for log in submission.logs}
    found |= {source.path: source.text.splitlines() for source in sources}
    if submission.metadata is not None:
        found[submission.metadata.path] = submission.metadata.raw.splitlines()
    return found


def _in_turn(results: Iterable[RuleResult]) -> Iterable[Finding]:
    """The first finding of each result, then the second of each, and so on."""
    found = [r.findings[:MAX_FINDINGS] for r in results if r.outcome is Outcome.FOUND]
    for number in range(max(map(len, found), default=0)):
        yield from (findings[number] for findings in found if len(findings) > number)


def _places(finding: Finding) -> Iterable[tuple[str, int, int]]:
    at = finding.at
    name = at.file or at.log
    if name is not None and at.line is not None:
        yield name, at.line, AROUND
        if at.end_line is not None:
            yield from ((name, line, 0) for line in range(at.line, min(at.end_line, at.line + 12) + 1))
    yield from ((step.file, step.line, AROUND_STEP) for step in islice(finding.path, MAX_STEPS))


def _runs(file: str, numbers: list[int], lines: Sequence[str]) -> Iterable[Excerpt]:
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield Excerpt(file, numbers[start], tuple(_cut(lines[n - 1]) for n in numbers[start:index]))
            start = index


def _cut(line: str) -> str:
    """A line as it stands, its end replaced by a count where it is longer than `LONG`."""
    bare = line.rstrip("\r\n")
    return bare if len(bare) <= LONG else f"{bare[:LONG]} ...({len(bare) - LONG} characters left out)"
