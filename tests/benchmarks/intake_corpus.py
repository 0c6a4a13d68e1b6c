"""Load every submission folder below a folder, and print how many loaded, what was packed, and what it cost.

    python -m tests.benchmarks.intake_corpus FOLDER [FOLDER ...]

Each FOLDER holds checkouts or extracted pull requests (``FOLDER/<name>/records/...``). Seconds are CPU time.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from auditor.core.submission import Submission
from auditor.core.syntax import parse_python
from auditor.intake import IntakeError
from auditor.intake.find import Found, record_folders, track_of
from auditor.intake.load import load_found


def main(roots: list[Path]) -> int:
    """Print the figures; 1 when a load raised anything."""
    seconds: list[tuple[float, Path]] = []
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for folder in _folders(roots):
        parse_python.cache_clear()
        start = time.process_time()
        try:
            submission = load_found(Found(folder, folder.name, track_of(folder)))
        except IntakeError as error:
            failures.append(f"{folder}: {error}")
            continue
        seconds.append((time.process_time() - start, folder))
        counts.update(_kinds(submission))
    for line in failures:
        print("failed:", line)
    if seconds:
        times = sorted(seconds)
        middle, high, worst = times[len(times) // 2], times[int(len(times) * 0.95)], times[-1]
        print(f"{len(times)} folders, {len(failures)} failed")
        print(f"median {middle[0]:.3f} s, p95 {high[0]:.3f} s, max {worst[0]:.3f} s")
        print(f"slowest: {worst[1]}")
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 1 if failures else 0


def _folders(roots: list[Path]) -> list[Path]:
    """Every record folder below the roots, by name."""
    found: list[Path] = []
    for root in roots:
        for child in sorted(p for p in root.iterdir() if p.is_dir()):
            found.extend(child / name for name in record_folders(child))
    return found


def _kinds(submission: Submission) -> list[str]:
    """What this submission counts as in the printed table."""
    kinds = ["with a script" if submission.entry is not None else "without a script"]
    sources = [s for s in (submission.entry, *submission.modules) if s is not None]
    kinds += ["packed files"] * sum(s.packed is not None for s in sources)
    kinds += ["undecodable files"] * sum("decoded" in p.reason for p in submission.problems)
    if submission.entry is not None and parse_python(submission.entry.text).tree is None:
        kinds.append("entries that do not parse")
    kinds += ["with launch settings"] * bool(submission.launch.env) + ["with logs"] * bool(submission.logs)
    return kinds


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
