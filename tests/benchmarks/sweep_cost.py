"""What an audit costs, and whether it ever fails: every submission folder of every pull request.

    export GOLF_CORPUS_GIT=REPO.git
    python -m tests.benchmarks.sweep_cost [--limit N] [--only 644,1406] [--jobs 2] [--out F.jsonl]

Each audit (source and record witness, JSON rendered) runs in a forked process of its own. Its CPU seconds are its own:
the audit's by the process clock, the whole process's and its peak memory by ``wait4``. The cost of starting the
command is measured beside it. One JSON line per folder goes to ``--out``; the figures are printed last.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.corpus_git import Corpus, Folder, stream

GUARD_SECONDS = 60.0
"""CPU seconds that one audit may take before it is killed; five times as much by the wall clock."""
MEMORY_LIMIT = 6 << 30


@dataclass(slots=True)
class Job:
    """One running audit."""

    folder: Folder
    room: Path
    answer: Path
    started: float


def audit_once(place: Path) -> dict[str, Any]:
    """Audit ``place`` in this process; never raises, an error is part of the answer."""
    import warnings

    from auditor.cli import guarded  # the same containment as the command's
    from auditor.engine import audit
    from auditor.report import json as machine

    warnings.simplefilter("ignore")
    answer: dict[str, Any] = {"verdict": None, "found": [], "error": None, "gaps": []}

    def body() -> int:
        report = audit(place)
        document = json.loads(machine.render(report))
        answer["verdict"] = document["verdict"]
        for result in document["results"]:
            if result["outcome"] == "found":
                answer["found"].append(result["rule"])
            elif result["outcome"] in ("error", "unknown"):
                answer["gaps"].append(
                    f"{result['outcome']} {result['rule']} ({result['witness']}): {result['reason'][:300]}"
                )
        errors = [gap for gap in answer["gaps"] if gap.startswith("error")]
        answer["error"] = errors[0] if errors else None
        return 0

    start = time.process_time()
    code = guarded(body, True)
    answer["seconds"] = round(time.process_time() - start, 4)
    answer["exit"] = code
    answer["parse_seconds"] = round(parse_seconds(place), 4)
    return answer


def parse_seconds(place: Path) -> float:
    """CPU seconds of ``ast.parse`` on the sources that the audit read (decoded), for the ratio."""
    from auditor.intake import IntakeError, load_submission

    try:
        submission = load_submission(place)
    except IntakeError:
        return 0.0
    entry = (submission.entry,) if submission.entry else ()
    texts = [s.text for s in (*entry, *submission.modules) if s.path.endswith(".py")]
    start = time.process_time()
    for text in texts:
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return time.process_time() - start


def start(corpus: Corpus, folder: Folder, scratch: Path) -> tuple[int, Job]:
    """Lay the folder out and fork its audit; returns the process id."""
    room = Path(tempfile.mkdtemp(dir=scratch))
    place = corpus.lay_out(folder, room)
    job = Job(folder, room, room / "answer.json", time.monotonic())
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
            cpu = math.ceil(GUARD_SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            errors = os.open(room / "stderr", os.O_WRONLY | os.O_CREAT)
            os.dup2(errors, 2)
            job.answer.write_text(json.dumps(audit_once(place)))
            status = 0
        finally:
            os._exit(status)
    return pid, job


def collect(jobs: dict[int, Job]) -> dict[str, Any] | None:
    """Wait a moment for one audit to end; kill those over the wall-clock guard. None when none ended."""
    for pid, job in jobs.items():
        if time.monotonic() - job.started > GUARD_SECONDS * 5:
            os.kill(pid, signal.SIGKILL)
    pid, status, usage = os.wait4(-1, os.WNOHANG)
    if pid == 0:
        time.sleep(0.005)
        return None
    job = jobs.pop(pid)
    row: dict[str, Any] = {
        "pr": job.folder.pr,
        "folder": job.folder.path,
        "verdict": None,
        "found": [],
        "seconds": None,
    }
    try:
        row |= json.loads(job.answer.read_text())
    except (OSError, ValueError):
        row["error"] = f"no answer, wait status {status} after {time.monotonic() - job.started:.0f} s of wall time"
        row["exit"] = 3
    stderr = job.room / "stderr"
    row["stderr"] = stderr.read_text(errors="replace")[-2000:] if stderr.exists() else ""
    row["process_cpu"] = round(usage.ru_utime + usage.ru_stime, 3)
    row["peak_mib"] = round(usage.ru_maxrss / 1024, 1)
    shutil.rmtree(job.room, ignore_errors=True)
    return row


def run(corpus: Corpus, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Audit every folder, ``--jobs`` at a time; rows come in order of completion."""
    only = {int(n) for n in arguments.only.split(",")} if arguments.only else None
    folders = stream(corpus, only, arguments.limit)
    jobs: dict[int, Job] = {}
    rows: list[dict[str, Any]] = []
    exhausted = False
    with (
        tempfile.TemporaryDirectory(prefix="sweep-cost-") as scratch,
        open(arguments.out, "w", encoding="utf-8") as sink,
    ):
        while jobs or not exhausted:
            while not exhausted and len(jobs) < arguments.jobs:
                folder = next(folders, None)
                if folder is None:
                    exhausted = True
                else:
                    pid, job = start(corpus, folder, Path(scratch))
                    jobs[pid] = job
            row = collect(jobs) if jobs else None
            if row is not None:
                rows.append(row)
                print(json.dumps(row), file=sink, flush=True)
                progress(rows)
    return rows


