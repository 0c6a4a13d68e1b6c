"""What the order rules share: which scores count, how an update stands to them, and how sure that is.

A score counts when a printed number is made of it. Where the claimed score was found in the logs, and the print call
that wrote it is known, only the scores behind that call count. Labelled diagnostics decide nothing. A training loss
(computed with gradients on and never printed as a score) is no score.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from auditor.core.rule import Ruled
from auditor.core.types import Confidence, Finding, PathStep, Place
from auditor.source.facts import (
    Lookup,
    Order,
    Origin,
    Score,
    Site,
    SourceFacts,
    StateKind,
    Update,
    order,
)

_DIAGNOSTIC = re.compile(r"diagnos|\bdiag\b|debug|sanity|ablation|upper.?bound|not[ _]claimed|warm.?up", re.I)
_SCORE_TEXT = re.compile(r"bpb|val_loss|nll|bits", re.I)
_LOSS_TEXT = re.compile(r"loss", re.I)
"""Without a word of `_SCORE_TEXT` the line states a training loss."""


class Standing(StrEnum):
    """How a score reaches the reader."""

    REPORTED = "reported"
    DIAGNOSTIC = "diagnostic"
    """Every number made of it is labelled a diagnostic."""
    UNREPORTED = "unreported"
    """No printed number could be traced to it."""
    TRAINING_LOSS = "training_loss"
    """A loss that is minimised and not printed as a score, or a turn that is left out of the printed sum."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An update and a score that depends on it."""

    update: Update
    score: Score
    order: Order
    standing: Standing


def standing(facts: SourceFacts, score: Score) -> Standing:
    """How ``score`` reaches the reader, by the literal texts of the reports made of it."""
    said = [r.text for r in facts.reports if score.id in r.scores]
    minimised = score.with_grad or _is_minimised(facts, score)
    texts = [text for text in said if _SCORE_TEXT.search(text) or not (minimised or _LOSS_TEXT.search(text))]
    if facts.headline is not None and score.id in facts.headline:
        return Standing.REPORTED
    if texts and facts.headline is not None:
        return Standing.DIAGNOSTIC
    if texts:
        return Standing.DIAGNOSTIC if all(_DIAGNOSTIC.search(text) for text in texts) else Standing.REPORTED
    if said or minimised or _counts_elsewhere(facts, score):
        return Standing.TRAINING_LOSS
    return Standing.UNREPORTED


def _is_minimised(facts: SourceFacts, score: Score) -> bool:
    """Whether an update of weights or of a vector follows in the score's outermost loop, with no score between."""
    outer = score.loops[:1]
    later = [o.position for o in facts.scores if o.loops[:1] == outer and o.position > score.position]
    limit = min(later, default=None)
    return any(
        update.loops[:1] == outer and score.position < update.position and (limit is None or update.position < limit)
        for update in facts.updates if update.kind in (StateKind.WEIGHTS, StateKind.VECTOR)
    )


def _counts_elsewhere(facts: SourceFacts, score: Score) -> bool:
    """Whether another turn of the same line and loops is reported: then this turn is knowingly left out."""
    twins = {o.id for o in facts.scores if o.site == score.site and o.loops == score.loops and o.id != score.id}
    return any(report.scores & twins for report in facts.reports)


def counted(facts: SourceFacts) -> tuple[Score, ...]:
    """The scores that may decide: reported ones, and unreported ones that are no training loss."""
    return tuple(s for s in facts.scores if standing(facts, s) in (Standing.REPORTED, Standing.UNREPORTED))


def stands(facts: SourceFacts, update: Update, score: Score) -> Order:
    """`order`, refined by what facts say of slices and table reads.

    A table is used where it is read, not where the loss is summed: a hint table that one sweep both reads (first)
    and fills stands score-first to every later sum, and what is written but never looked up is a buffer, no table.
    An update from positions disjoint from the scored ones of the same turn serves later data only.
    """
    told = order(facts, update, score)
    if told is Order.TRAIN_FIRST and score.id in update.disjoint_from:
        return Order.SCORE_FIRST
    if told is Order.UNRELATED or update.kind is not StateKind.TABLE:
        return told
    reads = [
        look for look in facts.lookups
        if look.id in score.lookups and (update.id in look.updates or not look.updates)
    ]
    if not reads:  # a whole table, counted over the whole text in one call, is used without being looked up
        return told if told is Order.EARLIER_PASS and not update.loops else Order.UNRELATED
    found = [_read_order(facts, update, look) for look in reads]
    worst = (Order.EARLIER_PASS, Order.REPEATED, Order.TRAIN_FIRST, Order.SCORE_FIRST)
    return next(candidate for candidate in worst if candidate in found)


def _read_order(facts: SourceFacts, update: Update, look: Lookup) -> Order:
    """How a table update stands to one read of that table."""
    common = [a for a, b in zip(update.loops, look.loops, strict=False) if a == b]
    if any(facts.loops[loop].turns != 1 and loop not in update.varies for loop in common):
        return Order.REPEATED
    shared = [loop for loop in common if facts.loops[loop].turns != 1]
    if update.position < look.position:
        return Order.TRAIN_FIRST if shared else Order.EARLIER_PASS
    return Order.SCORE_FIRST


