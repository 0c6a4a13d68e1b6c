"""The record witness's one pass: logs to runs, runs to facts."""

from __future__ import annotations

from dataclasses import replace

from auditor.core.submission import Submission
from auditor.record.claims import claim_list
from auditor.record.data import data_issues
from auditor.record.facts import Evaluation, MetricFacts, RecordFacts, Run
from auditor.record.form import (
    file_issues,
    hardware_issues,
    ready,
    score_issues,
    seed_issues,
    stale_issues,
    stat_issues,
)
from auditor.record.lines import clean
from auditor.record.match import executed_of, read_book, running_sources, template_facts
from auditor.record.metric import metric_facts
from auditor.record.mismatch import mismatch_facts
from auditor.record.parse import read_log, source_regions
from auditor.record.seeds import seed_facts
from auditor.record.significance import stat_facts
from auditor.record.sizes import size_facts
from auditor.record.stated import Claims, read_claims
from auditor.record.times import hardware, with_needed, with_times


def analyse(submission: Submission) -> RecordFacts:
    """All facts of the record. Deterministic, runs nothing of the submission, reads only what intake has read."""
    claims = read_claims(submission)
    runs = _runs(submission, claims)
    training = tuple(run for run in runs if run.is_training or run.evaluations)
    metric = metric_facts(submission, training, claims)
    judged = _judged(training, metric, claims)
    metric = metric_facts(submission, judged, claims) if judged and metric.how != "not logged" else metric
    judged = tuple(with_needed(run, _headline_line(run, metric)) for run in judged)
    by_name = {run.name: run for run in judged}
    runs = tuple(by_name.get(run.name, run) for run in runs)
    templates = template_facts(submission, runs, read_book(submission))
    sizes = size_facts(submission, judged, claims)
    seeds = seed_facts(submission, judged, tuple(name for name, _, _, _ in metric.scores), claims)
    stats = stat_facts(submission, metric, claims)
    mismatch = mismatch_facts(templates, judged, metric, sizes, seeds, claims)
    issues = (
        *file_issues(submission, runs), *score_issues(submission, metric, claims),
        *seed_issues(submission, seeds, metric), *hardware_issues(submission, judged),
        *stat_issues(submission, stats, metric, claims), *stale_issues(mismatch),
    )
    return RecordFacts(
        runs=runs,
        headline_runs=tuple(by_name),
        templates=templates,
        mismatch=mismatch,
        sizes=sizes,
        metric=metric,
        seeds=seeds,
        stats=stats,
        form=issues,
        data=data_issues(submission, judged, metric),
        claims=claim_list(claims, judged, sizes, metric, seeds),
        ready=ready(submission, issues, sizes),
        notes=_notes(submission, runs, judged, templates.why),
    )


def executed_lines(submission: Submission) -> dict[str, frozenset[int]]:
    """File -> lines of print calls of which a log line proves that they ran."""
    known = _known_lines(submission)
    skip = {log.path: source_regions([clean(line) for line in log.lines], known) for log in submission.logs}
    return executed_of(submission, read_book(submission), skip)


def _known_lines(submission: Submission) -> frozenset[str]:
    texts = [s.text for s in running_sources(submission)]
    return frozenset(line.strip() for text in texts for line in text.splitlines() if len(line.strip()) > 8)


def _runs(submission: Submission, claims: Claims) -> tuple[Run, ...]:
    known = _known_lines(submission)
    found = []
    for log in submission.logs:
        for run in read_log(log, known):
            found.append(with_times(replace(run, hardware=hardware(run, submission, claims)), log))
    return tuple(found)


def _judged(runs: tuple[Run, ...], metric: MetricFacts, claims: Claims) -> tuple[Run, ...]:
    """The runs behind the headline: those whose scores make it, else those of the stated seeds, else all."""
    lines = {(at.log, at.line) for _, at in metric.logged_as}
    exact = tuple(run for run in runs if any((e.at.log, e.at.line) in lines for e in run.evaluations))
    if exact:
        return _siblings(exact, runs, metric, claims)
    stated = tuple(run for run in runs if run.seed in claims.seeds)
    return stated or tuple(run for run in runs if run.is_training) or runs


def _siblings(exact: tuple[Run, ...], runs: tuple[Run, ...], metric: MetricFacts, claims: Claims) -> tuple[Run, ...]:
    """With one seed as the headline, the logs of the other stated seeds belong to the claim too."""
    if len(exact) > 1 or not claims.seeds:
        return exact
    labels = {e.label for run in exact for e in run.evaluations}
    others = tuple(
        run for run in runs
        if run not in exact and run.seed in claims.seeds and labels & {e.label for e in run.evaluations}
    )
    taken = {run.seed for run in exact}
    unique = []
    for run in others:
        if run.seed not in taken:
            taken.add(run.seed)
            unique.append(run)
    return (*exact, *unique)


def _headline_line(run: Run, metric: MetricFacts) -> Evaluation | None:
    """The run's evaluation behind the headline; its plain twin when the exact line states no time."""
    places = {at for _, at in metric.logged_as} | {at for name, _, _, at in metric.scores if name == run.name}
    chosen = next((e for e in reversed(run.evaluations) if e.at in places), None)
    if chosen is None or chosen.eval_seconds is not None or chosen.val_bpb is None:
        return chosen
    bpb = chosen.val_bpb.value
    twins = [e for e in run.evaluations if e.eval_seconds and e.val_bpb and abs(e.val_bpb.value - bpb) < 1e-4]
    return max(twins, key=lambda e: e.eval_seconds or 0.0, default=chosen)


def _notes(submission: Submission, runs: tuple[Run, ...], judged: tuple[Run, ...], why: str) -> tuple[str, ...]:
    notes = []
    if runs and judged:
        notes.append(f"{len(judged)} of {len(runs)} logged runs stand behind the headline: "
                     f"{', '.join(run.name for run in judged[:6])}.")
    if why:
        notes.append(f"Logs could not be compared with all print calls: {why}.")
    notes += [f"{log.path} was read in part only." for log in submission.logs if log.truncated]
    return tuple(notes)
