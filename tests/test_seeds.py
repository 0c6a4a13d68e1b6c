"""The four pull requests that the project started from, judged as the design says they must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditor.core.types import AuditReport, Outcome, Verdict
from auditor.engine import audit
from tests.benchmarks.corpus_git import Corpus, Folder

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not os.environ.get("GOLF_CORPUS_GIT"), reason="GOLF_CORPUS_GIT names no repository"),
]


def judged(pr: int, part: str, room: Path) -> tuple[AuditReport, set[str]]:
    """The report on the one folder of ``pr`` whose name contains ``part``, and the rules found."""
    corpus = Corpus(Path(os.environ["GOLF_CORPUS_GIT"]))
    try:
        [folder] = [f for f in corpus.folders(pr) if part in f.path]
        report = audit(corpus.lay_out(Folder(pr, folder.path), room))
    finally:
        corpus.close()
    return report, {r.rule for r in report.results if r.outcome is Outcome.FOUND}


@pytest.mark.parametrize("pr", [644, 598])
def test_honest_seeds(pr: int, tmp_path: Path) -> None:
    report, _ = judged(pr, "", tmp_path)
    assert report.verdict is Verdict.NO_VIOLATION_FOUND, report.verdict_reason


def test_861(tmp_path: Path) -> None:
    report, found = judged(861, "", tmp_path)
    assert report.verdict is Verdict.NON_COMPLIANT
    assert {"artifact-cap", "log-code-mismatch"} <= found


def test_1406(tmp_path: Path) -> None:
    report, found = judged(1406, "2026-04-06_DepthRecurrence_PreQuantTTT_11L_8xH100", tmp_path)
    assert report.verdict is Verdict.NON_COMPLIANT
    assert {"ttt-pre-quant", "gptq-train-after-cap"} <= found
    for rule in ("ttt-pre-quant", "gptq-train-after-cap"):
        assert any(f.at.line for r in report.results if r.rule == rule for f in r.findings), rule
