"""golf-audit's verdict on a folder, by its own command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.audit import why_not


def audit(folder: Path, *options: str) -> dict[str, Any]:
    """The report of ``golf-audit audit`` as JSON; skips where nothing isolates the run."""
    if "--no-probe" not in options and why_not(False):
        pytest.skip(f"no sandbox: {why_not(False)}")
    done = subprocess.run(
        [sys.executable, "-c", "from auditor.cli import main; main()", "audit", str(folder), "--format", "json",
         *options],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode in (0, 1, 10, 11), done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def found(report: dict[str, Any]) -> dict[str, set[str]]:
    """Rule to the witnesses that found it."""
    rules: dict[str, set[str]] = {}
    for result in report["results"]:
        if result["outcome"] == "found":
            rules.setdefault(result["rule"], set()).add(result["witness"])
    return rules
