"""The behaviour witness by itself: the probe of one submission, and what the rules make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auditor import engine
from auditor.behaviour import audit as behaviour
from auditor.behaviour.facts import TraceFacts
from auditor.core.guard import Answer, contained
from auditor.core.rule import Rule
from auditor.core.submission import Submission
from auditor.core.types import BehaviourInfo, Outcome, RuleResult, Verdict, Witness
from auditor.core.verdict import judge

RULE_SECONDS = 30.0
ONLY = (Witness.BEHAVIOUR,)


class CannotProbe(engine.UsageError):
    """This machine, or this submission, cannot be probed as asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the witness saw, the block for reports, and the verdict of the rules on that alone."""

    facts: TraceFacts
    info: BehaviourInfo
    verdict: Verdict
    results: tuple[RuleResult, ...] = ()


def load(path: Path, options: engine.Options) -> Submission:
    """The submission, where it can be probed. Raises intake's errors and `CannotProbe`."""
    from auditor.intake import load_submission

    submission = load_submission(path, base=options.base, name=options.name)
    if submission.entry is None:
        raise CannotProbe(engine.NO_SCRIPT)
    reason = behaviour.why_not(options.unsandboxed)
    if reason:
        raise CannotProbe(f"the submission was not run: {reason}")
    return submission


def probe(
    submission: Submission, options: engine.Options = engine.DEFAULTS, rules: Mapping[str, Rule] | None = None
) -> Probed:
    """Run the submission and ask the rules. Raises what the probe raises."""
    lines, executed = logged(submission)
    request = behaviour.Request(
        options.unsandboxed, options.run_seconds, options.witness_dir, lines, executed, options.on_progress
    )
    heard = behaviour.listen(submission, request)
    if rules is None:
        from rules import load_rules

        rules = load_rules()
    results = tuple(_asked(submission, heard.facts, rules))
    metas = {rule_id: rule.meta() for rule_id, rule in rules.items()}
    verdict = judge(results, metas, required=ONLY, ran=ONLY).verdict
    return Probed(heard.facts, behaviour.info(submission, heard), at_least(verdict, heard.facts), results)


def logged(submission: Submission) -> tuple[tuple[str, ...], Mapping[str, frozenset[int]]]:
    """The log lines of the claimed score, and the lines of code that the logs show to have run; none when the record
    cannot be read."""
    from auditor.record import analyse
    from auditor.record.claimed import headline_lines, nearest_lines

    record = contained(lambda: analyse(submission), seconds=RULE_SECONDS)
    if not isinstance(record, Answer):
        return (), {}
    lines = headline_lines(submission, record.value) or nearest_lines(submission, record.value)
    return lines, record.value.templates.executed


def _asked(submission: Submission, facts: TraceFacts, rules: Mapping[str, Rule]) -> list[RuleResult]:
    results = []
    for rule_id, rule in rules.items():
        if not rule.covers(Witness.BEHAVIOUR):
            continue
        ruled = contained(lambda rule=rule: rule.check_trace(submission, facts), seconds=RULE_SECONDS)  # type: ignore[misc]
        if isinstance(ruled, Answer):
            answer = ruled.value
            results.append(RuleResult(rule_id, Witness.BEHAVIOUR, answer.outcome, answer.reason, answer.findings))
        else:
            reason = f"the rule {rule_id} failed: {ruled.reason}"
            results.append(RuleResult(rule_id, Witness.BEHAVIOUR, Outcome.ERROR, reason))
    return results


def at_least(verdict: Verdict, facts: TraceFacts) -> Verdict:
    """The rules' verdict, but never milder than the answers: found is for review at least, unknown no pass."""
    if verdict is Verdict.NON_COMPLIANT:
        return verdict
    outcomes = {answer.outcome for answer in facts.answers.values()}
    if Outcome.FOUND in outcomes:
        return Verdict.NEEDS_REVIEW
    if verdict is Verdict.NO_VIOLATION_FOUND and (not facts.reached or not outcomes or outcomes & _OPEN):
        return Verdict.INCONCLUSIVE
    return verdict


_OPEN = {Outcome.UNKNOWN, Outcome.ERROR}
