"""Logs against the code's print calls: what it cannot have printed, what it must have printed, what surely ran."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from auditor.core.submission import Role, SourceFile, Submission, near_sources
from auditor.core.types import Place
from auditor.record import lines as ln
from auditor.record.echo import embedded_sources
from auditor.record.facts import LineKind, MissingPrint, Run, TemplateFacts, Unprintable
from auditor.record.parse import is_own
from auditor.record.patterns import OPEN, Matcher, Template
from auditor.record.prints import FilePrints, PrintCall, read_prints

_DIGITS = re.compile(r"(?<![A-Za-z0-9_])\d+")
_MAX_REPORTED = 40
_MIN_STRENGTH = 4
_DISTINCT = 6
_CHECKED = frozenset({
    LineKind.TRAIN_STEP, LineKind.VAL_STEP, LineKind.STOP, LineKind.SIZE, LineKind.EVALUATION, LineKind.VAL_TOKENS,
    LineKind.CALIBRATION, LineKind.TTT, LineKind.WARMUP, LineKind.EVAL_TIME, LineKind.PARAMS, LineKind.MEMORY,
})


@dataclass(frozen=True, slots=True)
class _Hit:
    """What matched one line shape: the strongest templates, or only a prefix or a weak one."""

    strong: tuple[tuple[str, Template], ...]
    any: bool


class Book:
    """All templates of a submission's code, with answers cached by the shape of the line."""

    def __init__(self, prints: Iterable[FilePrints], spare: Collection[str] = ()) -> None:
        """``spare``: files that nothing is seen to run, such as older copies of the script."""
        self.files = list(prints)
        self.spare = frozenset(spare)
        self._matchers = [(f.file, Matcher(t)) for f in self.files for t in f.templates]
        self._cache: dict[str, _Hit] = {}

    def look(self, line: str) -> _Hit:
        """The templates that ``line`` fits."""
        shape = _DIGITS.sub(lambda m: "0" * len(m.group()), line)
        if shape not in self._cache:
            self._cache[shape] = self._find(line)
        return self._cache[shape]

    def _find(self, line: str) -> _Hit:
        whole = [(f, m.template) for f, m in self._matchers if m.fits(line)]
        best = max((t.strength for _, t in whole), default=0)
        strong = tuple((f, t) for f, t in whole if t.strength == best) if best >= _MIN_STRENGTH else ()
        if strong or any(t.call for _, t in whole):
            return _Hit(strong, True)
        begun = any(
            m.template.strength >= (8 if len(m.template.parts) > 1 else 14) and m.fits(line, whole=False)
            for _, m in self._matchers
        )
        return _Hit((), begun)

    def same_words(self, line: str) -> str | None:
        """A print call whose text fits once its number formats are forgotten."""
        for file in self.files:
            for template in file.templates:
                if template.call and template.typed and template.strength >= 8:
                    opened = Template(
                        tuple(p if isinstance(p, str) else (OPEN,) for p in template.parts), template.line, True, 0
                    )
                    if Matcher(opened).fits(line):
                        return template.show()
        return None

    def nearest(self, line: str) -> str | None:
        """The template whose leading literal is the longest common one with the line, if it is more than a word."""
        text = line.strip()
        best: tuple[int, str] | None = None
        for _, matcher in self._matchers:
            head = matcher.template.parts[0]
            if not isinstance(head, str):
                continue
            shared = _common(head.strip(), text)
            if shared >= 8 and (best is None or shared > best[0]):
                best = (shared, matcher.template.show())
        return best[1] if best else None


def read_book(submission: Submission) -> Book:
    """The templates of the entry and of the modules that it may run (data preparation prints into other logs)."""
    sources = [s for s in running_sources(submission) if s.path.endswith(".py")]
    return Book((read_prints(s.path, s.text) for s in sources), {s.path for s in sources if s.role is Role.OTHER})


def running_sources(submission: Submission) -> tuple[SourceFile, ...]:
    """Entry and modules whose prints can stand in a training log."""
    modules = tuple(m for m in near_sources(submission) if m.role is not Role.DATA_PREP)
    return (submission.entry, *modules) if submission.entry else modules


def template_facts(submission: Submission, runs: tuple[Run, ...], book: Book) -> TemplateFacts:
    """Compare every training run with the templates of ``book``."""
    readable = [f for f in book.files if f.problem is None]
    embedded = tuple(e for log in submission.logs for e in embedded_sources(log, running_sources(submission)))
    calls = sum(len(f.calls) for f in readable)
    if not calls:
        why = "; ".join(f"{f.file}: {f.problem}" for f in book.files if f.problem) or "the code has no print calls"
        return TemplateFacts(embedded=embedded, why=why)
    lines = {log.path: log.lines for log in submission.logs}
    unprintable: list[Unprintable] = []
    missing: list[MissingPrint] = []
    own: dict[str, int] = {}
    matched: dict[str, int] = {}
    executed: dict[str, set[int]] = {}
    for run in runs:
        if not run.is_training and not run.evaluations:
            continue
        texts = lines[run.log][run.first_line - 1 : run.last_line]
        bad, fit, total = _compare(run, texts, book, executed)
        own[run.name], matched[run.name] = total, fit
        unprintable.extend(bad[:_MAX_REPORTED])
        if run.is_training:
            missing.extend(_missing(run, texts, book))
    return TemplateFacts(
        calls=calls,
        open_calls=sum(1 for f in readable for c in f.calls if not c.templates),
        checked=tuple(own),
        unprintable=tuple(unprintable),
        missing=tuple(missing),
        matched=matched,
        own=own,
        executed={file: frozenset(found) for file, found in executed.items()},
        embedded=embedded,
        why="; ".join(f"{f.file}: {f.problem}" for f in book.files if f.problem),
    )