def pairs(facts: SourceFacts, *kinds: StateKind, origin: Origin = Origin.VAL) -> list[Pair]:
    """All pairs of an update of ``kinds`` from ``origin`` and a counted score that depends on it."""
    scores = [(score, standing(facts, score)) for score in counted(facts)]
    return [
        Pair(update, score, stands(facts, update, score), how)
        for update in facts.updates if update.kind in kinds and origin in update.origins
        for score, how in scores if update.id in score.depends_on
    ]


def scored_in_pass(facts: SourceFacts, update: Update) -> bool:
    """Whether a score other than the update's own training loss comes first in the update's own loop."""
    for score in facts.scores:
        if standing(facts, score) is Standing.TRAINING_LOSS or score.position > update.position:
            continue
        common = [a for a, b in zip(update.loops, score.loops, strict=False) if a == b]
        if any(loop in score.varies and loop in update.varies for loop in common):
            return True
    return False


def vectors(facts: SourceFacts) -> list[Pair]:
    """Pairs of small vectors that are optimised on their own, not together with weights by one optimiser."""
    weights = {update.site for update in facts.updates if update.kind is StateKind.WEIGHTS}
    return [pair for pair in pairs(facts, StateKind.VECTOR) if pair.update.site not in weights]


def trains_on_val(facts: SourceFacts, update: Update) -> bool:
    """Whether ``update`` is the training proper, done on validation tokens, rather than a later adaptation."""
    if update.kind is not StateKind.WEIGHTS or Origin.VAL not in update.origins:
        return False
    if update.during_training:
        return True
    trained = any(u.kind is StateKind.WEIGHTS and Origin.TRAIN in u.origins for u in facts.updates)
    return not trained and not any(read.origin is Origin.TRAIN for read in facts.reads)


def sure(how: Standing, *guards: str) -> Confidence:
    """HIGH for a reported score on a path without undecided conditions, LOW for an unreported one."""
    if how is not Standing.REPORTED:
        return Confidence.LOW
    return Confidence.MEDIUM if any(guards) else Confidence.HIGH


def place(site: Site) -> Place:
    """The place in the decoded source that ``site`` names."""
    return Place(file=site.file, line=site.line, end_line=site.end_line, column=site.column)


def pair_findings(found: list[Pair], message: str) -> list[Finding]:
    """One finding per line of update, by its surest pair; the path ends at the score."""
    best: dict[tuple[str, int], Finding] = {}
    for pair in found:
        site = pair.update.site
        level = sure(pair.standing, pair.update.guard, pair.score.guard)
        score = pair.score.site
        steps = (*pair.update.path, PathStep(score.file, score.line, "the score that this update reaches"))
        note = _guard_note(pair.update.guard or pair.score.guard)
        finding = Finding(level, message + note, place(site), steps)
        key = (site.file, site.line)
        if key not in best or _RANK[level] < _RANK[best[key].confidence]:
            best[key] = finding
    return list(best.values())


_RANK = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


def _guard_note(guard: str) -> str:
    return f" (if {guard}, which could not be decided)" if guard else ""


def event_finding(
    facts: SourceFacts, site: Site, path: tuple[PathStep, ...], guard: str, scores: frozenset[int], message: str
) -> Finding | None:
    """A finding for an event that reaches ``scores``; None when it reaches diagnostics or training losses only."""
    ways = {standing(facts, score) for score in facts.scores if score.id in scores}
    if Standing.REPORTED in ways:
        how = Standing.REPORTED
    elif Standing.UNREPORTED in ways:
        how = Standing.UNREPORTED
    else:
        return None
    return Finding(sure(how, guard), message + _guard_note(guard), place(site), path)


def distinct(findings: list[Finding]) -> list[Finding]:
    """One finding per line, the surest."""
    best: dict[str, Finding] = {}
    for finding in findings:
        key = str(finding.at)
        if key not in best or _RANK[finding.confidence] < _RANK[best[key].confidence]:
            best[key] = finding
    return list(best.values())


def gap(facts: SourceFacts) -> str:
    """Why "nothing found" would prove nothing here; empty when the walk covered the scoring."""
    if facts.foreign:
        return facts.foreign
    if not facts.scores:
        return "no score of validation tokens was found" + _first(facts.unresolved)
    if not facts.complete:
        return "the walk over the code was cut short" + _first(facts.unresolved)
    if all(standing(facts, score) is Standing.TRAINING_LOSS for score in facts.scores):
        return "only training losses were found, no score of validation tokens" + _first(facts.unresolved)
    return ""


def _first(sentences: tuple[str, ...]) -> str:
    return f": {sentences[0]}" if sentences else ""


def conclude(facts: SourceFacts, findings: list[Finding], found: str, clear: str) -> Ruled:
    """``found`` with findings; else ``unknown`` where coverage is missing; else ``clear``."""
    if findings:
        return Ruled.found(findings, found)
    missing = gap(facts)
    if missing:
        return Ruled.unknown(missing)
    return Ruled.clear(clear + off_note(facts))


def recognise(facts: SourceFacts, findings: list[Finding], found: str, absent: str) -> Ruled:
    """For legal patterns: ``found`` with findings, else ``not_applicable`` (its absence is no merit)."""
    return Ruled.found(findings, found) if findings else Ruled.not_applicable(absent)


def off_note(facts: SourceFacts) -> str:
    """A sentence on code that a flag switches off; empty without any."""
    if not facts.disabled:
        return ""
    off = facts.disabled[0]
    more = f" and {len(facts.disabled) - 1} more" if len(facts.disabled) > 1 else ""
    return f"; switched off: {off.function} at {off.site.file}:{off.site.line} ({off.condition}: {off.value}){more}"
