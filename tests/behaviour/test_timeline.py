"""The timeline merges what is alike, stays short, and marks the judged pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from auditor.behaviour.host import RunLog
from auditor.behaviour.run import Run
from auditor.behaviour.timeline import MAX_MOMENTS, MAX_PASSES, passes_of, timeline
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.wire import Event

WORLD = make_world(WorldSpec(val_tokens=1025, train_tokens=600, train_shards=1))
ROW = 64


class Tape:
    """Events as a guest would send them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.scores = 0
        self.time = 0.0

    def add(self, kind: str, arrays: dict[str, Any] | None = None, line: int = 1, **fields: Any) -> None:
        self.time += 0.5
        full = {"site": ["train_gpt.py", line, "main"], "time": self.time, **fields}
        self.events.append(Event(kind, len(self.events), full, arrays or {}))

    def score(
        self, start: int, loss: float, line: int = 10, grad: bool = False, train: bool = False, tokens: Any = None,
        counted: bool = False,
    ) -> int:  # fmt: skip
        """One row of the validation stream (or ``tokens``), and its sum; the number of its first score."""
        if tokens is None:
            tokens = WORLD.train[0].tokens if train else WORLD.val.tokens
        targets = tokens[start + 1 : start + 1 + ROW].astype(np.int32)
        losses = np.full(ROW, loss, np.float32)
        first, self.scores = self.scores, self.scores + ROW
        self.add("Scored", {"targets": targets, "loss": losses}, line, first=first, how="cross_entropy", grad=grad,
                 shape=[1, ROW])  # fmt: skip
        labels = np.arange(first, first + ROW)
        if not grad or counted:
            self.add("Summed", {"labels": labels, "values": losses.astype(np.float64)}, line + 1, how="sum",
                     total=float(loss * ROW), grad=False)  # fmt: skip
        return first

    def sweep(self, loss: float, label: str, line: int = 10) -> None:
        for start in range(0, 1024, ROW):
            self.score(start, loss, line)
        self.add("Printed", line=line + 5, text=f"{label} val_loss:{loss:.4f}", stream="out")

    def train(self, start: int, train: bool = True) -> None:
        first = self.score(start, 7.0, 30, grad=True, train=train)
        self.add("Trained", line=31, groups=[[first, ROW]])
        self.add("Stepped", line=32, optimizer="AdamW", parameters=1000)

    def run(self, stated: tuple[str, ...] = ()) -> Run:
        log = RunLog(self.events, 0, finished={"status": "ended"})
        return Run(log, WORLD.val, WORLD.spec, stated)


def test_a_loop_is_one_line_and_the_judged_pass_is_marked() -> None:
    tape = Tape()
    for _ in range(5):
        tape.train(64)
    tape.sweep(6.5, "before")
    tape.add("ArtifactWritten", path="/golf/run/model.ptz", bytes=12345)
    tape.sweep(6.25, "final", 50)
    run = tape.run()
    moments = timeline(run)
    assert [m.what for m in moments] == ["trained", "scored", "printed", "wrote", "scored", "printed"]
    training, *_ = moments
    assert training.split == "train" and training.tokens == 5 * ROW and "AdamW, 1,000 parameters" in training.detail
    assert moments[1].tokens == 1024 and (moments[1].low, moments[1].high) == (1, 1024)
    assert moments[3].detail == "model.ptz, 12,345 bytes" and moments[5].detail.startswith("the judged line: ")
    passes = passes_of(run)
    assert [p.judged for p in passes] == [False, True] and [p.value for p in passes] == [6.5, 6.25]
    assert passes[1].first_event == moments[4].event and passes[1].distinct == 1024


def test_training_on_validation_tokens_shows_where() -> None:
    tape = Tape()
    for start in range(0, 512, ROW):
        tape.train(start, train=False)
    tape.sweep(6.25, "final")
    trained, *_ = timeline(tape.run())
    assert (trained.what, trained.split, trained.low, trained.high) == ("trained", "val", 1, 512)


def test_scores_that_are_trained_on_but_judged_keep_their_line() -> None:
    tape = Tape()
    for start in range(0, 1024, ROW):
        first = tape.score(start, 6.0, 10, grad=True, counted=True)
        tape.add("Trained", line=31, groups=[[first, ROW]])
        tape.add("Stepped", line=32, optimizer="SGD", parameters=10)
    tape.add("Printed", line=40, text="final val_loss:6.0000", stream="out")
    moments = timeline(tape.run())
    assert [m.what for m in moments] == ["scored", "trained", "printed"]
    assert moments[0].tokens == moments[1].tokens == 1024


def test_it_stays_short_and_says_what_it_leaves_out() -> None:
    tape = Tape()
    for number in range(200):
        tape.score(0, 6.0, 10 + number)
        tape.add("Spawned", argv=["nvidia-smi", str(number)])
    tape.sweep(6.25, "final", 900)
    moments = timeline(tape.run())
    assert len(moments) == MAX_MOMENTS and any("lines left out" in m.detail for m in moments)
    assert moments[0].what == "scored" and moments[-1].detail.startswith("the judged line")


def test_the_judged_pass_is_kept_among_many() -> None:
    tape = Tape()
    tape.sweep(6.125, "the_score")
    for number in range(40):
        tape.sweep(5.0 + number / 64, f"probe{number}", 100 + 10 * number)
    passes = passes_of(tape.run(stated=("the_score val_loss:1.1111",)))
    assert len(passes) == MAX_PASSES and [p.label for p in passes if p.judged] == ["the_score val_loss:6.1250"]


def test_a_run_without_scores_has_a_timeline_too() -> None:
    tape = Tape()
    tape.add("Loaded", path="/golf/run/data/datasets/x/fineweb_train_000000.bin", split="train")
    tape.add("Connected", host="huggingface.co")
    run = tape.run()
    assert [m.what for m in timeline(run)] == ["loaded", "connected"] and passes_of(run) == ()
