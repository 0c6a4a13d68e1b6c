"""Events of a hostile guest: whatever comes over the channel is refused as no event, or can be read to the end."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.events import Checker
from auditor.behaviour.host import Guest, RunCommand, RunLog
from auditor.behaviour.order import cut_at
from auditor.behaviour.questions.every import ask_all
from auditor.behaviour.questions.prefix_invariance import compare
from auditor.behaviour.run import Run
from auditor.behaviour.timeline import passes_of, timeline
from auditor.behaviour.wire import Event, WireError
from tests.behaviour.test_questions import Script, trains, world

SITE = ["train_gpt.py", 5, "main"]
HUGE = 10**30
WEIRD: tuple[Any, ...] = (
    None, True, -1, 0, 7, HUGE, -HUGE, float("nan"), float("inf"), -float("inf"), 1e308, "", "x", "9" * 3000,
    "\ud800", [], [[]], {}, ["a"], [1, 2, 3], ["a", -1, "f"], ["a", HUGE, "f"], ["a", 1, 2], [[0, HUGE]], [[-5, 3]],
    [[0, 1 << 40]], [[0, 5], [1]], {"a": 1}, "val_loss:0.000000 val_bpb:0.0000", "val_loss:-1.25 val_bpb:1e999",
    "val_loss:2.1234567 val_bpb:0.0000", "loss: 1.23456789 bytes: 12",
)  # fmt: skip


@dataclass
class Told:
    """A guest that only says what it is given."""

    data: bytes
    stdin: io.BytesIO = field(default_factory=io.BytesIO)

    def kill(self) -> None:
        """Nothing runs."""

    def errors(self) -> str:
        """Nothing is said."""
        return ""


def heard(events: list[Event]) -> RunLog:
    """What the host makes of ``events``; raises as `Guest.run`."""
    reader, writer = os.pipe()
    data = b"".join(frame(event) for event in events)
    child = os.fork()
    if child == 0:  # a pipe holds less than a run's events
        with open(writer, "wb") as out:
            out.write(data)
        os._exit(0)
    os.close(writer)
    try:
        with Guest(Told(b""), reader) as guest:
            return guest.run(RunCommand("train_gpt.py", (), {}))
    finally:
        os.waitpid(child, 0)


def frame(event: Event) -> bytes:
    """An event as bytes, whatever it holds."""
    shapes = [[name, array.dtype.str, list(array.shape)] for name, array in event.arrays.items()]
    head = json.dumps({"k": event.kind, "s": event.seq, "f": event.fields, "b": shapes}).encode()
    return struct.pack("<I", len(head)) + head + b"".join(a.tobytes() for a in event.arrays.values())


@cache
def whole() -> tuple[Event, ...]:
    """A run with one of every kind of event: training, an artifact, a pass that trains after scoring, a score."""
    script = Script()
    script.add("Loaded", None, path="/golf/run/data/val.bin", split="val", site=SITE)
    script.add("Opened", None, path="/golf/run/x.log", mode="w")
    script.add("Stubbed", None, module="wandb")
    tokens = world().train[0].tokens[:64].astype(np.int32)
    script.add("Fed", {"tokens": tokens}, site=SITE, grad=True, shape=[1, 64], time=0.5)
    script.score(1, 65, grad=True)
    script.train(0, 64)
    script.add("ArtifactWritten", None, path="/golf/run/model.ptz", bytes=12_345, site=SITE)
    script.add("ArtifactRead", None, path="/golf/run/model.ptz", bytes=12_345, site=SITE)
    script.add("Spawned", None, argv=["nvidia-smi"])
    script.add("Connected", None, host="example.org")
    script.sweep(after=trains).print()
    fields = {"status": "ended", "error": "", "message": "", "frames": [["/golf/run/a.py", 1, "f", "x"]]}
    script.add("Finished", None, **fields)
    script.add("Exited", None, status=0, peak_bytes=1, timed_out=False, cpu_seconds=0.5)
    extra: dict[str, dict[str, Any]] = {
        "Stepped": {"optimizer": "SGD", "after": 2.0}, "Trained": {"how": "backward"},
    }  # fmt: skip
    made = []
    for event in script.events:
        more = {"site": SITE} if event.kind in ("Printed", "Stepped", "Trained") else {}
        arrays = dict(event.arrays)
        if event.kind == "Trained":
            arrays.setdefault("unused", np.zeros(0, np.int64))
        made.append(Event(event.kind, event.seq, {**more, **extra.get(event.kind, {}), **event.fields}, arrays))
    return tuple(made)


def read_all(log: RunLog, whole_log: RunLog) -> None:
    """Everything that the probe makes of a run."""
    a, b = Run(log, world().val, world().spec), Run(whole_log, world().val, world().spec)
    assert isinstance(log.ended, bool) and isinstance(log.failure(), str)
    comparisons = []
    for one, other in ((a, b), (b, a)):
        if one.judged is not None and one.judged.positions.size > 2:
            cut = cut_at(one.judged, one.stream.tokens.size, one.judged.positions.size // 2, "in the middle")
            comparisons.append(compare(one, other, cut))
    ask_all(a, world(), comparisons[:1] if a.judged is not None else [], [b], (), b)
    ask_all(b, world(), [], [a], (), a)
    timeline(a)
    passes_of(a)


def test_a_whole_run_is_heard() -> None:
    log = heard(list(whole()))
    assert log.ended and len(log.events) == len(whole()) - 2
    read_all(log, log)


def mutated(events: list[Event], dice: random.Random) -> list[Event]:
    """One change of one event: a field, an array, its kind, its number, its place."""
    at = dice.randrange(len(events))
    event = events[at]
    fields, arrays, kind, seq = copy.deepcopy(event.fields), dict(event.arrays), event.kind, event.seq
    what = dice.choice(("field", "field", "field", "array", "array", "kind", "seq", "drop", "twice", "without"))
    if what == "field" and fields:
        fields[dice.choice(sorted(fields))] = dice.choice(WEIRD)
    elif what == "without" and fields:
        del fields[dice.choice(sorted(fields))]
    elif what == "array" and arrays:
        name = dice.choice(sorted(arrays))
        old = arrays[name]
        top = np.iinfo(old.dtype).max if old.dtype.kind == "i" else np.inf
        arrays[name] = dice.choice(
            (old[:-1], old[:0], old.reshape(-1, 1), old.astype("<f4"), old.astype("<i8"), np.full_like(old, top),
             np.full_like(old, -5), np.full_like(old, np.nan if old.dtype.kind == "f" else 0), np.repeat(old, 2))
        )  # fmt: skip
    elif what == "kind":
        kind = dice.choice(sorted({e.kind for e in events} - {"Exited"}))
    elif what == "seq":
        seq = dice.choice((-1, 0, HUGE, seq + 7, (1 << 53) - 1))
    made = [] if what == "drop" else [Event(kind, seq, fields, arrays)] * (2 if what == "twice" else 1)
    return [*events[:at], *made, *events[at + 1 :]]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_event_makes_the_host_stumble() -> None:
    dice, good, refused = random.Random(5), heard(list(whole())), 0
    for number in range(CASES):
        events = list(whole())
        for _ in range(dice.choice((1, 1, 2, 4))):
            events = mutated(events, dice)
        if events[-1].kind != "Exited" or events[-1].fields != whole()[-1].fields:
            events[-1] = whole()[-1]
        checker = Checker()
        try:
            for event in events:
                checker.check(event)
        except WireError:
            refused += 1
            continue
        log = RunLog([e for e in events if e.kind not in ("Finished", "Exited")], 0, finished={"status": "ended"})
        try:
            read_all(log, good)
        except Exception as error:  # name the case
            raise AssertionError(f"case {number}") from error
    assert CASES / 4 < refused < CASES


CASES = 300


@pytest.mark.parametrize("head", [b"[" * 100_000, b'{"k":"x","s":0,"f":{},"b":[["a",["<f8"],[1]]]}',
                                  b'{"k":"x","s":0,"f":{},"b":[["a","<f8",[' + b"1," * 99 + b"1]]]}" + b"12345678"])
def test_odd_headers_are_refused(head: bytes) -> None:
    from auditor.behaviour.wire import Decoder

    size = len(head) - 8 if head.endswith(b"12345678") else len(head)
    with pytest.raises(WireError):
        list(Decoder().feed(struct.pack("<I", size) + head))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Exited", {"status": 0}),
        ("Finished", {"status": "failed"}),
        ("Printed", {"text": 5, "site": SITE}),
        ("Trained", {"site": SITE, "how": "backward", "groups": [[0, 1 << 40]]}),
    ],
)
def test_malformed_events_end_the_run(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(WireError, match=kind if kind != "Trained" else "Trained|gradients"):
        heard([Event(kind, 0, fields, {}), Event("Exited", 1, whole()[-1].fields, {})])
