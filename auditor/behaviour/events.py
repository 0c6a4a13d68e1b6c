"""What an event of each kind must hold before the host reads it: a hostile script writes to the same channel.

Whatever passes is safe to index and count with; whether it is true is another matter: a script that takes over its own
guest can tell any story, which the reports say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auditor.behaviour.wire import Event, WireError

MAX_INT = 1 << 53
MAX_LINE = 1 << 31
MAX_TEXT = 4000
"""Characters; the guest cuts what it prints to 2,000."""
MAX_DIMS = 16
Check = Callable[[Any], bool]


def _int(value: Any) -> bool:
    return type(value) is int and abs(value) < MAX_INT


def _count(value: Any) -> bool:
    return _int(value) and value >= 0


def _number(value: Any) -> bool:
    return type(value) is float or _int(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _name(value: Any) -> bool:
    """A text that can be printed anywhere: no half of a surrogate pair."""
    return _text(value) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _site(value: Any) -> bool:
    """``[file, line]`` or ``[file, line, function]``."""
    if not isinstance(value, list) or len(value) not in (2, 3) or not _name(value[0]):
        return False
    return _count(value[1]) and value[1] < MAX_LINE and (len(value) == 2 or _name(value[2]))


def _whole_site(value: Any) -> bool:
    return _site(value) and len(value) == 3


def _list(each: Check) -> Check:
    return lambda value: isinstance(value, list) and all(each(v) for v in value)


def _pair(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_DIMS and all(_count(n) for n in value)


def _frame(value: Any) -> bool:
    """``[file, line, function, source]`` of a traceback."""
    return isinstance(value, list) and len(value) == 4 and all(_text(value[i]) for i in (0, 2, 3)) and _count(value[1])


_FAILURE: Mapping[str, Check] = {"error": _text, "message": _text, "frames": _list(_frame)}
_FIELDS: Mapping[str, Mapping[str, Check]] = {
    "Scored": {"first": _count, "how": _text, "grad": _flag, "site": _whole_site, "shape": _shape},
    "Summed": {"how": _text, "site": _whole_site, "grad": _flag},
    "Trained": {"site": _whole_site, "groups": _list(_pair(_count, _count)), "how": _text},
    "Stepped": {
        "site": _whole_site, "optimizer": _text, "parameters": _count, "id": _int, "before": _number, "after": _number,
    },
    "Fed": {"site": _whole_site, "grad": _flag},
    "Printed": {"text": _text, "site": _whole_site},
    "ArtifactWritten": {"path": _text, "bytes": _count},
    "ArtifactRead": {"path": _text, "bytes": _count},
    "Loaded": {"path": _text, "split": _text},
    "Opened": {"path": _text, "mode": _text},
    "Spawned": {"argv": lambda value: isinstance(value, list | str)},
    "Perturbed": {"count": _count},
    "Built": {"parameters": _count, "model": _text, **_FAILURE},
    "Finished": {"status": _text, **_FAILURE},
    "Exited": {"status": _int, "peak_bytes": _count, "timed_out": _flag, "cpu_seconds": _number},
}  # fmt: skip
_SOMETIMES: Mapping[str, Check] = {
    "site": _site, "time": _number, "weights": _list(_pair(_int, _number)), "split": _text, "bytes": _count,
}  # fmt: skip
"""Checked in every kind of event that has them."""
_ARRAYS: Mapping[str, Mapping[str, str]] = {
    "Scored": {"targets": "<i4", "loss": "<f4"},
    "Summed": {"labels": "<i8", "values": "<f8"},
    "Trained": {"unused": "<i8"},
    "Fed": {"tokens": "<i4"},
}


class Checker:
    """Checks one run's events in order; ``scores``: how many scores there were before (for a resumed copy)."""

    def __init__(self, scores: int = 0) -> None:
        self.scores = scores
        self.branched = 0
        """Scores at the moment at which the paused copies were made."""

    def check(self, event: Event) -> None:
        """Raise `WireError` unless the event is what an event of its kind must be. Kinds not known here may pass."""
        if not _count(event.seq):
            raise WireError(f"an event {event.kind[:20]!r} whose number is out of range")
        for name, fits in _FIELDS.get(event.kind, {}).items():
            if name not in event.fields or not fits(event.fields[name]):
                raise WireError(f"an event {event.kind} with a malformed {name}")
        for name, fits in _SOMETIMES.items():
            if name in event.fields and not fits(event.fields[name]):
                raise WireError(f"an event {event.kind[:20]!r} with a malformed {name}")
        for name, kind in _ARRAYS.get(event.kind, {}).items():
            array = event.arrays.get(name)
            if array is None or array.ndim != 1 or array.dtype.str != kind:
                raise WireError(f"an event {event.kind} with a malformed {name}")
        rows = event.arrays.get("rows")
        if rows is not None and (rows.ndim != 1 or rows.dtype.str != "<f8"):
            raise WireError("scores with malformed rows")
        self._numbers(event)

    def _numbers(self, event: Event) -> None:
        """Scores are numbered without a gap, and no event speaks of one that was not taken yet."""
        if event.kind == "Scored":
            count = event.arrays["targets"].size
            if event.fields["first"] != self.scores or event.arrays["loss"].size != count:
                raise WireError("scores that are not numbered in their order")
            self.scores += count
        elif event.kind == "Summed":
            labels = event.arrays["labels"]
            if labels.size != event.arrays["values"].size or labels.max(initial=-1) >= self.scores:
                raise WireError("a sum of scores that were not taken")
        elif event.kind == "Trained":
            if any(first + count > self.scores for first, count in event.fields["groups"]):
                raise WireError("gradients of scores that were not taken")
        elif event.kind == "Branched":
            self.branched = self.scores
