"""The fourth witness: a record on disk, read again and believed only as far as it stands up.

A record that cannot be read, is of another script or other settings, was made at toy scale, contradicts itself or its
raw logs, or ended in the harness's own failure, says nothing for the submission nor against it: `Unusable`, with the
reason.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from auditor.core.rerun import RerunInfo, RerunSeed
from auditor.core.submission import Submission
from auditor.record.facts import BUDGET_SECONDS, RecordFacts
from auditor.rerun import times
from auditor.rerun.claimed import Claimed, claimed_of
from auditor.rerun.compare import FAR
from auditor.rerun.facts import RerunRecord, SeedEnd, SeedRun
from auditor.rerun.judged import Judgement
from auditor.rerun.outcome import judge_claimed
from auditor.rerun.published import statistics
from auditor.rerun.record import RecordError, open_own, read
from auditor.rerun.signs import damage
from auditor.rerun.sizes import size_of
from auditor.rerun.witness_facts import Measured, RerunFacts, TimeCheck

LONGEST_LINE = 1 << 16
MOST_LINES = 2_000_000
_DECIMAL = re.compile(rb"\d+\.\d+")


class Unusable(Exception):
    """The record tells nothing of this submission; the message is one sentence."""


def listen(folder: Path, submission: Submission, facts: RecordFacts) -> RerunFacts:
    """Read the record in ``folder`` for ``submission``. Raises `Unusable`."""
    try:
        record = read(folder)
    except RecordError as error:
        raise Unusable(f"the re-run's record cannot be read: {error}") from error
    _believe(record, submission, folder)
    return facts_of(record, claimed_of(submission, facts))


def facts_of(record: RerunRecord, claimed: Claimed) -> RerunFacts:
    """What the rules read of a record that is believed, against stated figures."""
    judgement = judge_claimed(record, claimed)
    figures = judgement.statistics
    gap = figures.gap if figures is not None else None
    done = min((run.steps for run in record.seeds if run.steps is not None), default=None)
    return RerunFacts(
        record, judgement,
        tuple(
            Measured(run, *size_of(run, claimed), _checked(times.training(run)), _checked(times.evaluation(run)))
            for run in record.seeds if run.end in (SeedEnd.FINISHED, SeedEnd.TIMED_OUT)
        ),
        far=gap is not None and figures is not None and gap > max(FAR, figures.tolerance),
        steps_share=done / claimed.steps if done is not None and claimed.steps else None,
        info=_info(record, judgement),
    )  # fmt: skip


def _checked(readings: tuple[times.Reading, ...]) -> TimeCheck:
    budget = BUDGET_SECONDS
    return TimeCheck(
        times.told(readings), any(r.decides for r in readings), times.over(readings, budget),
        times.disputed(readings, budget),
    )  # fmt: skip


def _believe(record: RerunRecord, submission: Submission, folder: Path) -> None:
    own = submission.entry.sha256 if submission.entry is not None else ""
    if not own or record.script_sha256 != own:
        seen = record.script_sha256[:12] or "no script"
        raise Unusable(f"the re-run's record is of another script ({seen}, here {own[:12] or 'none'})")
    if other := _other_settings(record, submission):
        raise Unusable(f"the re-run was made under other settings than the claimed launch: {other}")
    if record.hardware.toy:
        raise Unusable("the re-run was made at toy scale: no claim can be settled by it")
    if failed := record.harness_error or record.setup_error:
        raise Unusable(f"the re-run measured nothing: {failed}")
    if not record.seeds:
        raise Unusable("the re-run's record holds no run")
    for run in record.seeds:
        if reason := damage(run) or _contradicted(run, folder) or _other_artifact(run, folder):
            raise Unusable(f"the re-run's record does not stand up: {reason}")


def _other_settings(record: RerunRecord, submission: Submission) -> str:
    """The first setting that differs from the claimed launch; data lie elsewhere there, and do not count."""
    used = {name: value for name, value, _ in record.settings}
    asked = {name: setting.value for name, setting in submission.launch.env.items()}
    for name in sorted({*used, *asked}):
        here, there = asked.get(name), used.get(name)
        if here != there and not (here is not None and (there or "").startswith("./data/")):
            return f"{name} is {there or 'not set'}, claimed {here or 'not set'}"
    return ""


def _contradicted(run: SeedRun, folder: Path) -> str:
    """Why the raw log does not bear out the score of a finished run; empty where it does, or where there is none."""
    if run.end is not SeedEnd.FINISHED or run.headline is None:
        return ""
    name = Path(run.log)
    if not run.log or name.is_absolute() or len(name.parts) != 1 or (folder / name).is_symlink():
        return f"{run.log or 'a run'}: no raw log beside the record"
    try:
        line = next(islice(_log_lines(folder / name), run.headline.line - 1, None), None)
    except (OSError, ValueError):
        return f"{run.log}: the raw log cannot be read"
    figures = [float(text) for text in _DECIMAL.findall(line or b"")]
    if not any(math.isclose(figure, run.headline.bpb, rel_tol=1e-9) for figure in figures):
        return f"{run.log}:{run.headline.line} does not state the score {run.headline.bpb:g}"
    return ""


def _other_artifact(run: SeedRun, folder: Path) -> str:
    """Why the artifact that lies beside the record is not the one of the figures; empty where none was kept."""
    if run.end is not SeedEnd.FINISHED or run.artifact is None:
        return ""
    kept = folder / Path(run.log).stem / Path(run.artifact).name
    with suppress(OSError):
        seen = os.lstat(kept)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size != run.artifact_bytes:
            told = "no size" if run.artifact_bytes is None else f"{run.artifact_bytes:,} bytes"
            return f"{kept.relative_to(folder)} has {seen.st_size:,} bytes, the record gives {told}"
    return ""


def _log_lines(path: Path) -> Iterator[bytes]:
    """Lines of a raw log, each cut at `LONGEST_LINE`. OSError."""
    with open_own(path, "rb") as file:
        for _ in range(MOST_LINES):
            line = file.readline(LONGEST_LINE)
            if not line:
                return
            yield line
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)


def _info(record: RerunRecord, judgement: Judgement) -> RerunInfo:
    box = record.hardware
    return RerunInfo(
        judgement.outcome.value, judgement.reasons, record.started,
        f"{len(box.gpus)} x {box.gpus[0]}" if box.gpus else "a machine without a GPU", box.equivalent,
        tuple(
            RerunSeed(s.seed, s.end.value, s.stated, s.measured, s.bytes_total, s.train_seconds, s.eval_seconds,
                      s.steps) for s in judgement.seeds
        ),
        tuple(f"{name}: {text}" if name else text for name, text in statistics(judgement)),
    )  # fmt: skip
