"""On what data a log line says that the quantiser was calibrated."""

from __future__ import annotations

import pytest

from auditor.core.types import Place
from auditor.record.events import calibration


@pytest.mark.parametrize(("text", "source", "seconds"), [
    ("gptq:collecting hessians from training data (256 batches)...", "train", None),
    ("gptq:collected hessians for 68 layers (training data) in 3.4s", "train", 3.4),
    ("gptq:collecting hessians from validation data (16 sequences)...", "val", None),
    ("gptq:collecting hessians from held-out data...", "held-out", None),
    ("gptq:collecting hessians from autoregressive data...", "generated", None),
    ("GPTQ:collected 67 Hessians in 4.9s", None, 4.9),
])
def test_source_and_seconds(text: str, source: str | None, seconds: float | None) -> None:
    line = calibration(text, after_clock=True, at=Place(file="train.log", line=1))
    assert (line.source, line.seconds) == (source, seconds)
