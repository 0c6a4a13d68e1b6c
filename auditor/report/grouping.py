"""How every readable report divides the results; one place, so that no format forgets a group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.core.types import AuditReport, Confidence, Kind, Outcome, RuleMeta, RuleResult, Ruling, Verdict

HEADLINES = {
    Verdict.NON_COMPLIANT: "NON-COMPLIANT",
    Verdict.NEEDS_REVIEW: "NEEDS REVIEW",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE",
    Verdict.NO_VIOLATION_FOUND: "NO VIOLATION FOUND",
}

_RULING_ORDER = {Ruling.ILLEGAL: 0, Ruling.DISPUTED: 1, Ruling.UNRULED: 2, Ruling.LEGAL: 3}
_CONFIDENCE_ORDER = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


@dataclass(frozen=True, slots=True)
class Groups:
    """Results by what a reader does with them. Every result of a report is in exactly one group."""

    findings: tuple[RuleResult, ...]
    """Found by illegal, disputed and unruled rules on integrity and limits, worst first."""
    form: tuple[RuleResult, ...]
    recognised: tuple[RuleResult, ...]
    """Patterns that rulings accept."""
    suppressed: tuple[RuleResult, ...]
    gaps: tuple[RuleResult, ...]
    """Unknown or error: looked for, not decided."""
    clear: tuple[RuleResult, ...]
    idle: tuple[RuleResult, ...]
    """Not applicable."""

    @property
    def suppressed_count(self) -> int:
        """How many findings recorded reasons silence."""
        return sum(len(result.findings) for result in self.suppressed)


def group(report: AuditReport) -> Groups:
    """Divide the results of ``report``."""
    found = [r for r in report.results if r.outcome is Outcome.FOUND]
    standing = [r for r in found if r.suppressed is None]
    against = [r for r in standing if _meta(report, r).ruling is not Ruling.LEGAL]
    return Groups(
        findings=_sorted(report, (r for r in against if _meta(report, r).kind is not Kind.FORM)),
        form=_sorted(report, (r for r in against if _meta(report, r).kind is Kind.FORM)),
        recognised=tuple(r for r in standing if _meta(report, r).ruling is Ruling.LEGAL),
        suppressed=tuple(r for r in found if r.suppressed is not None),
        gaps=_with(report, Outcome.ERROR) + _with(report, Outcome.UNKNOWN),
        clear=_with(report, Outcome.CLEAR),
        idle=_with(report, Outcome.NOT_APPLICABLE),
    )


def names(results: Iterable[RuleResult]) -> str:
    """Rule ids, sorted, each with the witnesses that gave the result."""
    by_rule: dict[str, list[str]] = {}
    for result in results:
        by_rule.setdefault(result.rule, []).append(result.witness.value)
    return ", ".join(f"{rule} ({'+'.join(sorted(set(who)))})" for rule, who in sorted(by_rule.items()))


def gaps_by_reason(results: Iterable[RuleResult]) -> list[tuple[str, str]]:
    """Gaps that share outcome, witness and reason as one: ("unknown: a, b (source)", reason), in order."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for result in results:
        together.setdefault((result.outcome.value, result.witness.value, result.reason), []).append(result.rule)
    return [
        (f"{outcome}: {', '.join(rules)} ({witness})", reason) for (outcome, witness, reason), rules in together.items()
    ]


def ready_line(report: AuditReport) -> str:
    """One sentence: could the submission stand as a record row?"""
    word = {True: "yes", False: "no", None: "cannot be told"}[report.record_ready.ready]
    return f"Could stand as a record row: {word}."


def form_reasons(report: AuditReport, results: Iterable[RuleResult]) -> list[str]:
    """Why it is (not) ready, without what the form findings that are listed beside it say already."""
    said = {f"{result.rule}: {finding.message}" for result in results for finding in result.findings}
    return [reason for reason in report.record_ready.reasons if reason not in said]


def figure(value: float | int | str | None) -> str:
    """A claim's value for a reader: thousands separated, eight digits; ``-`` when there is none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.8g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


DECODED_LINES = "Lines are those of the decoded text, which golf-audit PR_DIR --show-source prints."


def _meta(report: AuditReport, result: RuleResult) -> RuleMeta:
    return report.rules[result.rule]


def _with(report: AuditReport, outcome: Outcome) -> tuple[RuleResult, ...]:
    return tuple(r for r in report.results if r.outcome is outcome)


def _sorted(report: AuditReport, results: Iterable[RuleResult]) -> tuple[RuleResult, ...]:
    def key(result: RuleResult) -> tuple[int, int, str]:
        best = min((_CONFIDENCE_ORDER[f.confidence] for f in result.findings), default=3)
        return _RULING_ORDER[_meta(report, result).ruling], best, result.rule

    return tuple(sorted(results, key=key))
