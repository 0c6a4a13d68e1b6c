"""The events of a run as a reader follows them: stretches of like events, and the passes over the stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Moment, PassInfo, Spot
from auditor.behaviour.passes import Pass
from auditor.behaviour.run import Run
from auditor.behaviour.wire import Event

MAX_MOMENTS = 60
MAX_PASSES = 24
TEXT = 160
FILES = frozenset({"loaded", "opened", "stubbed", "read"})
"""What merges whatever file or package it names."""
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/", "/etc/", "/opt/", "/tmp/torchinductor", "pipe:")


@dataclass(slots=True)
class _Stretch:
    """Like events in a row, still growing."""

    moment: Moment
    count: int = 1
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    where: set[tuple[str, int]] = field(default_factory=set)


def passes_of(run: Run) -> tuple[PassInfo, ...]:
    """The passes behind the printed lines, in order; the judged one is marked and always among them."""
    found: dict[tuple[int, int, int], Pass] = {}
    for report in run.reports:
        match = run.pass_of(report)
        if match is not None and match.matched:
            found[(match.first_seq, match.last_seq, match.scores.size)] = match
    judged = run.judged
    if judged is not None:
        found[(judged.first_seq, judged.last_seq, judged.scores.size)] = judged
    kept = sorted(found.values(), key=lambda p: (p.last_seq, p.first_seq))
    if len(kept) > MAX_PASSES:
        last = [p for p in kept[-MAX_PASSES + 1 :] if p is not judged]
        kept = sorted([*last, *([judged] if judged else [])], key=lambda p: (p.last_seq, p.first_seq))
    return tuple(_info(run, p, judged is p) for p in kept)


def _info(run: Run, found: Pass, judged: bool) -> PassInfo:
    known = found.positions[found.positions >= 0]
    return PassInfo(
        found.report.text.strip()[:TEXT], found.value, int(found.positions.size), int(np.unique(known).size),
        int(run.scores.seq[found.scores].min()), found.last_seq, judged, found.how,
    )  # fmt: skip


def timeline(run: Run) -> tuple[Moment, ...]:
    """What happened, merged to at most `MAX_MOMENTS` lines; the first and the last events are always shown."""
    closed: list[_Stretch] = []
    for moment, positions in _moments(run):
        last = closed[-1] if closed else None
        if last is not None and _alike(last, moment):
            _extend(last, moment, positions)
        else:
            where = {(moment.spot.file, moment.spot.line)} if moment.spot else set()
            closed.append(_Stretch(moment, 1, [positions] if positions.size else [], where))
    closed = _folded(_cycles(closed), _judged_events(run))
    lines = [_finished(stretch) for stretch in closed]
    return tuple(_bounded(lines))


def _moments(run: Run) -> Iterator[tuple[Moment, NDArray[np.int64]]]:
    """One moment for each event worth a line, with the stream positions that it concerns."""
    scores, clock, none = run.scores, 0.0, np.zeros(0, np.int64)
    firsts = {int(e.fields["first"]): e for e in run.events if e.kind == "Scored"}
    offsets = _offsets(run)
    printed = {r.seq for r in run.reports}
    headline = run.headline.seq if run.headline is not None else -1
    before = ""
    for event in run.events:
        echo = event.kind == before == "Trained" and not any(int(g[0]) in firsts for g in event.fields["groups"])
        before = event.kind
        if echo:  # the same gradients, seen a second time where torch hands them to its own function
            continue
        clock = max(clock, float(event.fields.get("time", clock)))
        base = Moment(event.seq, clock, "", "", _site(event))
        kind, positions = event.kind, none
        if kind == "Scored":
            positions = scores.position[offsets[event.seq] : offsets[event.seq] + event.arrays["targets"].size]
            how = "with gradients" if event.fields["grad"] else "without gradients"
            moment = replace(base, what="scored", detail=how, split=_split(positions), tokens=int(positions.size))
        elif kind == "Trained":
            groups = [g for g in event.fields["groups"] if int(g[0]) in firsts]
            parts = [_of_group(run, offsets[firsts[int(g[0])].seq], int(g[1])) for g in groups]
            positions = np.concatenate(parts) if parts else none
            moment = replace(base, what="trained", detail="", split=_split(positions), tokens=int(positions.size))
        elif kind == "Stepped":
            moment = replace(base, what="stepped", detail=f"{event.fields['optimizer']}, "
                             f"{int(event.fields['parameters']):,} parameters")  # fmt: skip
        elif kind == "Printed" and event.seq in printed:
            mark = "the judged line: " if event.seq == headline else ""
            moment = replace(base, what="printed", detail=mark + str(event.fields["text"]).strip()[:TEXT])
        else:
            made = _of_files(event, base)
            if made is None:
                continue
            moment = made
        yield _with_span(moment, positions), positions[positions >= 0]


def _offsets(run: Run) -> dict[int, int]:
    """For each ``Scored`` event the index of its first score in the run's table."""
    offsets, at = {}, 0
    for event in run.events:
        if event.kind == "Scored":
            offsets[event.seq] = at
            at += int(event.arrays["targets"].size)
    return offsets


