"""The bytes of a re-run's artifact and code against the cap, by the readings of ``auditor.record.sizes``."""

from __future__ import annotations

from auditor.record.facts import Over
from auditor.record.sizes import CAP, decide
from auditor.rerun.claimed import Claimed
from auditor.rerun.facts import SeedRun


def size_of(run: SeedRun, claimed: Claimed, cap: int = CAP) -> tuple[Over, str]:
    """How a finished run stands to ``cap``, with the sentence. ``UNKNOWN``: artifact or code was not measured.

    An artifact that is over by itself is over in every reading. Code counts as shipped; where it alone makes the
    difference and fits when it is packed, as was accepted, the size is only noted.
    """
    artifact, total = run.artifact_bytes, run.bytes_total
    if artifact is not None and artifact > cap:
        return Over.OVER, f"the artifact alone has {artifact:,} bytes, the cap is {cap:,}"
    if total is None or artifact is None:
        return Over.UNKNOWN, "the artifact's size was not measured"
    if total <= cap:
        return Over.UNDER, f"{total:,} bytes of artifact and code"
    if claimed.code_packed is None or cap < CAP:
        return Over.OVER, f"{total:,} bytes of artifact and code, the cap is {cap:,}"
    entry = None if claimed.entry_bytes is None else artifact + claimed.entry_bytes
    packed = artifact + claimed.code_packed
    over, why = decide(claimed=None, logged=None, shipped=total, packed=packed, model=artifact, entry_only=entry)
    if over is Over.OVER:
        return over, f"{total:,} bytes of artifact and code, the cap is {cap:,}: {why}"
    return over, f"{total:,} bytes of artifact and code: {why}"
