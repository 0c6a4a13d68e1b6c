"""The form of a submission: files, fields, seeds, significance, hardware. It decides readiness, never the verdict."""

from __future__ import annotations

from auditor.core.submission import Submission
from auditor.core.syntax import parse_python
from auditor.core.types import Place, RecordReady
from auditor.record.facts import (
    FormIssue,
    MetricFacts,
    MismatchFacts,
    Run,
    SeedFacts,
    SizeFacts,
    StatFacts,
)
from auditor.record.frontier import load_edition
from auditor.record.significance import submitted_on
from auditor.record.stated import Claims

RECORD = "track_10min_16mb"
_FIELDS = ("author", "github_id", "name", "date")


def file_issues(submission: Submission, runs: tuple[Run, ...]) -> list[FormIssue]:
    """Missing, unreadable or misplaced files."""
    found: list[FormIssue] = []
    here = Place(file=submission.name)

    def add(message: str, at: Place, *, blocks: bool = True) -> None:
        found.append(FormIssue("format", message, at, blocks=blocks))

    if submission.readme is None:
        add(_missing(submission, "README.md"), here)
    if submission.entry is None:
        add("there is no training script", here)
    else:
        parsed = parse_python(submission.entry.text)
        if parsed.problem is not None:
            at = Place(file=submission.entry.path, line=parsed.problem.line or 1)
            add(f"the script does not compile: {parsed.problem.reason}", at)
        elif not submission.entry.text.strip():
            add("the script is empty", Place(file=submission.entry.path))
    if not any(run.is_training or run.evaluations for run in runs):
        add("there is no training log", here)
    elif not any(e.val_bpb for run in runs for e in run.evaluations):
        add("no log states a validation score", Place(log=runs[0].log))
    for path in submission.outside_files[:5]:
        add(f"a file outside the record folder is changed: {path}", Place(file=path))
    found.extend(_metadata_issues(submission))
    return found


def _missing(submission: Submission, name: str) -> str:
    """That there is no such file, or that there is one which was not read."""
    unread = any(p.unread and p.file.rpartition("/")[2].lower() == name.lower() for p in submission.problems)
    return f"{name} was not read" if unread else f"there is no {name}"


def _metadata_issues(submission: Submission) -> list[FormIssue]:
    doc = submission.metadata
    if doc is None:
        return [FormIssue("format", _missing(submission, "submission.json"), Place(file=submission.name))]
    found = [
        FormIssue("format", f"submission.json: {reason}", Place(file=doc.path, line=line), blocks=doc.data is None)
        for line, reason in doc.problems[:5]
    ]
    if doc.data is None:
        return found or [FormIssue("format", "submission.json cannot be read", Place(file=doc.path))]
    absent = [name for name in _FIELDS if not doc.data.get(name)]
    if absent:
        message = f"submission.json lacks {', '.join(absent)}"
        found.append(FormIssue("format", message, Place(field=absent[0]), "low", blocks=False))
    return found


def score_issues(submission: Submission, metric: MetricFacts, claims: Claims) -> list[FormIssue]:
    """A score that is missing, or that submission.json, README and logs state differently."""
    found = []
    if claims.score is None:
        found.append(FormIssue("format", "no val_bpb is stated", Place(field="val_bpb")))
    elif claims.score.at.field is None and submission.metadata is not None:
        found.append(FormIssue("format", "submission.json states no val_bpb", Place(field="val_bpb")))
    elif not 0.0 < claims.score.value < 10.0:
        found.append(FormIssue("format", f"val_bpb {claims.score.value:g} is no bits per byte", claims.score.at))
    if metric.how == "not logged" and metric.headline_at is not None and metric.headline is not None:
        near = f"; the nearest logged is {metric.nearest:.5f}" if metric.nearest is not None else ""
        found.append(FormIssue("format", f"the stated {metric.headline:g} is in no log{near}", metric.headline_at))
    found += [FormIssue("format", sentence, at, "medium", blocks=False) for sentence, at in metric.disagreements]
    return found


