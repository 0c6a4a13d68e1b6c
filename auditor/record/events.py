"""The events that single log lines state: steps, stops, scores, sizes, calibration, test-time training, byte counts."""

from __future__ import annotations

import re

from auditor.core.types import Place
from auditor.record import lines as ln
from auditor.record.facts import (
    ByteTotal,
    Calibration,
    Evaluation,
    NgramGates,
    Size,
    SizeKind,
    Step,
    Stop,
    TttLine,
)

_DIAGNOSTIC = re.compile(
    r"diagnos|debug|\bdiag\b|pre-?quant(?!-ttt)|pre_quant(?!_ttt)|raw_final|candidate|proxy|smoke", re.I
)
_LABEL_CUT = re.compile(r"[\s:(|,-]*(?:sliding\s+)?(?:val_loss|val_bpb)\b", re.I)
_BYTES = re.compile(r"(?<![\w.])([\d,]{4,})(?:\s*(?:bytes|B)\b)?")
_SIZE_NAMES: tuple[tuple[str, SizeKind], ...] = (
    ("code size", SizeKind.CODE),
    ("serialized model", SizeKind.MODEL),
    ("serialized raw model", SizeKind.RAW_MODEL),
    ("total submission", SizeKind.TOTAL),
    ("submission size", SizeKind.TOTAL),
    ("total artifact", SizeKind.TOTAL),
    ("artifact total", SizeKind.TOTAL),
    ("total size", SizeKind.TOTAL),
    ("artifact size", SizeKind.MODEL),
    ("quantized size", SizeKind.MODEL),
)
_NO_SIZE = re.compile(
    r"limit|budget|target|estimat|\best_|projected|~|candidate|attempt|trial|try\b", re.I
)
_SOURCES = (
    ("val", re.compile(r"source[=:]\s*val|val(?:idation)?[ _](?:tail|tokens|data|set)", re.I)),
    ("generated", re.compile(r"auto-?regressive|self-?gen|\bAR\b|generat", re.I)),
    ("random", re.compile(r"\brandom\b|synthetic", re.I)),
    ("held-out", re.compile(r"held-?out", re.I)),
    ("train", re.compile(r"train(?:ing)?[ _-](?:data|tokens|shard|set|batch)|source[=:]\s*train", re.I)),
)


def step(text: str, at: Place, *, need_loss: bool = True) -> Step | None:
    """A training step line; with ``need_loss`` False a validation line counts for its clock (loss is NaN then)."""
    where = ln.step_of(text)
    found = ln.pairs(text)
    loss = ln.first(found, "train_loss")
    if where is None or (loss is None and need_loss):
        return None
    clock = ln.first(found, "train_time")
    exact = clock is not None and clock.unit in ("ms", "s")
    return Step(
        step=where[0],
        of=where[1],
        train_loss=loss.value if loss else float("nan"),
        train_seconds=clock.seconds() if clock is not None and exact else None,
        at=at,
    )


def stop(text: str, at: Place) -> Stop | None:
    """``stopping_early: wallclock_cap train_time:..ms step:i/N``; the step may be absent (0 then)."""
    clock = ln.first(ln.pairs(text), "train_time")
    seconds = clock.seconds() if clock else None
    if seconds is None:
        return None
    match = re.search(r"step\s*:\s*(\d+)(?:\s*/\s*(\d+))?", text)
    return Stop(
        train_seconds=seconds,
        step=int(match.group(1)) if match else 0,
        of=int(match.group(2)) if match and match.group(2) else None,
        early=True,
        at=at,
    )


def evaluation(text: str, at: Place) -> Evaluation | None:
    """A line that states ``val_loss`` or ``val_bpb``, by ``key:value`` or ``key=value``."""
    found = ln.pairs(text)
    loss, bpb = ln.score_pair(found, "val_loss"), ln.score_pair(found, "val_bpb")
    if loss is None and bpb is None:
        return None
    where = ln.step_of(text)
    cut = _LABEL_CUT.search(text)
    label = text[: cut.start()].strip() if cut else text.split()[0]
    return Evaluation(
        label="step" if where else label.strip(" :=|-"),
        val_loss=ln.figure(loss, at) if loss else None,
        val_bpb=ln.figure(bpb, at) if bpb else None,
        eval_seconds=None if where else ln.seconds_of(found),
        step=where[0] if where else None,
        diagnostic=bool(_DIAGNOSTIC.search(label)),
        at=at,
    )


