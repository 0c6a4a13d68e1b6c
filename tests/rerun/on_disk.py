"""Records of re-runs written as the harness writes them, for a submission that lies in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auditor.core.submission import Submission
from auditor.intake import load_submission
from auditor.rerun.facts import Hardware, RerunRecord, SeedRun
from auditor.rerun.record import Identity, Writer
from tests.rerun.judging import EIGHT, finished, record

BASELINE = Path(__file__).resolve().parent.parent.parent / "fixtures" / "submissions" / "honest_baseline"
STATED = 1.22731772
STEPS = 13_587
BATCH = 524_288
"""What the fixture claims."""


def submission(folder: Path = BASELINE) -> Submission:
    """The submission below ``folder``."""
    inner = next(folder.glob("records/*/*"))
    return load_submission(inner)


def runs(bpb: float, seeds: tuple[int, ...] = (42, 1337, 2025), **changes: object) -> list[SeedRun]:
    """Finished runs of one score."""
    found = [finished(seed, bpb, log=f"seed{seed}.log", artifact_bytes=15_400_000, **changes) for seed in seeds]
    steps = int(str(changes.get("steps", STEPS)))
    return [replace(run, code_bytes=13_287, steps=steps, tokens=steps * BATCH) for run in found]


def write(
    folder: Path, made: list[SeedRun], *, hardware: Hardware = EIGHT, sha: str | None = None, **changes: object
) -> RerunRecord:
    """Write a record of ``made`` into ``folder``, with a raw log for each run; ``sha`` of another script."""
    entry = submission().entry
    assert entry is not None
    launch = tuple((name, s.value, s.how) for name, s in sorted(submission().launch.env.items()))
    whole = record(*made, hardware=hardware, script_sha256=entry.sha256 if sha is None else sha,
                   **{"settings": launch, **changes})  # fmt: skip
    writer = Writer(folder)
    writer.head(whole, Identity(whole.script_sha256, "", (), 8, hardware.toy), {})
    for run in made:
        writer.seed(run)
        text = [f"line {n}" for n in range(1, 10)]
        if run.headline is not None:
            text.append(f"final_exact val_loss:2.0 val_bpb:{run.headline.bpb:.8f}")
        (folder / run.log).write_text("\n".join(text) + "\n")
    writer.close()
    return whole
