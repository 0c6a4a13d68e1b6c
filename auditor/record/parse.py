"""A log file to `Run`: classify every line, split logs that hold several runs, collect the events of each family."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from auditor.core.submission import LogFile
from auditor.core.types import Place
from auditor.record import lines as ln
from auditor.record.events import calibration, evaluation, gates, size, step, stop, text_bytes, ttt
from auditor.record.facts import (
    ByteTotal,
    Calibration,
    Evaluation,
    Figure,
    Hardware,
    LineKind,
    NgramGates,
    Phase,
    Run,
    Size,
    SizeKind,
    Step,
    Stop,
    TttLine,
)

_RULER = re.compile(r"^[=-]{60,}$")
_GPU = re.compile(r"^\|\s+(\d+)\s+(?:NVIDIA\s+)?([A-Za-z][\w .-]*?\d[\w .-]*?)\s{2,}(?:On|Off|WDDM|\S+\s*\|)")
_GPU_NAME = re.compile(r"(?:gpu|device|gpu_name|device_name)\w*\s*[:=]\s*(?:NVIDIA\s+)?([A-Z][\w .-]*\d[\w .-]*)", re.I)
_MAX_LINES = 400_000
_OWN = frozenset({
    LineKind.TRAIN_STEP, LineKind.VAL_STEP, LineKind.STOP, LineKind.SIZE, LineKind.EVALUATION, LineKind.VAL_TOKENS,
    LineKind.TRAIN_DATA, LineKind.CALIBRATION, LineKind.TTT, LineKind.WARMUP, LineKind.MEMORY, LineKind.EVAL_TIME,
    LineKind.PARAMS, LineKind.NGRAM, LineKind.BYTES,
})


@dataclass(slots=True)
class _Events:
    """What one pass over the lines gathers."""

    steps: list[Step] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    calibrations: list[Calibration] = field(default_factory=list)
    ttt: list[TttLine] = field(default_factory=list)
    gates: list[NgramGates] = field(default_factory=list)
    bytes: list[ByteTotal] = field(default_factory=list)
    val_tokens: list[Figure] = field(default_factory=list)
    train_shards: list[Figure] = field(default_factory=list)
    train_paths: list[tuple[str, Place]] = field(default_factory=list)
    settings: dict[str, tuple[str, Place]] = field(default_factory=dict)
    tracebacks: list[Place] = field(default_factory=list)
    gpus: dict[int, str] = field(default_factory=dict)
    gpu_at: Place | None = None
    params: Figure | None = None
    memory: Figure | None = None
    seed: tuple[int, Place] | None = None
    world: int | None = None
    quantised: bool = False


def read_log(log: LogFile, source_lines: frozenset[str]) -> list[Run]:
    """The runs of one log, in order; usually one. ``source_lines`` are stripped lines of the submitted code."""
    texts = [ln.clean(line) for line in log.lines[:_MAX_LINES]]
    kinds = classify(texts, source_lines)
    bounds = _splits(texts, kinds)
    return [_run(log, texts, kinds, a, b, part) for part, (a, b) in enumerate(bounds)]


def seed_of_log(name: str) -> int | None:
    """A seed in a file name: ``train_seed42.log``, ``s1337.txt``."""
    match = re.search(r"(?:seed|(?<![a-z])s)[_-]?(\d{1,6})(?!\d)", name, re.I)
    return int(match.group(1)) if match else None


def is_own(kind: LineKind) -> bool:
    """Whether a line of this kind is of a family that the training script itself prints."""
    return kind in _OWN


def classify(texts: list[str], source_lines: frozenset[str]) -> tuple[LineKind, ...]:
    """The kind of each cleaned line; regions that echo source text are ``SOURCE`` throughout."""
    echo = source_regions(texts, source_lines)
    kinds = []
    for number, text in enumerate(texts):
        if any(a <= number < b for a, b in echo):
            kinds.append(LineKind.SOURCE)
        else:
            kinds.append(ln.kind_of(text))
    return tuple(kinds)


def source_regions(texts: list[str], source_lines: frozenset[str]) -> list[tuple[int, int]]:
    """Half-open index ranges that hold an echo of source text, found between rulers of ``=``."""
    rulers = [i for i, text in enumerate(texts) if _RULER.match(text.strip())]
    if not rulers:
        return []
    edges = [-1, *rulers, len(texts)]
    regions = []
    for a, b in itertools.pairwise(edges):
        body = [(i, t) for i, t in enumerate(texts[a + 1 : b], a + 1) if t.strip()]
        python = [i for i, t in body if t.strip() in source_lines or ln.looks_like_python(t)]
        defs = sum(1 for _, t in body if re.match(r"\s*(?:def |class |import |from \S+ import )", t))
        if defs >= 3 and len(python) >= 0.3 * len(body):
            regions.append((python[0] if a == -1 else a + 1, b))
    return regions


def _splits(texts: list[str], kinds: tuple[LineKind, ...]) -> list[tuple[int, int]]:
    """Index ranges of the runs: a new one begins where the step count starts again after a final figure."""
    cuts = [0]
    last_step, last_final = -1, -1
    for i, kind in enumerate(kinds):
        if kind in (LineKind.TRAIN_STEP, LineKind.VAL_STEP):
            found = ln.step_of(texts[i])
            at = found[0] if found else 0
            if at <= 1 and last_step > 20 and last_final > cuts[-1]:
                cuts.append(last_final + 1)
                last_step = -1
            last_step = max(last_step, at)
        elif kind in (LineKind.EVALUATION, LineKind.SIZE, LineKind.EVAL_TIME):
            last_final = i
    return list(zip(cuts, [*cuts[1:], len(texts)], strict=True))


def _run(log: LogFile, texts: list[str], kinds: tuple[LineKind, ...], a: int, b: int, part: int) -> Run:
    phases = _phases(kinds, a, b)
    events = _Events()
    for i in range(a, b):
        _take(events, texts[i], kinds[i], phases[i - a], Place(log=log.path, line=i + 1))
    named = log.seed if log.seed is not None else seed_of_log(log.path.rpartition("/")[2])
    seed = events.seed[0] if events.seed else (named if part == 0 else None)
    return Run(
        log=log.path,
        part=part,
        first_line=a + 1,
        last_line=b,
        seed=seed,
        seed_at=events.seed[1] if events.seed else None,
        is_training=bool(events.steps or events.stops),
        kinds=kinds[a:b],
        phases=phases,
        steps=tuple(events.steps),
        evaluations=tuple(events.evaluations),
        stop=_stop(events),
        sizes=_sizes(events.sizes),
        calibrations=tuple(events.calibrations),
        ttt=tuple(events.ttt),
        gates=tuple(events.gates),
        byte_totals=tuple(events.bytes),
        val_tokens=tuple(events.val_tokens),
        train_shards=tuple(events.train_shards),
        train_paths=tuple(events.train_paths),
        settings=events.settings,
        params=events.params,
        run_id=events.settings["run_id"][0] if "run_id" in events.settings else None,
        hardware=_hardware(events),
        peak_memory_mib=events.memory,
        tracebacks=tuple(events.tracebacks),
    )


def _phases(kinds: tuple[LineKind, ...], a: int, b: int) -> tuple[Phase, ...]:
    span = kinds[a:b]
    stepping = [i for i, k in enumerate(span) if k in (LineKind.TRAIN_STEP, LineKind.VAL_STEP, LineKind.STOP)]
    begin = stepping[0] if stepping else len(span)
    stops = [i for i, k in enumerate(span) if k is LineKind.STOP]
    end = max(stepping[-1] if stepping else -1, stops[-1] if stops else -1)
    return tuple(
        Phase.SETUP if i < begin else Phase.TRAIN if i <= end else Phase.AFTER_TRAIN for i in range(len(span))
    )


def _take(events: _Events, text: str, kind: LineKind, phase: Phase, at: Place) -> None:
    """Add what one line says to ``events``."""
    after = phase is Phase.AFTER_TRAIN
    if kind is LineKind.NOISE:
        _take_noise(events, text, at)
    elif kind in (LineKind.TRAIN_STEP, LineKind.VAL_STEP, LineKind.STOP):
        _take_training(events, text, kind, at)
    elif kind is LineKind.EVALUATION:
        if found := evaluation(text, at):
            events.evaluations.append(found)
        if done := ttt(text, before_quant=not events.quantised, at=at):
            events.ttt.append(done)
    elif kind is LineKind.SIZE:
        taken = size(text, at)
        events.sizes.extend(taken)
        events.quantised |= any(s.kind in (SizeKind.MODEL, SizeKind.TOTAL) for s in taken)
    elif kind is LineKind.CALIBRATION:
        events.calibrations.append(calibration(text, after_clock=after, at=at))
    elif kind in (LineKind.TTT, LineKind.WARMUP, LineKind.NGRAM, LineKind.BYTES):
        _take_eval_side(events, text, kind, at)
    elif kind is not LineKind.SOURCE:
        _take_setup(events, text, kind, at)


def _take_noise(events: _Events, text: str, at: Place) -> None:
    if text.startswith("Traceback"):
        events.tracebacks.append(at)
    if match := _GPU.match(text):
        events.gpus.setdefault(int(match.group(1)), match.group(2).strip())
        events.gpu_at = events.gpu_at or at


def _take_training(events: _Events, text: str, kind: LineKind, at: Place) -> None:
    if kind is LineKind.STOP:
        if stopped := stop(text, at):
            events.stops.append(stopped)
        return
    if kind is LineKind.TRAIN_STEP:
        if trained := step(text, at):
            events.steps.append(trained)
        return
    if scored := evaluation(text, at):
        events.evaluations.append(scored)
    if trained := step(text, at, need_loss=False):
        events.steps.append(trained)


def _take_eval_side(events: _Events, text: str, kind: LineKind, at: Place) -> None:
    if found := gates(text, at):
        events.gates.append(found)
    events.bytes.extend(text_bytes(text, at))
    if kind in (LineKind.TTT, LineKind.WARMUP) and (line := ttt(text, before_quant=not events.quantised, at=at)):
        events.ttt.append(line)


def _take_setup(events: _Events, text: str, kind: LineKind, at: Place) -> None:
    found = ln.pairs(text)
    if kind is LineKind.VAL_TOKENS and (pair := ln.first(found, "tokens", "val_tokens")):
        events.val_tokens.append(ln.figure(pair, at))
    if kind in (LineKind.TRAIN_DATA, LineKind.VAL_TOKENS) and (pair := ln.first(found, "train_shards")):
        events.train_shards.append(ln.figure(pair, at))
    if kind is LineKind.PARAMS and (pair := ln.first(found, "model_params")):
        events.params = ln.figure(pair, at)
    if kind is LineKind.MEMORY and (pair := ln.first(found, "allocated")):
        events.memory = ln.figure(pair, at)
    if kind is LineKind.OTHER and (match := _GPU_NAME.search(text)):
        events.gpus.setdefault(0, match.group(1).strip())
        events.gpu_at = events.gpu_at or at
    _take_settings(events, text, kind, found, at)


def _take_settings(events: _Events, text: str, kind: LineKind, found: list[ln.Pair], at: Place) -> None:
    lone = ln.lone_setting(text)
    if lone and kind in (LineKind.SETTING, LineKind.SEED, LineKind.TRAIN_DATA, LineKind.VAL_TOKENS):
        events.settings[lone[0].lower()] = (lone[1], at)
    elif kind in (LineKind.SETTING, LineKind.OTHER):
        for word in re.findall(r"(?<![\w.])([a-z_]\w*)[:=]([^\s:=,]+)", text):
            events.settings.setdefault(word[0].lower(), (word[1], at))
    for name in ("seed", "world_size"):
        pair = ln.first(found, name)
        if pair is not None and pair.value == int(pair.value):
            if name == "seed" and events.seed is None:
                events.seed = (int(pair.value), at)
            if name == "world_size":
                events.world = int(pair.value)
    for match in re.finditer(r"((?:[\w.~-]*/)+[\w.*-]*fineweb[\w./*-]*)", text):
        events.train_paths.append((match.group(1), at))


def _stop(events: _Events) -> Stop | None:
    """The stop line, else the last step that states a training time."""
    if events.stops:
        return events.stops[-1]
    last = next((s for s in reversed(events.steps) if s.train_seconds is not None), None)
    if last is None or last.train_seconds is None:
        return None
    return Stop(last.train_seconds, last.step, last.of, early=False, at=last.at)


def _sizes(found: list[Size]) -> tuple[Size, ...]:
    """A total without a label is that of the raw model when it exceeds it, or when a labelled total follows."""
    raw = max((s.bytes for s in found if s.kind is SizeKind.RAW_MODEL), default=None)
    labelled = any(s.kind is SizeKind.TOTAL and s.label for s in found)
    fixed = []
    for one in found:
        unlabelled = one.kind is SizeKind.TOTAL and not one.label
        if unlabelled and raw is not None and (one.bytes >= raw > 16_000_000 or (labelled and one.bytes >= raw)):
            one = Size(SizeKind.RAW_TOTAL, "", one.bytes, one.at)
        fixed.append(one)
    return tuple(fixed)


def _hardware(events: _Events) -> Hardware | None:
    name = next(iter(events.gpus.values()), None)
    if name is None and events.world is None:
        return None
    h100 = "H100" in name if name else None
    if events.world is not None and events.world != 8:
        equivalent: bool | None = False
    elif h100 is False:
        equivalent = False
    else:
        equivalent = True if h100 and events.world == 8 else None
    return Hardware(name, len(events.gpus) or None, events.world, equivalent, events.gpu_at)
