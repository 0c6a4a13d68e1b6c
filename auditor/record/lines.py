"""One log line at a time: strip what launchers put before it, read its figures, say what kind of line it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditor.core.types import Place
from auditor.record.facts import Figure, LineKind

NUMBER = r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PAIR = re.compile(rf"([A-Za-z_][\w./-]{{0,120}})\s*[:=]\s*({NUMBER})(ms|s|m|min|MiB|GiB|MB|bytes|B)?(?![\w.])")
_SPACED = re.compile(rf"\b(val_loss|val_bpb)\b\s*(?:\([^)\d]*\))?\s*[:=]?\s+({NUMBER})(?![\w.])")
"""``val_bpb (raw):  1.05`` and ``val_bpb 1.05``: a score set off by blanks or a remark."""
_PREFIX = re.compile(
    r"^(?:\x1b\[[0-9;]*m"
    r"|\d{10}(?:\.\d+)?\s+"
    r"|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?Z?\]?\s*[|:-]?\s*"
    r"|\[\d\d:\d\d:\d\d\]\s*"
    r"|\[(?:default|rank)?\d*\]:\s*"
    r"|\(\w+ pid=\d+\)\s*"
    r"|(?:train|stdout|log)\s*[|>]\s*"
    r"|> )"
)
LARGEST = 1e18
"""A larger figure is no measurement; it is left out, so that sums and conversions hold."""
_ENDLESS = re.compile(r"\d{40,}")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NOISE = re.compile(
    r"^(?:[WIEF]\d{4} \d\d:\d\d|\[?rank\d|Traceback|  File \"|\s*warnings?\.warn|\S*Warning:|\*{5,}|[|+][-=| ]|\|"
    r"|Collecting |Requirement already|Downloading |Successfully |Installing |pip |\$ |\+ |#{2,}|NCCL|torchrun"
    r"|Setting OMP|\s*\d+%\|)|it/s\]|s/it\]|torch[/.](?:distributed|_dynamo|_inductor)|\[WARNING\]|^\[W\d|\^{4,}"
    r"|site-packages|UserWarning"
)
_PYTHON = re.compile(
    r"^\s*(?:def |class |import |from \S+ import|return\b|if .*:$|for .* in |while .*:$|elif |else:|try:|except|with "
    r"|raise |@|self\.|log0?\(|print\(|\)|\]|\}|f\"|\w+ = |\"\"\"|[\w.\[\]]+\(.*\)?$)"
)
_PROGRESS = re.compile(
    r"(?<![a-zA-Z])(?:epoch|chunk|batch|phase|window|ep)s?\W*\[?\s*\d+\s*(?:/\s*\d+)?|\bc\d+/\d+|\bb\d+/\d+", re.I
)
_TTT = re.compile(r"ttt|test.time|adapt|ttp[:pr]|slot\b", re.I)
_EPOCH = re.compile(r"(?<![a-zA-Z])(?:epoch|ep)s?\W{0,2}\s*(\d+)\s*/\s*(\d+)", re.I)
_CHUNK = re.compile(r"(?<![a-zA-Z])(?:chunk|batch|c|b)\W{0,2}\s*(\d+)\s*/\s*(\d+)", re.I)
_STEP = re.compile(r"^(?:\[?train\]?\s*)?(?:step|iter|it)?\s*[: ]?\s*(\d+)\s*/\s*(\d+)\b", re.I)
_STEP_ALONE = re.compile(r"^(?:step|iter|it)\s*[: ]\s*(\d+)\b", re.I)
_LONE_SETTING = re.compile(r"^\s*([a-zA-Z_]\w*)\s*[:=]\s*(\S.*)?$")
_SIZE = re.compile(
    r"(serialized (?:raw )?model|code size|total submission(?: size)?|total (?:artifact|size)"
    r"|artifact(?: total)?(?: size|_bytes| bytes)"
    r"|submission size|model size|quantized size|compressed size)", re.I,
)
_TEXT_KEYS = frozenset({"tokens", "n_tokens", "n_bytes", "n_sidecar_bytes", "val_bytes", "byte_count", "raw_bytes"})
"""Keys that tell a count of the scored text from a file size."""
_TIME_KEYS = ("eval_time", "eval", "time", "elapsed", "elapsed_s", "total_time", "wall")


@dataclass(frozen=True, slots=True)
class Pair:
    """``key:value`` or ``key=value`` as printed. ``value`` has its thousands separators removed."""

    key: str
    value: float
    digits: int | None
    unit: str
    start: int

    def seconds(self) -> float | None:
        """The value in seconds when it carries a unit of time, else None."""
        scale = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0}.get(self.unit)
        return None if scale is None else self.value * scale


def clean(line: str) -> str:
    """``line`` without colour codes and launcher prefixes, right end stripped.

    The inner text is untouched, but for runs of digits that are no figure.
    """
    text = _ENDLESS.sub("(endless digits)", _ANSI.sub("", line)).rstrip()
    for _ in range(3):
        shorter = _PREFIX.sub("", text, count=1)
        if shorter == text:
            break
        text = shorter
    return text


def number(text: str) -> tuple[float, int | None]:
    """Value and printed decimals of a numeral that matches `NUMBER`; an exponent has no known decimals."""
    plain = text.replace(",", "").replace("_", "").rstrip(".")
    if "e" in plain.lower():
        return float(plain), None
    return float(plain), len(plain.partition(".")[2])


def pairs(text: str) -> list[Pair]:
    """All ``key:number`` pairs of a line, in order."""
    found = []
    for match in _PAIR.finditer(text):
        value, digits = number(match.group(2))
        if abs(value) <= LARGEST:
            found.append(Pair(match.group(1), value, digits, match.group(3) or "", match.start()))
    if "val_" in text:
        taken = {pair.key for pair in found}
        for match in _SPACED.finditer(text):
            if match.group(1) not in taken:
                value, digits = number(match.group(2))
                if abs(value) <= LARGEST:
                    found.append(Pair(match.group(1), value, digits, "", match.start()))
    return found


def figure(pair: Pair, at: Place) -> Figure:
    """The pair's number with its place."""
    return Figure(pair.value, pair.digits, at)


