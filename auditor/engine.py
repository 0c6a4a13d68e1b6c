"""The engine: one submission in, one `AuditReport` out. A step that fails is reported as failed, never as a pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from auditor import __version__
from auditor.core import describe, suppress
from auditor.core.editions import EDITION, edition, in_force
from auditor.core.guard import Answer, Failure, contained
from auditor.core.rule import Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.text import visible
from auditor.core.types import (
    AuditReport,
    BehaviourInfo,
    Claim,
    Outcome,
    RecordReady,
    RuleMeta,
    RuleResult,
    Verdict,
    Witness,
)
from auditor.core.verdict import judge
from auditor.core.withdrawn import softened, withdrawal
from auditor.engine_exhibits import gathered
from auditor.engine_rerun import hear, merged, missing, told, with_rerun
from auditor.intake.errors import IntakeError

DEFAULT_WITNESSES = (Witness.SOURCE, Witness.RECORD)
"""Of the library: nothing is executed unless it is asked for. The command adds what `usual_witnesses` finds."""
BUILT = frozenset(Witness)
"""Witnesses that this version has."""

__all__ = [
    "BUILT",
    "DEFAULT_WITNESSES",
    "IntakeError",
    "Options",
    "UsageError",
    "audit",
    "audit_submission",
    "numbered_source",
    "usual_witnesses",
]

NO_SCRIPT = "the folder has no script that could be read"
NO_BEHAVIOUR = (
    "The behaviour witness did not run: {}. Nothing here was executed; "
    "what only a run can show (prefix invariance, normalisation, byte counts) is not covered."
)
PROBE_CPU_SECONDS = 120.0
"""Of the host: reading the events of a long run."""


class UsageError(ValueError):
    """A request that cannot be met; the message is one sentence for the person who made it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller asks for. ``witness_seconds`` bounds the CPU time of one witness or one rule."""

    witnesses: tuple[Witness, ...] = DEFAULT_WITNESSES
    as_of: date | None = None
    base: str = "origin/main"
    name: str | None = None
    config: Path | None = None
    ignore_suppressions: bool = False
    timings: bool = False
    witness_seconds: float = 30.0
    not_probed: str = "it was not asked for"
    """Why the behaviour witness is not among ``witnesses``, for the report."""
    unsandboxed: bool = False
    """Run the submission's code even where nothing isolates it."""
    witness_dir: Path | None = None
    """Folder for the behaviour witness's files; none are written without."""
    run_seconds: float = 60.0
    """Wall time limit of one toy run."""
    on_progress: Callable[[str, float | None], None] | None = None
    rerun_record: Path | None = None
    """Folder of a re-run's record: it is heard as the fourth witness."""


DEFAULTS = Options()


