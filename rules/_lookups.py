"""What the look-up and mixture rules share."""

from __future__ import annotations

from auditor.core.types import Finding
from auditor.source.facts import Lookup, MixKind, SourceFacts, StateKind
from rules._order import distinct, event_finding


def reach(facts: SourceFacts, look: Lookup) -> frozenset[int]:
    """Ids of the scores that ``look`` reaches."""
    return frozenset(score.id for score in facts.scores if look.id in score.lookups)


def target_keyed(look: Lookup) -> bool:
    """Whether the value read is a count or probability of the very token that is scored, found by that token."""
    return look.target_in_key and look.why not in ("gate", "stored")


def lookup_findings(facts: SourceFacts, looks: list[Lookup], message: str) -> list[Finding]:
    """One finding per line of the look-ups that reach a score that counts."""
    found = [event_finding(facts, look.site, look.path, look.guard, reach(facts, look), message) for look in looks]
    return distinct([finding for finding in found if finding])


def mix_findings(facts: SourceFacts, kind: MixKind, message: str) -> list[Finding]:
    """One finding per line of the mixes of ``kind`` that reach a score that counts."""
    found = [
        event_finding(facts, mix.site, mix.path, mix.guard, mix.scores, message)
        for mix in facts.mixes if mix.kind is kind
    ]
    return distinct([finding for finding in found if finding])


def legal_reads(facts: SourceFacts, use: str) -> list[Lookup]:
    """Look-ups used as ``use`` whose every reaching score is free of target-keyed and gated look-ups.

    The table must be read before it is filled with the same tokens (see `rules._order.stands`), which the callers
    check by ``rescore-two-pass`` finding nothing.
    """
    bad = {look.id for look in facts.lookups if look.target_in_key}
    spoiled = {score.id for score in facts.scores if score.lookups & bad}
    return [
        look for look in facts.lookups
        if look.use == use and not look.target_in_key and not reach(facts, look) & spoiled
    ]


def has_table(facts: SourceFacts) -> bool:
    """Whether any table is filled or read at all."""
    return bool(facts.lookups) or any(update.kind is StateKind.TABLE for update in facts.updates)
