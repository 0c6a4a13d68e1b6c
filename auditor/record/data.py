"""Fingerprints of the data: is the whole validation text scored, is it kept out of training?"""

from __future__ import annotations

import re

from auditor.core.submission import Role, Submission
from auditor.core.types import Place
from auditor.record.facts import DataIssue, Figure, MetricFacts, Run

CANONICAL_BYTES = 151_080_000
VAL_DOCS = 50_000
KNOWN_TOKENS = (62_021_632, 62_021_845, 62_363_648, 63_779_840, 45_508_608, 45_514_752, 40_540_160, 40_546_304,
                40_548_352, 47_851_520, 47_853_343, 151_130_112)
"""Token counts of the whole validation text, by tokenizer and truncation."""
DEFAULT_SHARDS = 80
LOCAL_SHARDS = 1499
_DOCS = re.compile(r"\btotal_docs[:=](\d+)")
_PREP_DOCS = re.compile(r"--val[-_]docs['\"].{0,120}?default\s*=\s*([\d_]+)", re.S)
_STATED_BUILD = re.compile(r"val[-_ ]docs`?[=: ]+`?(\d[\d,_]*)", re.I)
_TRAIN_SHARDS = re.compile(r"train\w*\s+(?:shards?|data|tokens|set|split)\b", re.I)
_DENIED = re.compile(
    r"\bnot\b|n't\b|instead|rather|never|unlike|avoid|leak|overlap|exclud|fix|bug|wrong|warning|prevent|correct"
    r"|val[-_ ]docs`?[=: ]+`?50[,_]?000",
    re.I,
)
_SUBSET = re.compile(
    r"^(?:(?:ppm_)?subset_tokens|max_val_tokens|val_max_tokens|val_tokens_limit|eval_max_tokens|max_eval_tokens"
    r"|val_subset\w*|eval_subset\w*|val_doc_fraction|val_fraction)$"
)


def data_issues(submission: Submission, runs: tuple[Run, ...], metric: MetricFacts) -> tuple[DataIssue, ...]:
    """Issues of coverage and overlap over the runs behind the headline, strongest first."""
    found = [*_coverage(runs, metric), *_overlap(submission, runs)]
    rank = {"high": 0, "medium": 1, "low": 2}
    unique = {(issue.rule, issue.at.log, issue.confidence): issue for issue in reversed(found)}
    return tuple(sorted(unique.values(), key=lambda issue: (rank[issue.confidence], issue.rule, str(issue.at))))


def covers_all(tokens: float) -> bool:
    """Whether a token count is known as that of the whole validation text (sequence-length truncation included)."""
    return any(0 <= known + 1 - tokens <= 16_384 for known in KNOWN_TOKENS)


def _coverage(runs: tuple[Run, ...], metric: MetricFacts) -> list[DataIssue]:
    found: list[DataIssue] = []
    for run in runs:
        counts = {f.value: f for f in run.val_tokens}
        ratio = _ratio_of(run, metric)
        for value, figure in counts.items():
            if value <= 0 or covers_all(value):
                continue
            implied = value * ratio if ratio else None
            share = implied / CANONICAL_BYTES if implied else value / max(KNOWN_TOKENS[:5])
            if implied and share > 1.04:
                found.append(DataIssue(
                    "val-coverage",
                    f"{value:,.0f} validation tokens at {ratio or 0:.3f} bytes a token are {implied / 1e6:.1f} million "
                    f"bytes, {share:.0%} of the official text: other documents or another byte count",
                    figure.at, "medium",
                ))
            if share < 0.97:
                basis = f"{implied / 1e6:.1f} million bytes at {ratio:.3f} a token" if implied and ratio else "by count"
                strength = "high" if share < 0.9 and implied else "medium"
                found.append(DataIssue(
                    "val-coverage",
                    f"{value:,.0f} validation tokens are about {share:.0%} of the validation text ({basis}; it has "
                    f"{CANONICAL_BYTES / 1e6:.0f} million)", figure.at, strength,
                ))
        found.extend(_byte_coverage(run, counts))
        found.extend(_subset_settings(run))
    return found


