"""The verdict: a pure function of what the witnesses said (DESIGN section 3). Nothing else decides it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from auditor.core.types import Confidence, Kind, Outcome, RuleMeta, RuleResult, Ruling, Verdict, Witness

FULL: frozenset[Witness] = frozenset({Witness.SOURCE, Witness.RECORD, Witness.BEHAVIOUR})
"""The witnesses of a complete audit (a rerun needs eight GPUs and is asked for by itself)."""

_RANK = {Confidence.LOW: 0, Confidence.MEDIUM: 1, Confidence.HIGH: 2}
SHOWN = 3
"""Unread files that the verdict's sentence names."""
_GAPS = (Outcome.UNKNOWN, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, whether everything was covered, and one sentence that says why."""

    verdict: Verdict
    complete: bool
    reason: str


def judge(
    results: Iterable[RuleResult],
    rules: Mapping[str, RuleMeta],
    *,
    required: Collection[Witness],
    ran: Collection[Witness],
    unread: Collection[str] = (),
) -> Judgement:
    """Judge by the results of the rules in force.

    A rule that is not yet in force must come as ``not_applicable``. Form rules, legal patterns and suppressed
    findings never decide. ``required`` witnesses that are not among ``ran``, and ``unread`` files, leave the audit
    inconclusive. A result of a rule without metadata is a ``KeyError``: it must not pass unnoticed.
    """
    results = tuple(results)
    deciding = [r for r in results if r.suppressed is None and decides(rules[r.rule])]
    found = [r for r in deciding if r.outcome is Outcome.FOUND]
    gaps = [r for r in deciding if r.outcome in _GAPS]
    absent = sorted(w.value for w in required if w not in ran)
    complete = not gaps and not absent and not unread and set(ran) >= FULL
    refused = _refused(found, rules)
    if refused:
        return Judgement(Verdict.NON_COMPLIANT, complete, f"Found, and ruled illegal: {_names(refused)}.")
    if found:
        return Judgement(
            Verdict.NEEDS_REVIEW, complete, f"Found, for a person to decide: {_names(r.rule for r in found)}."
        )
    if absent:
        return Judgement(Verdict.INCONCLUSIVE, complete, f"A required witness did not run: {', '.join(absent)}.")
    if gaps:
        return Judgement(Verdict.INCONCLUSIVE, complete, f"Could not be decided: {_names(r.rule for r in gaps)}.")
    if unread:
        more = f" and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        files = ", ".join(sorted(unread)[:SHOWN])
        return Judgement(Verdict.INCONCLUSIVE, complete, f"Could not be read, wholly or in part: {files}{more}.")
    return Judgement(Verdict.NO_VIOLATION_FOUND, complete, _nothing(results, rules))


def decides(meta: RuleMeta) -> bool:
    """Whether a rule has a say in the verdict: form rules and legal patterns have none."""
    return meta.kind is not Kind.FORM and meta.ruling is not Ruling.LEGAL


def confidence(result: RuleResult) -> Confidence:
    """The highest confidence among a result's findings; ``low`` when it has none."""
    return max((f.confidence for f in result.findings), key=_RANK.__getitem__, default=Confidence.LOW)


def _refused(found: Iterable[RuleResult], rules: Mapping[str, RuleMeta]) -> list[str]:
    """Illegal rules found at high confidence, or by two witnesses at medium or more."""
    best: defaultdict[str, dict[Witness, int]] = defaultdict(dict)
    for result in found:
        if rules[result.rule].ruling is Ruling.ILLEGAL:
            ranks = best[result.rule]
            ranks[result.witness] = max(_RANK[confidence(result)], ranks.get(result.witness, 0))
    high, medium = _RANK[Confidence.HIGH], _RANK[Confidence.MEDIUM]
    return [
        rule
        for rule, ranks in best.items()
        if max(ranks.values()) >= high or sum(rank >= medium for rank in ranks.values()) >= 2
    ]


def _nothing(results: Iterable[RuleResult], rules: Mapping[str, RuleMeta]) -> str:
    """The sentence of a verdict without findings; it says what only a recorded reason keeps from deciding."""
    silenced = [r.rule for r in results if r.suppressed is not None and decides(rules[r.rule])]
    if silenced:
        return f"Nothing stands; suppressed by a recorded reason: {_names(silenced)}."
    return "Nothing was found by the checks that ran."


def _names(rules: Iterable[str]) -> str:
    return ", ".join(sorted(set(rules)))