def first(found: list[Pair], *keys: str) -> Pair | None:
    """The first pair whose key (case ignored) is one of ``keys``."""
    return next((p for p in found if p.key.lower() in keys), None)


def score_pair(found: list[Pair], what: str) -> Pair | None:
    """The pair of ``val_loss`` or ``val_bpb``; a label may be glued to the key (``ngram:val_loss``)."""
    return next((p for p in found if p.key.lower() == what or p.key.lower().endswith((f".{what}", f"_{what}"))), None)


def seconds_of(found: list[Pair]) -> float | None:
    """The duration that a line states: ``eval_time`` before ``elapsed`` before ``time``; None without a unit."""
    for key in _TIME_KEYS:
        pair = first(found, key)
        if pair is not None and pair.seconds() is not None:
            return pair.seconds()
        if pair is not None and key == "elapsed_s":
            return pair.value
    return None


def step_of(text: str) -> tuple[int, int | None] | None:
    """``(i, N)`` of a step line, N None when only the step is printed."""
    stripped = text.strip()
    if match := _STEP.match(stripped):
        return int(match.group(1)), int(match.group(2))
    if match := _STEP_ALONE.match(stripped):
        return int(match.group(1)), None
    return None


def epoch_of(text: str) -> tuple[int, int] | None:
    """``(i, n)`` of ``epoch i/n``."""
    match = _EPOCH.search(text)
    return (int(match.group(1)), int(match.group(2))) if match else None


def chunk_of(text: str) -> tuple[int, int] | None:
    """``(i, n)`` of ``chunk [i/n]`` or ``batch i/n``."""
    match = _CHUNK.search(text)
    return (int(match.group(1)), int(match.group(2))) if match else None


def looks_like_python(text: str) -> bool:
    """Whether the line could stand in a Python source."""
    return bool(_PYTHON.match(text)) and not _STEP.match(text)


def lone_setting(text: str) -> tuple[str, str] | None:
    """``name: value`` when that is the whole line and the value is a single datum."""
    match = _LONE_SETTING.match(text)
    if not match:
        return None
    value = (match.group(2) or "").strip()
    if len(value.split()) > 2 and not re.match(r"[/.\[({'\"]", value):
        return None
    if len(value) > 200 or (re.search(r"\w[:=]\s*\S", value) and not re.match(r"[/.\[({'\"]|\w+://", value)):
        return None
    return match.group(1), value


def kind_of(text: str) -> LineKind:
    """What kind of line a cleaned log line is (source echo is told by its neighbours, not here)."""
    if not text.strip() or _NOISE.search(text):
        return LineKind.NOISE
    low = text.lower()
    found = pairs(text)
    keys = {p.key.lower() for p in found}
    if "warmup_step" in low or "warming up compile" in low or "compile warmup" in low:
        return LineKind.WARMUP
    if re.search(r"stopping_early|early_stop|wallclock_cap", low) and "train_time" in keys:
        return LineKind.STOP
    has_score = score_pair(found, "val_bpb") is not None or score_pair(found, "val_loss") is not None
    stepped = step_of(text) is not None
    if "train_loss" in keys and stepped and not has_score:
        return LineKind.TRAIN_STEP
    if has_score and stepped:
        return LineKind.VAL_STEP
    return _later_kind(low, text, found, keys, has_score)


def _later_kind(low: str, text: str, found: list[Pair], keys: set[str], has_score: bool) -> LineKind:
    if has_score and not (_PROGRESS.search(text) and _TTT.search(text)):
        return LineKind.EVALUATION
    if _SIZE.search(low) and re.search(r"\d{4,}|\d,\d{3}", low):
        return LineKind.SIZE
    if "gate=" in low and re.search(r"(?:within|word|token|agree)_gate", low):
        return LineKind.NGRAM
    setting = lone_setting(text)
    if re.match(r"(?:val_tokens\b|val_loader:)", low):
        return LineKind.VAL_TOKENS
    if re.match(r"train_(?:shards|loader|files)", low):
        return LineKind.TRAIN_DATA
    if setting and setting[0].lower() == "seed":
        return LineKind.SEED
    if re.match(r"model_params", low) or "model_params" in keys:
        return LineKind.PARAMS
    if re.match(r"total_eval_time|final_eval_time", low):
        return LineKind.EVAL_TIME
    if "peak memory" in low:
        return LineKind.MEMORY
    if setting is not None:
        return LineKind.BYTES if re.search(r"val_?bytes?$|n_bytes$", setting[0].lower()) and found else LineKind.SETTING
    if re.search(r"hessian|calibrat", low):
        return LineKind.CALIBRATION
    if keys & {"bytes", *_TEXT_KEYS} and keys & _TEXT_KEYS:
        return LineKind.BYTES
    if _TTT.search(low):
        return LineKind.TTT
    if "ngram" in low or "ppm" in low:
        return LineKind.NGRAM
    if found and len(found) >= len(text.split()) * 0.6:
        return LineKind.SETTING
    return LineKind.OTHER