@dataclass(slots=True)
class _State:
    """What one audit gathers on its way."""

    facts: dict[Witness, Answer[Any] | Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    unheard: dict[Witness, str] = field(default_factory=dict)
    """Witnesses that were asked for and could not be heard on this machine or submission, with the reason."""
    behaviour: BehaviourInfo = field(default_factory=BehaviourInfo)


def usual_witnesses(*, unsandboxed: bool = False) -> tuple[tuple[Witness, ...], str]:
    """The witnesses that a plain audit hears on this machine, and why the behaviour witness is not among them."""
    from auditor.behaviour.audit import why_not

    reason = why_not(unsandboxed)
    return (DEFAULT_WITNESSES, reason) if reason else ((*DEFAULT_WITNESSES, Witness.BEHAVIOUR), "")


def audit(path: Path, options: Options = DEFAULTS, rules: Mapping[str, Rule] | None = None) -> AuditReport:
    """Audit the submission at ``path``.

    Raises the intake's errors (no folder, no submission, several), `UsageError`, and `suppress.ConfigError`;
    everything that goes wrong later is in the report.
    """
    check_witnesses(options.witnesses, options.rerun_record)
    from auditor.intake import load_submission

    submission = load_submission(path, base=options.base, name=options.name)
    return audit_submission(submission, options, rules)


def check_witnesses(witnesses: tuple[Witness, ...], rerun_record: Path | None = None) -> None:
    """Raise `UsageError` for no witness at all, and for a re-run without a record to hear."""
    witnesses = with_rerun(witnesses, rerun_record)
    if not witnesses:
        raise UsageError("at least one witness is needed: source, record, behaviour")
    if Witness.RERUN in witnesses and (reason := missing(rerun_record)):
        raise UsageError(reason)


def audit_submission(
    submission: Submission, options: Options = DEFAULTS, rules: Mapping[str, Rule] | None = None
) -> AuditReport:
    """Audit a submission that intake has read already; ``rules`` replaces the shipped ones in tests."""
    if rules is None:
        from rules import load_rules

        rules = load_rules()
    metas = {rule_id: rule.meta() for rule_id, rule in rules.items()}
    options = replace(options, witnesses=with_rerun(options.witnesses, options.rerun_record))
    state = _State(notes=_intake_notes(submission, options))
    _run_witnesses(submission, options, state)
    results = _run_rules(submission, options, rules, metas, state)
    if (at := withdrawal(submission)) is not None:
        results = softened(results, metas, at)
        state.notes.append(f"The submission withdraws its own score ({at}): what was found goes to review.")
    results = _suppressed(submission, options, results, metas, state)
    ran = tuple(w for w in options.witnesses if isinstance(state.facts.get(w), Answer))
    unread = {"the folder" if p.file == "." else p.file for p in submission.problems if p.unread}
    judgement = judge(results, metas, required=options.witnesses, ran=ran, unread=unread)
    if state.behaviour.not_run:
        state.notes.append(NO_BEHAVIOUR.format(state.behaviour.not_run))
    exhibits = gathered(submission, results, state.facts.get(Witness.RECORD), state.notes)
    return AuditReport(
        tool_version=__version__,
        edition=edition(options.as_of),
        submission=describe.submission_info(submission),
        verdict=judgement.verdict,
        complete=judgement.complete,
        record_ready=_record_ready(state, judgement.verdict),
        results=tuple(sorted(results, key=lambda r: (r.rule, r.witness.value, r.suppressed is not None))),
        claims=_claims(state),
        rules=metas,
        witnesses_run=ran,
        notes=tuple(dict.fromkeys(state.notes)),
        settings=describe.settings(submission),
        verdict_reason=judgement.reason,
        behaviour=state.behaviour,
        exhibits=exhibits,
        rerun=told(state.facts.get(Witness.RERUN)),
    )


def numbered_source(path: Path, name: str, options: Options) -> str:
    """The decoded text of the entry (``name`` empty) or of the file ``name``, each line under its number.

    Raises `UsageError` when the submission has no such source.
    """
    from auditor.intake import load_submission

    submission = load_submission(path, base=options.base, name=options.name)
    entry = (submission.entry,) if submission.entry else ()
    sources = {s.path: s for s in (*entry, *submission.modules)}
    source = sources.get(name) if name else submission.entry
    if source is None:
        known = ", ".join(sources) or "none"
        raise UsageError(f"no source {name!r} in this submission; it has: {known}" if name else "no script was found")
    return "".join(f"{n:6}  {visible(line)}\n" for n, line in enumerate(source.text.splitlines(), 1))


def _run_witnesses(submission: Submission, options: Options, state: _State) -> None:
    """Gather the facts of each witness asked for; source gets the lines that logs prove to have run."""
    if Witness.RECORD in options.witnesses:
        _run_witness(Witness.RECORD, lambda: _record_facts(submission), options, state)
    if Witness.SOURCE in options.witnesses and submission.entry is None:
        state.facts[Witness.SOURCE] = Failure(NO_SCRIPT, "")
        state.unheard[Witness.SOURCE] = NO_SCRIPT
        state.notes.append(f"The source witness did not run: {NO_SCRIPT}.")
    elif Witness.SOURCE in options.witnesses:
        _run_witness(Witness.SOURCE, lambda: _source_facts(submission, options, state), options, state)
    _hear_behaviour(submission, options, state)
    if options.rerun_record is not None:
        _hear_rerun(options.rerun_record, submission, options, state)


def _hear_rerun(folder: Path, submission: Submission, options: Options, state: _State) -> None:
    heard = hear(folder, submission, state.facts.get(Witness.RECORD), options.witness_seconds)
    state.facts[Witness.RERUN] = heard
    if isinstance(heard, Failure):
        state.unheard[Witness.RERUN] = heard.reason
        state.notes.append(f"The rerun witness was not heard: {heard.reason}.")


def _hear_behaviour(submission: Submission, options: Options, state: _State) -> None:
    """Run the submission at toy scale where that was asked for and can be done; else say why not."""
    from auditor.behaviour import audit as behaviour

    if Witness.BEHAVIOUR not in options.witnesses:
        state.behaviour = behaviour.not_run(submission, options.not_probed)
        return
    reason = NO_SCRIPT if submission.entry is None else behaviour.why_not(options.unsandboxed)
    if reason:
        state.facts[Witness.BEHAVIOUR] = Failure(reason, "")
        state.unheard[Witness.BEHAVIOUR] = reason
        state.behaviour = behaviour.not_run(submission, reason)
        return
    record = state.facts.get(Witness.RECORD)
    stated = _stated(submission, record.value, state) if isinstance(record, Answer) else ()
    executed = record.value.templates.executed if isinstance(record, Answer) else {}
    request = behaviour.Request(
        options.unsandboxed, options.run_seconds, options.witness_dir, tuple(stated), executed, options.on_progress
    )
    _run_witness(Witness.BEHAVIOUR, lambda: behaviour.listen(submission, request), options, state, PROBE_CPU_SECONDS)
    heard = state.facts[Witness.BEHAVIOUR]
    if isinstance(heard, Failure):
        state.behaviour = behaviour.not_run(submission, f"it failed: {heard.reason}")
    else:
        state.facts[Witness.BEHAVIOUR] = Answer(heard.value.facts)
        state.behaviour = behaviour.info(submission, heard.value)


def _stated(submission: Submission, facts: Any, state: _State) -> tuple[str, ...]:
    """The log lines by which the toy run's score is chosen; where only a near one is there, that is noted."""
    from auditor.record.claimed import headline_lines, nearest_lines

    near = nearest_lines(submission, facts)
    if near:
        said = "No log states the claimed score; the toy run is judged by the nearest line"
        state.notes.append(f"{said}: {near[0].strip()[:120]}")
    return headline_lines(submission, facts) or near


def _run_witness(
    witness: Witness, step: Callable[[], Any], options: Options, state: _State, seconds: float | None = None
) -> None:
    start = time.process_time()
    answer = contained(step, seconds=seconds or options.witness_seconds)
    state.facts[witness] = answer
    if isinstance(answer, Failure):
        state.notes.append(f"The {witness.value} witness failed: {answer.reason}.")
        if options.timings:
            state.notes.append(answer.trace)
    else:
        state.notes.extend(describe.fact_notes(answer.value))
    if options.timings:
        state.notes.append(f"The {witness.value} witness took {time.process_time() - start:.2f} s of CPU time.")


def _source_facts(submission: Submission, options: Options, state: _State) -> Any:
    from auditor.record.claimed import foreign, headline_lines
    from auditor.source import analyse

    record = state.facts.get(Witness.RECORD)
    if record is None or isinstance(record, Failure):
        return analyse(submission, executed=_executed(submission, options, state))
    facts = record.value
    told = analyse(submission, executed=facts.templates.executed, headline=headline_lines(submission, facts))
    return replace(told, foreign=foreign(facts))


def _executed(submission: Submission, options: Options, state: _State) -> Mapping[str, frozenset[int]]:
    """Lines that the logs prove to have run; without them the source witness resolves fewer flags, and says so."""
    from auditor.record import executed_lines

    answer = contained(lambda: executed_lines(submission), seconds=options.witness_seconds / 2)
    if isinstance(answer, Failure):
        state.notes.append(f"The logs could not be matched to the code's print calls: {answer.reason}.")
        return {}
    return answer.value


def _record_facts(submission: Submission) -> Any:
    from auditor.record import analyse

    return analyse(submission)


def _run_rules(
    submission: Submission,
    options: Options,
    rules: Mapping[str, Rule],
    metas: Mapping[str, RuleMeta],
    state: _State,
) -> list[RuleResult]:
    results: list[RuleResult] = []
    for rule_id, rule in rules.items():
        covered = [w for w in options.witnesses if rule.covers(w)]
        for witness in covered:
            ruled = _rule_answer(submission, options, rule, metas[rule_id], witness, state)
            results.append(RuleResult(rule_id, witness, ruled.outcome, ruled.reason, ruled.findings))
        if not covered:
            results.extend(_uncovered(rule, rule_id, options))
    return results


def _uncovered(rule: Rule, rule_id: str, options: Options) -> list[RuleResult]:
    """A rule that asks nothing of the witnesses asked for is listed once, as not applicable."""
    needs = [w.value for w in Witness if rule.covers(w)]
    reason = f"only the {' and '.join(needs)} witness can decide it" if needs else "no witness covers it yet"
    return [RuleResult(rule_id, options.witnesses[0], Outcome.NOT_APPLICABLE, reason)]


def _rule_answer(
    submission: Submission, options: Options, rule: Rule, meta: RuleMeta, witness: Witness, state: _State
) -> Ruled:
    if not in_force(meta, options.as_of):
        return Ruled.not_applicable(f"not in force on {options.as_of}: ruled since {meta.since}")
    facts = state.facts[witness]
    if witness in state.unheard:
        return Ruled.unknown(state.unheard[witness])
    if isinstance(facts, Failure):
        return Ruled(Outcome.ERROR, f"the {witness.value} witness failed: {facts.reason}")
    answer = contained(lambda: rule.check(witness, submission, facts.value), seconds=options.witness_seconds)
    if isinstance(answer, Answer):
        return answer.value
    if options.timings:
        state.notes.append(answer.trace)
    return Ruled(Outcome.ERROR, f"the rule {meta.id} failed: {answer.reason}")


def _suppressed(
    submission: Submission,
    options: Options,
    results: list[RuleResult],
    metas: Mapping[str, RuleMeta],
    state: _State,
) -> list[RuleResult]:
    """Apply the recorded suppressions, and note those that have no effect."""
    try:
        allows, notes = suppress.gather(submission, options.config)
    except suppress.Unreadable as error:
        raise UsageError(str(error)) from error
    state.notes.extend(notes)
    if options.ignore_suppressions:
        if allows:
            count = len(allows)
            state.notes.append(f"{count} recorded suppression{'s' * (count > 1)} ignored, as asked.")
        return results
    for allow in allows:
        if allow.rule not in metas:
            state.notes.append(f"{allow.recorded_at}: the suppression names no known rule: {allow.rule}.")
    results, unused = suppress.apply(results, [a for a in allows if a.rule in metas])
    state.notes.extend(f"{a.recorded_at}: the suppression of {a.rule} matches no finding." for a in unused)
    return results


def _intake_notes(submission: Submission, options: Options) -> list[str]:
    notes = [f"{'The folder' if p.file == '.' else p.file}: {p.reason}" for p in submission.problems]
    notes.extend(submission.launch.notes)
    if options.as_of is not None:
        later = f", the last edition known is {EDITION}" if options.as_of > EDITION else ""
        notes.append(f"Judged by the rulings known on {options.as_of}{later}.")
    return notes


def _record_ready(state: _State, verdict: Verdict) -> RecordReady:
    """The record witness's answer; a submission with a finding against it cannot be ready, whatever its form."""
    answer = state.facts.get(Witness.RECORD)
    if not isinstance(answer, Answer):
        return RecordReady(None, ("the record witness gave no answer",))
    ready: RecordReady = answer.value.ready
    if verdict is Verdict.NON_COMPLIANT and ready.ready is not None:
        return RecordReady(False, ("verdict: non_compliant", *ready.reasons))
    if ready.ready and verdict is not Verdict.NO_VIOLATION_FOUND:
        return replace(ready, ready=None, reasons=(f"verdict: {verdict.value}", *ready.reasons))
    return ready


def _claims(state: _State) -> tuple[Claim, ...]:
    answer, again = state.facts.get(Witness.RECORD), state.facts.get(Witness.RERUN)
    claims = tuple(answer.value.claims) if isinstance(answer, Answer) else ()
    return merged(claims, again.value) if isinstance(again, Answer) else claims
