"""Re-run records made by hand, for the tests of the judgement."""

from __future__ import annotations

from dataclasses import replace

from auditor.core.types import Claim, Place
from auditor.rerun.claimed import Claimed
from auditor.rerun.facts import (
    Hardware,
    MeasuredScore,
    PhaseKind,
    PhaseSpan,
    RerunRecord,
    SeedEnd,
    SeedRun,
)

H100 = "NVIDIA H100 80GB HBM3"
EIGHT = Hardware(gpus=(H100,) * 8, gpu_memory_bytes=85_000_000_000, processes=8)
TOY = Hardware(processes=1, toy=True)
ONE_A100 = Hardware(gpus=("NVIDIA A100-SXM4-80GB",), processes=1)
CLAIMED = Claimed(
    score=1.06, by_seed=((7, 1.0599), (42, 1.0601), (99, 1.06)), std=0.0001, n=3, steps=5000, tokens=5000 * 786_432,
    code_packed=20_000, entry_bytes=60_000, bytes_per_token=3.73,
    claims=(Claim("bytes_total", 15_900_000, Place(field="bytes_total")),),
)  # fmt: skip
NOTHING = Claimed()


def spans(*parts: tuple[PhaseKind, float] | tuple[PhaseKind, float, str]) -> tuple[PhaseSpan, ...]:
    """Phases one after the other, from (kind, seconds) or (kind, seconds, name)."""
    found, at = [], 0.0
    for kind, seconds, *name in parts:
        found.append(PhaseSpan(kind, name[0] if name else kind.value, at, at + seconds))
        at += seconds
    return tuple(found)


def phases(
    train: float = 599.0, evaluation: float = 300.0, calibration: float = 0.0, aside: float = 0.0
) -> tuple[PhaseSpan, ...]:
    """The phases of a usual run; ``aside`` seconds of a diagnostic before the score."""
    return spans(
        (PhaseKind.START, 30.0), (PhaseKind.WARM_UP, 60.0), (PhaseKind.TRAIN, train),
        (PhaseKind.CALIBRATION, calibration), (PhaseKind.SERIALISE, 20.0),
        (PhaseKind.EVALUATION, aside, "diagnostic: x"), (PhaseKind.EVALUATION, evaluation, "final"),
        (PhaseKind.END, 1.0),
    )  # fmt: skip


def finished(seed: int | None, bpb: float = 1.06, **changes: object) -> SeedRun:
    """A run that finished in time and under the cap; its sums are those of its phases unless they are given."""
    parts = changes.get("phases", phases())
    assert isinstance(parts, tuple)
    total = parts[-1].end if parts else 1010.0
    score = MeasuredScore("final_exact", bpb, None, 10, total - 1.0)
    run = SeedRun(
        seed, SeedEnd.FINISHED, 0, total, phases=parts, scores=(score,), headline=score, steps=5000,
        tokens=5000 * 786_432, artifact="final_model.ptz", artifact_bytes=15_800_000, code_bytes=60_000,
        train_seconds=sum(p.end - p.start for p in parts if p.kind is PhaseKind.TRAIN) if parts else 599.0,
        eval_seconds=sum(p.end - p.start for p in parts if p.name == "final") if parts else 300.0,
        eval_seconds_strict=sum(p.end - p.start for p in parts if p.kind is PhaseKind.EVALUATION) if parts else 300.0,
    )  # fmt: skip
    return replace(run, **changes)  # type: ignore[arg-type]


def ended(seed: int, end: SeedEnd, reason: str = "the line that tells why") -> SeedRun:
    """A run that gave no result."""
    return SeedRun(seed, end, 1, 12.0, reason=reason)


def record(*runs: SeedRun, hardware: Hardware = EIGHT, **changes: object) -> RerunRecord:
    """A record of ``runs``; the seeds asked for are theirs."""
    made = RerunRecord(
        tool_version="0", started="2026-05-03T00:00:00Z", submission="2026-04-01_Example", script="train_gpt.py",
        script_sha256="", hardware=hardware, settings=(), asked_seeds=tuple(r.seed for r in runs if r.seed is not None),
        limit_train=600.0, limit_eval=600.0, grace=60.0, cap_bytes=16_000_000, seeds=runs,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def good() -> RerunRecord:
    """Three seeds that bear the claim of `CLAIMED` out."""
    return record(finished(42, 1.0603), finished(7, 1.0597), finished(99, 1.0601))