def _of_group(run: Run, start: int, count: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = run.scores.position[start : start + count]
    return found


def _split(positions: NDArray[np.int64]) -> str:
    """``val`` where most targets are tokens of the validation stream."""
    if not positions.size:
        return ""
    return "val" if (positions >= 0).mean() >= 0.5 else "train"


def _with_span(moment: Moment, positions: NDArray[np.int64]) -> Moment:
    known = positions[positions >= 0]
    if not known.size or moment.split != "val":
        return moment
    return replace(moment, low=int(known.min()), high=int(known.max()))


_FILES = {
    "ArtifactWritten": ("wrote", "path"), "ArtifactRead": ("read", "path"), "Loaded": ("loaded", "path"),
    "Connected": ("connected", "host"), "Stubbed": ("stubbed", "module"),
}  # fmt: skip


def _of_files(event: Event, base: Moment) -> Moment | None:
    fields = event.fields
    if event.kind == "Spawned":
        return replace(base, what="spawned", detail=" ".join(map(str, fields.get("argv", ())))[:TEXT])
    if event.kind == "Opened":
        path = str(fields.get("path", ""))
        writes = any(letter in str(fields.get("mode", "")) for letter in "wax+")
        if not writes or path.startswith(_SYSTEM):
            return None
        return replace(base, what="opened", detail=f"{_short(path)} to write")
    if event.kind not in _FILES:
        return None
    what, name = _FILES[event.kind]
    detail = str(fields.get(name, ""))[:TEXT]
    if name == "path":
        detail = _short(detail)
        if "bytes" in fields:
            detail += f", {int(fields['bytes']):,} bytes"
    return replace(base, what=what, detail=detail, split=str(fields.get("split", "") or ""))


def _short(path: str) -> str:
    """A path inside the guest as the script names it: below its own folder, shards by their name alone."""
    plain = path.removeprefix("/golf/run/").removeprefix("./")
    return os.path.basename(plain) if plain.count("/") > 2 else plain


def _site(event: Event) -> Spot | None:
    site: Any = event.fields.get("site")
    if not isinstance(site, list) or len(site) < 2 or not site[0]:
        return None
    return Spot(str(site[0]), int(site[1]), "", str(site[2]) if len(site) > 2 else "")


def _alike(stretch: _Stretch, moment: Moment) -> bool:
    """Whether ``moment`` goes on with the stretch: the same kind of thing, to the same split, at the same place."""
    last = stretch.moment
    if last.what in ("printed", "wrote", "spawned", "connected"):
        return False
    if (last.what, last.split) != (moment.what, moment.split):
        return False
    if last.what in FILES:
        return True
    return (last.spot, last.detail) == (moment.spot, moment.detail)


def _extend(stretch: _Stretch, moment: Moment, positions: NDArray[np.int64]) -> None:
    first = stretch.moment
    stretch.count += 1
    if positions.size:
        stretch.positions.append(positions)
    low = min((n for n in (first.low, moment.low) if n >= 0), default=-1)
    stretch.moment = replace(first, tokens=first.tokens + moment.tokens, low=low, high=max(first.high, moment.high))


def _cycles(stretches: list[_Stretch]) -> list[_Stretch]:
    """Fold what repeats as a group: (scored, trained, stepped) x 40 becomes three lines."""
    out: list[_Stretch] = []
    for stretch in stretches:
        out.append(stretch)
        for width in (1, 2, 3, 4, 5, 6):
            if len(out) >= 2 * width and all(_same_line(out[-width + i], out[-2 * width + i]) for i in range(width)):
                for i in range(width):
                    _absorb(out[-2 * width + i], out[-width + i])
                del out[-width:]
                break
    return out


def _judged_events(run: Run) -> range:
    """Event numbers between which the judged pass was scored."""
    if run.judged is None:
        return range(0)
    return range(int(run.scores.seq[run.judged.scores].min()), run.judged.last_seq + 1)


def _folded(stretches: list[_Stretch], judged: range) -> list[_Stretch]:
    """One line for a training loop: its forward passes, backward passes and optimizer steps."""
    out: list[_Stretch] = []
    for stretch in stretches:
        before = out[-1] if out else None
        if before is None or before.count != stretch.count:
            out.append(stretch)
            continue
        a, b = before.moment, stretch.moment
        forward = a.what == "scored" and a.detail == "with gradients" and a.event not in judged
        if forward and b.what == "trained" and (a.split, a.tokens) == (b.split, b.tokens):
            before.moment = replace(b, event=a.event)
        elif a.what == "trained" and b.what == "stepped" and not a.detail:
            before.moment = replace(a, detail=b.detail)
        else:
            out.append(stretch)
    return out


def _same_line(one: _Stretch, other: _Stretch) -> bool:
    a, b = one.moment, other.moment
    return a.what not in ("printed", "wrote") and (a.what, a.split, a.spot) == (b.what, b.split, b.spot)


def _absorb(into: _Stretch, more: _Stretch) -> None:
    count = into.count + more.count
    positions = [*into.positions, *more.positions]
    a, b = into.moment, more.moment
    low = min((n for n in (a.low, b.low) if n >= 0), default=-1)
    into.moment = replace(a, tokens=a.tokens + b.tokens, low=low, high=max(a.high, b.high))
    into.count, into.positions = count, positions


def _finished(stretch: _Stretch) -> Moment:
    moment = stretch.moment
    if stretch.count == 1:
        return moment
    detail = moment.detail
    if moment.what in FILES:
        detail = f"{detail} and {stretch.count - 1} more"
    else:
        detail = f"{detail}, {stretch.count} times".lstrip(", ")
    return replace(moment, detail=detail)


def _bounded(lines: list[Moment]) -> list[Moment]:
    """Leave out the middle of what is still too long: first the plainest kinds, then lines in the middle."""
    if len(lines) <= MAX_MOMENTS:
        return lines
    weight = {"stubbed": 0, "opened": 1, "loaded": 1, "read": 2, "stepped": 2, "printed": 3}
    for level in range(3):
        if len(lines) > MAX_MOMENTS:
            lines = [m for m in lines if weight.get(m.what, 4) > level]
    if len(lines) <= MAX_MOMENTS:
        return lines
    head = MAX_MOMENTS // 3
    tail = MAX_MOMENTS - head - 1
    left_out = len(lines) - head - tail
    gap = replace(lines[head], what="...", detail=f"{left_out} lines left out", spot=None, split="", tokens=0, low=-1,
                  high=-1)  # fmt: skip
    return [*lines[:head], gap, *lines[-tail:]]
