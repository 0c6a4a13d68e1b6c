"""Figures of printed lines: which name stands before which number."""

from __future__ import annotations

from auditor.behaviour.questions.printed import labelled, stated
from tests.behaviour.test_questions import Script


def test_labels_are_read_with_their_numbers() -> None:
    assert labelled("x val_loss:2.0712 val_bpb:1.2265 time:3.5ms")[:2] == [
        ("x val_loss", 2.0712, 4), ("val_bpb", 1.2265, 4),
    ]  # fmt: skip
    told = stated(Script().sweep().print())
    assert told.loss is not None and told.bpb is not None and told.consistent