def _ratio_of(run: Run, metric: MetricFacts) -> float | None:
    own = sorted(r.bytes_per_token for r in metric.ratios if r.at.log == run.log)
    return own[len(own) // 2] if own else metric.ratio


def _byte_coverage(run: Run, counts: dict[float, Figure]) -> list[DataIssue]:
    """A line that states the bytes of the scored text, far too few for all of it or for one rank's share."""
    found = []
    for total in run.byte_totals:
        share = total.value / CANONICAL_BYTES
        per_rank = any(abs(share * ranks - 1) < 0.03 for ranks in (1, 2, 4, 8))
        tokens = {float(m.replace(",", "")) for m in re.findall(r"tokens[=:]\s*([\d,]+)", total.text, re.I)}
        whole = any(covers_all(t) or t in counts for t in tokens)
        if share < 0.9 and not per_rank and "bpb" in total.text and not (whole and share > 0.2):
            found.append(DataIssue(
                "val-coverage",
                f"the score's denominator is {total.value:,} bytes, {share:.0%} of the validation text",
                total.at, "high",
            ))
    return found


def _subset_settings(run: Run) -> list[DataIssue]:
    found = []
    for name, (value, at) in run.settings.items():
        if not _SUBSET.match(name):
            continue
        try:
            number = float(value.replace(",", "").replace("_", ""))
        except ValueError:
            continue
        part = 0 < number < 1 if "fraction" in name else 0 < number < 40_000_000
        if part:
            message = f"the log states {name} = {value}: a part of the validation text"
            found.append(DataIssue("val-coverage", message, at, "medium"))
    return found


def _overlap(submission: Submission, runs: tuple[Run, ...]) -> list[DataIssue]:
    """Training data that may hold validation documents (the first 50,000).

    A preparation script with ``--val-docs 10000`` lets training start inside the validation text. The default is in
    every copy, also beside official data, so it counts only together with a log that shows locally built shards.
    """
    prep = _preparation(submission)
    found: list[DataIssue] = []
    for run in runs:
        shards = {int(f.value): f.at for f in run.train_shards}
        doubled = next((at for path, at in run.train_paths if "datasets/datasets" in path), None)
        local = next((at for count, at in shards.items() if count == LOCAL_SHARDS), None)
        whole = any(covers_all(f.value) for f in run.val_tokens)
        if local is not None and doubled is not None:
            message = (
                f"train_shards {LOCAL_SHARDS} and a doubled datasets/datasets path: locally built shards, as seen with "
                "sets that train on validation documents"
            )
            found.append(DataIssue("train-val-overlap", message, local, "medium"))
        elif local is not None and prep is not None and whole:
            message = (
                f"{prep[1]:,} documents are held out by the shipped preparation ({prep[0]}), {VAL_DOCS:,} are scored, "
                f"and train_shards {LOCAL_SHARDS} shows a local build"
            )
            found.append(DataIssue("train-val-overlap", message, local, "medium"))
        elif local is not None:
            message = f"train_shards {LOCAL_SHARDS} shows a locally built set; no proof by itself"
            found.append(DataIssue("train-val-overlap", message, local, "low"))
    if any(covers_all(f.value) for run in runs for f in run.val_tokens):
        found.extend(_stated_build(submission))
    return found


def _stated_build(submission: Submission) -> list[DataIssue]:
    """The README says that the training shards come from a build that holds out too few documents."""
    found = []
    lines = (submission.readme or "").splitlines()
    for number, line in enumerate(lines, 1):
        match = _STATED_BUILD.search(line)
        around = " ".join(lines[max(0, number - 3) : number + 2])
        if match is None or not _TRAIN_SHARDS.search(line) or _DENIED.search(around):
            continue
        docs = int(re.sub(r"[,_]", "", match.group(1)))
        if 0 < docs < VAL_DOCS:
            message = (
                f"the README says that the training shards come from a build that holds out {docs:,} documents, and "
                f"{VAL_DOCS:,} are scored"
            )
            at = Place(file=submission.readme_path or "README.md", line=number)
            found.append(DataIssue("train-val-overlap", message, at, "high"))
    return found[:1]


def _preparation(submission: Submission) -> tuple[Place, int] | None:
    """A preparation script whose default holds out fewer documents than are validated on."""
    for source in submission.modules:
        if source.role is Role.DATA_PREP and (match := _PREP_DOCS.search(source.text)):
            docs = int(match.group(1).replace("_", ""))
            if docs < VAL_DOCS:
                return Place(file=source.path, line=source.text.count("\n", 0, match.start()) + 1), docs
    return None