def executed_of(
    submission: Submission, book: Book, skip: dict[str, list[tuple[int, int]]]
) -> dict[str, frozenset[int]]:
    """Print calls that some log line proves to have run; ``skip`` holds echoed source by log (index ranges)."""
    executed: dict[str, set[int]] = {}
    for log in submission.logs:
        for number, line in enumerate(log.lines):
            if line.strip() and not _dumped(line) and not any(a <= number < b for a, b in skip.get(log.path, ())):
                _note_executed(book, ln.clean(line), executed)
    return {file: frozenset(found) for file, found in executed.items()}


def _dumped(line: str) -> bool:
    """An indented ``name: value``: a dump of all hyper-parameters prints it, so it proves no print call of its own."""
    return line[:1].isspace() and ln.lone_setting(line) is not None


def _note_executed(book: Book, text: str, executed: dict[str, set[int]]) -> None:
    """A line proves a call only when no other call of what runs prints the same."""
    hit = book.look(text)
    places = {(file, template.line) for file, template in hit.strong if template.call}
    places = {place for place in places if place[0] not in book.spare} or places
    if len(places) == 1 and hit.strong[0][1].strength >= _DISTINCT:
        file, line = next(iter(places))
        executed.setdefault(file, set()).add(line)


def _compare(
    run: Run, texts: tuple[str, ...], book: Book, executed: dict[str, set[int]]
) -> tuple[list[Unprintable], int, int]:
    bad: list[Unprintable] = []
    fit = total = 0
    shapes: set[str] = set()
    for offset, (raw, kind) in enumerate(zip(texts, run.kinds, strict=True)):
        if kind in (LineKind.SOURCE, LineKind.NOISE):
            continue
        text = ln.clean(raw)
        hit = book.look(text)
        if not _dumped(raw):
            _note_executed(book, text, executed)
        if not is_own(kind) or kind not in _CHECKED or len(text) > 400:
            continue
        total += 1
        if hit.any:
            fit += 1
            continue
        shape = re.sub(r"\d+", "0", text)
        if shape not in shapes:
            shapes.add(shape)
            at = Place(log=run.log, line=run.first_line + offset)
            bad.append(Unprintable(text.strip()[:200], kind, at, book.nearest(text), book.same_words(text)))
    return bad, fit, total


def _missing(run: Run, texts: tuple[str, ...], book: Book) -> list[MissingPrint]:
    """Unconditional prints that the log lacks although something that runs after them is there."""
    shapes: dict[str, str] = {}
    for raw, kind in zip(texts, run.kinds, strict=True):
        if kind is not LineKind.SOURCE and raw.strip():
            text = ln.clean(raw)
            shapes.setdefault(_DIGITS.sub(lambda m: "0" * len(m.group()), text), text)
    reached = _reached(shapes.values(), book)
    calls = sorted(
        ((f.file, c) for f in book.files for c in f.calls if c.always and _telling(c.templates)),
        key=lambda pair: pair[1].order,
    )
    present = [_stands(call, shapes.values()) for _, call in calls]
    last = max((call.order for (_, call), there in zip(calls, present, strict=True) if there), default=-1)
    missing: dict[str, MissingPrint] = {}
    for (file, call), there in zip(calls, present, strict=True):
        passed = call.order < last or call.line < reached.get((file, call.scope), 0)
        if not there and passed:
            text = call.templates[0].show()
            missing.setdefault(text, MissingPrint(text, Place(file=file, line=call.line), run.name))
    return list(missing.values())


def _reached(lines: Iterable[str], book: Book) -> dict[tuple[str, int], int]:
    """The last source line of each scope that some log line proves to have been reached."""
    executed: dict[str, set[int]] = {}
    for line in lines:
        _note_executed(book, line, executed)
    reached: dict[tuple[str, int], int] = {}
    for found in book.files:
        for call in found.calls:
            if call.line in executed.get(found.file, ()):
                key = (found.file, call.scope)
                reached[key] = max(reached.get(key, 0), call.line)
    return reached


def _stands(call: PrintCall, lines: Iterable[str]) -> bool:
    matchers = [Matcher(t) for t in call.templates if t.strength >= _DISTINCT]
    return any(m.fits(line) for m in matchers for line in lines)


def _telling(templates: tuple[Template, ...]) -> bool:
    return any(t.strength >= _DISTINCT for t in templates)


def _common(a: str, b: str) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
