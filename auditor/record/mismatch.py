"""Stale or invented? Lines that the code cannot print, weighed with signs that no other version of it explains."""

from __future__ import annotations

from auditor.core.types import Place
from auditor.record.facts import (
    LineKind,
    MetricFacts,
    MismatchFacts,
    MissingPrint,
    Run,
    SeedFacts,
    SizeFacts,
    TemplateFacts,
    Unprintable,
)
from auditor.record.stated import Claims

_MANY = 5
_VOCAB_GAP = 0.05
_STALE_LINES = 1


def mismatch_facts(
    templates: TemplateFacts,
    runs: tuple[Run, ...],
    metric: MetricFacts,
    sizes: SizeFacts | None,
    seeds: SeedFacts,
    claims: Claims,
) -> MismatchFacts:
    """Weigh the mismatch between logs and code over the ``runs`` behind the headline."""
    names = {run.log for run in runs}
    foreign = tuple(u for u in templates.unprintable if u.at.log in names)
    heart = tuple(u for u in foreign if u.kind is LineKind.SIZE or _is_headline(u, metric))
    missing = [m for m in templates.missing if m.log.partition("#")[0] in names]
    hard = [*_formats(foreign), *_clocks(runs)]
    soft = [*_missing_signs(missing), *_claims_signs(runs, metric, claims)]
    soft += [(sentence, at) for sentence, at in (sizes.inconsistent if sizes else ())]
    soft += [(f"{a} and {b}: {why}", at) for a, b, why, at in seeds.duplicates]
    signs = (*hard, *soft)
    confidence = None
    if heart and hard and len(signs) >= 3:
        confidence = "high"
    elif heart and hard and len(signs) >= 2:
        confidence = "medium"
    return MismatchFacts(
        confidence=confidence,
        unprintable=heart,
        signs=signs,
        stale=tuple(_stale(foreign, missing, templates)),
    )


def _is_headline(line: Unprintable, metric: MetricFacts) -> bool:
    return any(at == line.at for _, at in metric.logged_as)


def _formats(foreign: tuple[Unprintable, ...]) -> list[tuple[str, Place]]:
    """Lines with the very words of a print call, but figures that its formats cannot give."""
    what = "has the words of a print call, but figures that its format cannot give"
    return [(f"{u.text[:80]!r} {what}: {u.same_words!r}", u.at) for u in foreign if u.same_words][:3]


def _clocks(runs: tuple[Run, ...]) -> list[tuple[str, Place]]:
    """An evaluation that took longer by its inner clock than by the outer clock around it."""
    found = []
    for run in runs:
        for inner, outer in zip(run.evaluations, run.evaluations[1:], strict=False):
            if inner.eval_seconds is None or outer.eval_seconds is None or not (inner.val_loss and outer.val_loss):
                continue
            close = (outer.at.line or 0) - (inner.at.line or 0) <= 3
            same = abs(inner.val_loss.value - outer.val_loss.value) < 1e-3
            if close and same and "done" in inner.label and outer.eval_seconds < inner.eval_seconds - 0.06:
                found.append((
                    f"an evaluation took {outer.eval_seconds:.3f} s by the outer clock, {inner.eval_seconds:.1f} s by "
                    "the clock inside it", outer.at,
                ))
    return found


def _missing_signs(missing: list[MissingPrint]) -> list[tuple[str, Place]]:
    by_log: dict[str, list[MissingPrint]] = {}
    for one in missing:
        by_log.setdefault(one.log, []).append(one)
    return [
        (f"{log} lacks {len(found)} lines that the code always prints, such as {found[0].text[:60]!r}", found[0].at)
        for log, found in by_log.items() if len(found) >= _MANY
    ]


def _claims_signs(runs: tuple[Run, ...], metric: MetricFacts, claims: Claims) -> list[tuple[str, Place]]:
    found = []
    if metric.ratio and metric.expected_ratio and metric.vocab and claims.vocab:
        low, high = metric.expected_ratio
        if not low * (1 - _VOCAB_GAP) <= metric.ratio <= high * (1 + _VOCAB_GAP):
            found.append((
                f"the logs score {metric.ratio:.3f} bytes per token, a vocabulary of {metric.vocab} gives {low:.2f} to "
                f"{high:.2f}", claims.vocab.at,
            ))
    clocks = [run.stop for run in runs if run.stop is not None]
    stated = claims.train_seconds
    far = [c for c in clocks if stated and abs(c.train_seconds - stated.value) > 0.15 * stated.value]
    if stated and stated.value > 60 and far and len(far) == len(clocks):
        found.append((f"{stated.value:g} s of training are stated, {far[-1].train_seconds:.0f} s logged", far[-1].at))
    if metric.literal:
        found.append(("the headline stands in the code as a literal", metric.literal[0]))
    return found


def _stale(
    foreign: tuple[Unprintable, ...], missing: list[MissingPrint], templates: TemplateFacts
) -> list[tuple[str, Place]]:
    """Differences to note: lines of another version, absent lines, another embedded source."""
    found = [(f"no print call of the submitted code gives this line: {u.text[:100]!r}", u.at) for u in foreign[:10]]
    for one in missing[:5]:
        found.append((f"{one.log} lacks a line that the submitted code always prints: {one.text[:100]!r}", one.at))
    for echo in templates.embedded:
        if echo.changed > max(_STALE_LINES, echo.total // 100):
            sample = f" ({echo.sample[0]})" if echo.sample else ""
            found.append((
                f"the source in the log differs from the script in {echo.changed} of {echo.total} lines{sample}",
                Place(log=echo.log, line=echo.first),
            ))
    return found