def size(text: str, at: Place) -> list[Size]:
    """The sizes that a line states in bytes; estimates, limits and trials of a search are none."""
    low = text.lower()
    if _NO_SIZE.search(text) or (re.search(r"\bMi?B\b", text) and "bytes" not in low):
        return []
    found: list[tuple[int, Size]] = []
    for name, kind in _SIZE_NAMES:
        start = low.find(name)
        if start < 0 or any(abs(start - s) < len(name) for s, _ in found):
            continue
        match = _BYTES.search(text, start + len(name))
        if match is None:
            continue
        value = int(match.group(1).replace(",", ""))
        label = text[start + len(name) : match.start()].strip(" :=")
        found.append((start, _sized(kind, label, value, at)))
        break
    if found and found[0][1].kind in (SizeKind.RAW_MODEL, SizeKind.MODEL):
        code = re.search(r"\bcode(?: size)?\s*[:=]\s*(\d[\d,]*)\s*bytes", text, re.I)
        if code:
            found.append((code.start(), Size(SizeKind.CODE, "", int(code.group(1).replace(",", "")), at)))
    return [one for _, one in found]


def _sized(kind: SizeKind, label: str, value: int, at: Place) -> Size:
    label = re.sub(r"\s*(?:size|bytes)\s*$", "", re.sub(r"^size\b\s*", "", label, flags=re.I), flags=re.I)
    if kind is SizeKind.MODEL and (not label or re.match(r"\(?(?:raw|fp32|bf16|float|uncompressed)", label, re.I)):
        kind = SizeKind.RAW_MODEL if "artifact" not in label and value > 0 else kind
    if kind is SizeKind.CODE and re.search(r"compressed", label, re.I) and not re.search(r"uncompressed", label, re.I):
        kind = SizeKind.CODE_COMPRESSED
    return Size(kind, label.strip(" :=()"), value, at)


def calibration(text: str, *, after_clock: bool, at: Place) -> Calibration:
    """A line on calibration: the data it names, its seconds, how many layers or batches."""
    found = ln.pairs(text)
    seconds = ln.seconds_of(found) or next((s for p in found if p.key.endswith("time") and (s := p.seconds())), None)
    if seconds is None and (match := re.search(rf"\bin ({ln.NUMBER})\s*s\b", text)):
        seconds = ln.number(match.group(1))[0]
    count = re.search(r"(\d+)\s*(?:Hessians|layers|batches|seqs|samples)|(?:layers|batches|n)[=:](\d+)", text)
    named = next((name for name, pattern in _SOURCES if pattern.search(text)), None)
    return Calibration(
        text=text.strip()[:200],
        source=named,
        seconds=seconds,
        count=int(next(g for g in count.groups() if g)) if count else None,
        after_clock=after_clock,
        at=at,
    )


def ttt(text: str, *, before_quant: bool, at: Place) -> TttLine | None:
    """A line of test-time training, or None when the line is not one."""
    low = text.lower()
    if not re.search(r"ttt|test.time|adapt|slot", low):
        return None
    found = ln.pairs(text)
    epoch, chunk = ln.epoch_of(text), ln.chunk_of(text)
    stage = (
        "warmup" if "warm" in low else "epoch" if epoch else "chunk" if chunk
        else "start" if "start" in low else "done" if re.search(r"done|elapsed|complete|finished", low) else "line"
    )
    loss = next((p for p in found if p.key.lower() in ("loss", "avg_loss", "val_loss", "train_loss")), None)
    bpb = next((p for p in found if p.key.lower().endswith("bpb")), None)
    return TttLine(
        stage=stage,
        text=text.strip()[:200],
        epoch=epoch[0] if epoch else None,
        epochs=epoch[1] if epoch else (int(p.value) if (p := ln.first(found, "epochs", "ttt_epochs")) else None),
        chunk=chunk[0] if chunk else None,
        chunks=chunk[1] if chunk else (int(p.value) if (p := ln.first(found, "chunks")) else None),
        loss=loss.value if loss else None,
        bpb=bpb.value if bpb else None,
        seconds=ln.seconds_of(found),
        before_quant=before_quant,
        at=at,
    )


def gates(text: str, at: Place) -> NgramGates | None:
    """``within_gate=N word_gate=N ...``."""
    found = {p.key.lower(): int(p.value) for p in ln.pairs(text) if p.key.lower().endswith("_gate")}
    return NgramGates(found, text.strip()[:200], at) if found else None


def text_bytes(text: str, at: Place) -> list[ByteTotal]:
    """Byte totals of the validation text that a line states (above a million: file and payload sizes are others')."""
    names = ("bytes", "val_bytes", "n_bytes", "n_sidecar_bytes", "total_bytes", "byte_count", "raw_bytes")
    return [
        ByteTotal(p.key, int(p.value), text.strip()[:200], at)
        for p in ln.pairs(text)
        if p.key.lower() in names and p.value >= 1_000_000 and p.value == int(p.value)
    ]
