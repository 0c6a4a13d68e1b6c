"""The loss and the bits per byte that the headline states, told apart by their labels and by their ratio."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from auditor.behaviour.passes import NEAR_EVENTS, Report
from auditor.behaviour.run import Run

_LABELLED = re.compile(
    r"(?P<label>[A-Za-z][A-Za-z0-9_/ ()\-]*?)\s*[:=]\s*\$?(?P<value>[-+]?\d+\.\d+(?:[eE][-+]?\d+)?)"
)
_BPB = re.compile(r"bpb|bits?[_ /]*(?:per)?[_ /]*byte", re.I)
_LOSS = re.compile(r"loss|nll|nats|cross.?entropy", re.I)
_NO_SCORE = re.compile(r"train_loss|time|delta|gain|improve|target|baseline|size|diff", re.I)


@dataclass(frozen=True, slots=True)
class Stated:
    """Numbers of the headline; None where it has none. Decimals count the digits printed after the point."""

    loss: float | None
    loss_decimals: int
    bpb: float | None
    bpb_decimals: int
    consistent: bool
    """Whether loss and BPB stand to each other as nats to the toy stream's bits per byte."""


def stated(run: Run) -> Stated:
    """What the headline says, with lines near it that print one of its numbers."""
    report = run.headline
    if report is None:
        return Stated(None, 0, None, 0, False)
    loss, bpb = _pair(report)
    for other in run.reports:
        if other is report or abs(other.seq - report.seq) > NEAR_EVENTS:
            continue
        near_loss, near_bpb = _pair(other)
        if loss is None and bpb is not None and near_bpb is not None and _same(bpb, near_bpb):
            loss = near_loss
        if bpb is None and loss is not None and near_loss is not None and _same(loss, near_loss):
            bpb = near_bpb
    true = float(run.stream.bytes[1:].sum()) / max(1, run.stream.tokens.size - 1)
    fits = bool(loss and bpb and abs(loss[0] / math.log(2) / bpb[0] / true - 1) < 0.02)
    return Stated(
        loss[0] if loss else None, loss[1] if loss else 0, bpb[0] if bpb else None, bpb[1] if bpb else 0, fits
    )  # fmt: skip


def labelled(text: str) -> list[tuple[str, float, int]]:
    """Numbers of a line with the label before each and their count of decimals."""
    return [
        (m["label"].strip(), float(m["value"]), len(re.split("[eE]", m["value"].partition(".")[2])[0]))
        for m in _LABELLED.finditer(text)
    ]


def _pair(report: Report) -> tuple[tuple[float, int] | None, tuple[float, int] | None]:
    """Loss and BPB of one line."""
    loss = bpb = None
    for label, value, decimals in labelled(report.text):
        last = label.split()[-1] if label.split() else label
        if _NO_SCORE.search(last) or not 0.0 < value < math.inf:
            continue
        if _BPB.search(label):
            bpb = bpb or (value, decimals)
        elif _LOSS.search(label):
            loss = loss or (value, decimals)
    return loss, bpb


def _same(left: tuple[float, int], right: tuple[float, int]) -> bool:
    decimals = min(left[1], right[1])
    return decimals >= 3 and abs(left[0] - right[0]) <= 0.51 * 10.0**-decimals