def seed_issues(submission: Submission, seeds: SeedFacts, metric: MetricFacts) -> list[FormIssue]:
    """Fewer than three seeds with evidence, or seeds of different configurations."""
    if submission.track != RECORD:
        return []
    found = []
    needed = load_edition().seeds
    at = metric.headline_at or Place(field="val_bpb")
    if seeds.count < needed:
        claim = f", {len(seeds.stated)} are stated" if len(seeds.stated) > seeds.count else ""
        found.append(FormIssue("seeds", f"{seeds.count} of {needed} seeds have a log with the score{claim}", at))
    for name, values, place in seeds.config_differs[:3]:
        message = f"the seeds differ in {name}: {', '.join(values[:4])}"
        found.append(FormIssue("seeds", message, place))
    return found


def hardware_issues(submission: Submission, runs: tuple[Run, ...]) -> list[FormIssue]:
    """A record claim that did not run on eight H100."""
    if submission.track != RECORD:
        return []
    for run in runs:
        box = run.hardware
        if run.is_training and box is not None and box.equivalent is False:
            name = f"{box.world_size or box.gpus or '?'} x {box.name or 'unnamed GPU'}"
            at = box.at or Place(log=run.log, line=run.first_line)
            return [FormIssue("hardware", f"the run was made on {name}, not on 8 x H100", at)]
    return []


def stat_issues(submission: Submission, stats: StatFacts, metric: MetricFacts, claims: Claims) -> list[FormIssue]:
    """The record margin under both readings; only the better reading's failure blocks once practice had changed."""
    if submission.track != RECORD or metric.headline is None:
        return []
    edition = load_edition()
    at = metric.headline_at or Place(field="val_bpb")
    day = submitted_on(submission, claims) or ""
    found = []
    for test in stats.tests[-1:]:
        name, gain = test.baseline_name, test.gain_bpb
        if gain <= 0:
            found.append(FormIssue("stat-sig", f"{metric.headline:.4f} does not beat {test.baseline:.4f} ({name})", at))
            continue
        if test.gain_nats is not None and test.gain_nats < test.margin_nats:
            lenient = day >= edition.practice_since and test.p_without_margin is not None
            passed = lenient and (test.p_without_margin or 0.0) < edition.practice_p
            note = f"; accepted in practice at p {test.p_without_margin:.3f}" if passed else ""
            message = f"the gain over {test.baseline:.4f} ({name}) is {test.gain_nats:.4f} nats, under 0.005{note}"
            found.append(FormIssue("stat-sig", message, at, blocks=not passed))
        elif test.p is None:
            message = f"no test against {test.baseline:.4f} ({name}): {test.why}"
            found.append(FormIssue("stat-sig", message, at, "medium"))
        elif test.p >= edition.record_p:
            passed = day >= edition.practice_since and (test.p_without_margin or 0.0) < edition.practice_p
            message = f"p = {test.p:.3f} for 0.005 nats over {test.baseline:.4f} ({name}); the README asks p < 0.01"
            found.append(FormIssue("stat-sig", message, at, "medium", blocks=not passed))
    return found


def stale_issues(mismatch: MismatchFacts) -> list[FormIssue]:
    """Logs of another version of the script."""
    return [FormIssue("stale-log", sentence, at, "medium", blocks=False) for sentence, at in mismatch.stale]


def ready(submission: Submission, issues: tuple[FormIssue, ...], sizes: SizeFacts | None) -> RecordReady:
    """Could it stand as a record row? A non-record track never claims to; blocking faults make it False anywhere."""
    reasons = tuple(dict.fromkeys(f"{issue.rule}: {issue.message}" for issue in issues if issue.blocks))
    if reasons:
        return RecordReady(False, reasons)
    if submission.track != RECORD:
        return RecordReady(None, ("the folder stands outside the record track",))
    notes = ("the artifact's size is not known",) if sizes is not None and sizes.decision.value == "unknown" else ()
    return RecordReady(None, notes) if notes else RecordReady(True)
