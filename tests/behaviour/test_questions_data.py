"""Data access and the round trip, on hand-made events."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.facts import Answer
from auditor.behaviour.questions import data_access, round_trip
from auditor.behaviour.run import Run
from auditor.behaviour.wire import Event
from auditor.core.types import Confidence, Outcome
from tests.behaviour.test_questions import Script, trains, world

# Data.


def _trained_on_shard(script: Script) -> None:
    tokens = world().train[0].tokens[:64].astype(np.int32)
    site = ["train_gpt.py", 3, "train"]
    fields = {"first": script.scores, "how": "cross_entropy", "grad": True, "shape": [1, 64]}
    script.add("Scored", {"targets": tokens, "loss": np.full(64, 7.0, np.float32)}, **fields, site=site)
    script.scores += 64
    script.train(script.scores - 64, 64, before=5.0)


def test_phases_of_data_access() -> None:
    def run(*after: tuple[str, dict[str, Any]], reserve: bool = False) -> Answer:
        script = Script()
        _trained_on_shard(script)
        for kind, fields in after:
            script.add(kind, None, **{"site": ["train_gpt.py", 9, "calibrate"], **fields})
        changes = [("GPTQ_RESERVE_SECONDS", "10", "1", "reserve")] if reserve else []
        return data_access.ask(script.sweep().print(), world(), changes)

    clock = ("Printed", {"text": "peak memory allocated: 3 MiB", "stream": "out"})
    written, shard = ("ArtifactWritten", {"path": "/golf/run/m.ptz", "bytes": 9}), ("Loaded", {"split": "train"})
    assert run(shard, clock, written).outcome is Outcome.CLEAR
    assert run(shard, written).outcome is Outcome.UNKNOWN  # before the clock stopped, or after it?
    late = run(clock, shard, written)
    assert late.outcome is Outcome.FOUND and late.evidence[0].confidence is Confidence.MEDIUM
    assert run(clock, shard, written, reserve=True).outcome is Outcome.CLEAR
    assert run(clock, written, shard).evidence[0].figures["kind"] == data_access.TRAIN_AT_EVAL
    asked = run(clock, written, ("Connected", {"host": "example.org"}))
    assert asked.evidence[0].figures["kind"] == data_access.NETWORK


@pytest.mark.parametrize(("grad", "level"), [(False, Confidence.MEDIUM), (True, Confidence.HIGH)])
def test_training_text_that_is_only_scored_is_for_review(grad: bool, level: Confidence) -> None:
    script = Script()
    _trained_on_shard(script)
    script.add("ArtifactWritten", None, path="/golf/run/m.ptz", bytes=9, site=["train_gpt.py", 7, "main"])
    script.add("Loaded", None, split="train", site=["train_gpt.py", 9, "temperature"])
    tokens = world().train[0].tokens[64:128].astype(np.int32)
    fields = {"first": script.scores, "how": "cross_entropy", "grad": grad, "shape": [1, 64]}
    losses = np.full(64, 7.0, np.float32)
    script.add("Scored", {"targets": tokens, "loss": losses}, **fields, site=["train_gpt.py", 10, "temperature"])
    script.scores += 64
    mixed = deepcopy(script).sweep(values=lambda loss, _: loss - 0.5).print()
    answer = data_access.ask(script.sweep().print(), world())
    assert answer.outcome is Outcome.FOUND and answer.evidence[0].confidence is level
    assert data_access.ask(mixed, world()).evidence[0].confidence is Confidence.HIGH  # the text may feed the mixture


def test_validation_text_in_training_is_found() -> None:
    script = Script()
    trains(script, 300, 364)
    _trained_on_shard(script)
    answer = data_access.ask(script.sweep().print(), world())
    assert answer.evidence[0].figures["kind"] == data_access.VAL_TRAINED


def test_gradients_that_are_thrown_away_are_no_training_loop() -> None:
    script = Script()
    _trained_on_shard(script)
    _trained_on_shard(script)
    script.events.pop()  # the second time no step is taken
    run = script.sweep(after=trains).print()
    assert data_access.ask(run, world()).outcome is Outcome.CLEAR


def test_losses_of_training_that_follow_validation_text_are_found() -> None:
    def run(loss: float) -> Run:
        script = Script()
        _trained_on_shard(script)
        event = script.events[0]
        script.events[0] = Event("Scored", 0, event.fields, {**event.arrays, "loss": np.full(64, loss, np.float32)})
        return script.sweep().print()

    answer = data_access.ask(run(7.0), world(), (), run(7.1))
    assert answer.evidence[0].figures["kind"] == data_access.VAL_STEERS
    assert data_access.ask(run(7.0), world(), (), run(7.0)).outcome is Outcome.CLEAR


# Round trip.


def test_a_score_must_move_with_the_artifact() -> None:
    def run(shift: float, perturbed: bool) -> Run:
        script = Script()
        script.add("ArtifactWritten", path="/golf/run/m.ptz", bytes=5000)
        script.add("ArtifactRead", path="/golf/run/m.ptz", bytes=5000)
        if perturbed:
            script.add("Perturbed", what="torch.load", count=3, site=["train_gpt.py", 50, "main"])
        return script.sweep(values=lambda loss, _: loss + shift).print()

    assert round_trip.ask(run(0.0, False), world(), run(0.01, True)).outcome is Outcome.CLEAR
    assert round_trip.ask(run(0.0, False), world(), run(0.0, True)).outcome is Outcome.FOUND
    assert round_trip.ask(run(0.0, False), world(), run(0.0, False)).outcome is Outcome.UNKNOWN
    assert round_trip.ask(run(0.0, False), world(), None).outcome is Outcome.UNKNOWN


def test_weights_from_a_larger_file_are_found() -> None:
    script = Script()
    _trained_on_shard(script)
    script.events[-1].fields["parameters"] = 100_000
    script.add("ArtifactWritten", path="/golf/run/m.ptz", bytes=70)
    script.add("ArtifactRead", path="/golf/run/store/ab", bytes=400_000, site=["train_gpt.py", 60, "load"])
    assert round_trip.ask(script.sweep().print(), world(), None).outcome is Outcome.FOUND