def progress(rows: list[dict[str, Any]]) -> None:
    """A line every hundred folders on a terminal."""
    if sys.stderr.isatty() and len(rows) % 100 == 0:
        print(f"{len(rows)} folders", file=sys.stderr)


def summary(rows: list[dict[str, Any]], startup: float) -> str:
    """The figures, as lines."""
    audited = [row for row in rows if row.get("exit") == 0]
    seconds = sorted(row["seconds"] for row in audited) or [0.0]
    ratios = [row["seconds"] / row["parse_seconds"] for row in audited if row.get("parse_seconds", 0) > 0.001]
    worst = max(audited, key=lambda row: row["seconds"], default=None)
    failed = [row for row in rows if row.get("exit") == 3]
    traced = [row for row in rows if "Traceback" in row.get("stderr", "")]
    errors = [row for row in audited if row.get("error")]
    lines = [
        f"folders {len(rows)}, pull requests {len({row['pr'] for row in rows})}, audited {len(audited)}",
        f"verdicts {dict(Counter(row['verdict'] for row in audited))}",
        f"refused as no submission (exit 2) {sum(row.get('exit') == 2 for row in rows)}",
        f"exit 3 or no answer {len(failed)}, tracebacks {len(traced)}, audits with an error result {len(errors)}",
        f"audit CPU seconds: median {statistics.median(seconds):.2f}, p95 {seconds[int(len(seconds) * 0.95) - 1]:.2f}, "
        f"max {seconds[-1]:.2f}" + (f" (#{worst['pr']} {worst['folder']})" if worst else ""),
        f"start-up of the command, to be added: {startup:.2f} s of CPU time",
        f"peak memory {max((row['peak_mib'] for row in rows), default=0):.0f} MiB",
        f"ratio to ast.parse of the same files: median {statistics.median(ratios) if ratios else 0:.1f}, "
        f"max {max(ratios, default=0):.1f}",
    ]
    lines += [
        f"FAILED #{row['pr']} {row['folder']}: {row.get('error')} {row.get('stderr', '')[-200:]}" for row in failed[:20]
    ]
    lines += [f"ERROR  #{row['pr']} {row['folder']}: {row['error'][:200]}" for row in errors[:20]]
    return "\n".join(lines)


def startup_seconds() -> float:
    """Median CPU seconds of three processes that import all an audit needs, and stop."""
    code = (
        "import auditor.cli, auditor.engine, auditor.intake, auditor.source, auditor.record, rules; rules.load_rules()"
    )
    figures = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(figures)


def preload() -> None:
    """Import everything once, so that each fork measures the audit alone."""
    import auditor.intake
    import auditor.record
    import auditor.report.json
    import auditor.source  # noqa: F401
    from rules import load_rules

    load_rules()


def main() -> int:
    """Parse the arguments, run, print; exit 1 when an audit failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--git", default=os.environ.get("GOLF_CORPUS_GIT"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", default=os.devnull)
    arguments = parser.parse_args()
    if not arguments.git:
        parser.error("give the bare git copy of the competition's repository with --git or GOLF_CORPUS_GIT")
    startup = startup_seconds()
    preload()
    corpus = Corpus(Path(arguments.git))
    try:
        rows = run(corpus, arguments)
    finally:
        corpus.close()
    print(summary(rows, startup))
    return 1 if any(row.get("exit") == 3 for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
