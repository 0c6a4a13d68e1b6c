"""The channel from guest to host: what is sent comes back, and nothing malformed or oversized is taken."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.wire import MAX_HEAD, Decoder, Event, WireError


def sent(*events: tuple[str, dict[str, Any]]) -> bytes:
    """The bytes that the guest's side writes."""
    read, write = os.pipe()
    sender = Sender(write)
    for kind, fields in events:
        sender.emit(kind, fields)
    sender.flush()
    os.close(write)
    with open(read, "rb") as pipe:
        return pipe.read()


def frame(head: object, body: bytes = b"") -> bytes:
    """A frame of any header."""
    data = json.dumps(head).encode()
    return struct.pack("<I", len(data)) + data + body


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_events_come_back_whatever_the_pieces(step: int) -> None:
    losses = np.linspace(0, 1, 7, dtype=np.float32)
    scored = {"first": 3, "loss": losses, "targets": np.arange(7, dtype=np.int32)}
    data = sent(("Scored", scored), ("Printed", {"text": "é"}))
    decoder = Decoder()
    events: list[Event] = []
    for at in range(0, len(data), step):
        events += decoder.feed(data[at : at + step])
    assert [e.kind for e in events] == ["Scored", "Printed"] and [e.seq for e in events] == [0, 1]
    assert events[0].fields == {"first": 3} and np.array_equal(events[0].arrays["loss"], losses)
    assert events[1].fields == {"text": "é"}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", MAX_HEAD + 1),
        struct.pack("<I", 4) + b"nope",
        frame(["a list"]),
        frame({"k": 1, "s": 0, "f": {}, "b": []}),
        frame({"k": "x", "s": 0, "f": [], "b": []}),
        frame({"k": "x", "s": 0, "f": {}, "b": [["a", "|O", [1]]]}, b"12345678"),
        frame({"k": "x", "s": 0, "f": {}, "b": [["a", "<f8", [-1]]]}),
        frame({"k": "x", "s": 0, "f": {}, "b": [["a", "<f8", [1 << 26, 64]]]}),
        frame({"k": "x", "s": 0, "f": {}, "b": [["a", "<f8", "3"]]}),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(Decoder().feed(data))


def test_more_than_the_limit_is_refused() -> None:
    data = sent(("Printed", {"text": "x" * 200}))
    assert list(Decoder(limit=len(data)).feed(data))
    with pytest.raises(WireError, match="more than the limit"):
        list(Decoder(limit=len(data) - 1).feed(data))
