"""Metric correctness and causality: one entry point that runs the analyses of this part and gathers their facts."""

from __future__ import annotations

import ast

from auditor.core.submission import Submission
from auditor.source.metric.bytecount import analyse_bytes, analyse_fixed
from auditor.source.metric.bytefiles import analyse_shipped
from auditor.source.metric.causality import analyse_causality
from auditor.source.metric.codeindex import build_index
from auditor.source.metric.native import analyse_native
from auditor.source.metric.settings import Settings
from auditor.source.metric.textfacts import analyse_lossy, analyse_scaling, analyse_sidecar, analyse_smear
from auditor.source.metric_facts import MetricFacts


def analyse_metric(submission: Submission, trees: dict[str, ast.Module]) -> MetricFacts:
    """All metric facts of ``submission``, whose parsed Python files are ``trees`` (by path, the entry among them)."""
    entry = submission.entry.path if submission.entry else ""
    index = build_index({path: tree for path, tree in trees.items() if _runs(submission, path) or path == entry})
    settings = Settings(index, submission.launch)
    tables, added, unread_bytes = analyse_bytes(index)
    noncausal, unread_model = analyse_causality(index, settings)
    return MetricFacts(
        tables=tables,
        space_added=added,
        shipped=analyse_shipped(submission),
        sidecars=analyse_sidecar(index, settings),
        fixed=analyse_fixed(index),
        scaled=analyse_scaling(index, settings),
        gates=analyse_native(submission, index, settings),
        noncausal=noncausal,
        lossy=analyse_lossy(submission, index if len(index.trees) == len(trees) else build_index(trees)),
        smear=analyse_smear(index, settings),
        unread=(*unread_bytes, *unread_model),
    )


def _runs(submission: Submission, path: str) -> bool:
    """Whether ``path`` is part of the run (not data preparation, not a stray file)."""
    from auditor.core.submission import Role

    role = next((f.role for f in submission.modules if f.path == path), Role.ENTRY)
    return role in (Role.ENTRY, Role.MODULE)
