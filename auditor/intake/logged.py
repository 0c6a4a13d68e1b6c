"""Settings that the logs themselves state: dumps of all hyper-parameters, and single ``name:value`` tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from auditor.core.submission import LogFile, Setting
from auditor.core.types import Place

MAX_LINES = 4_000
"""Lines of a log that are searched for single tokens; dumps and configuration lines stand at its beginning."""
_DUMP_HEAD = re.compile(r"(?i)^\W*(hyper-?parameters?|config(uration)?|settings|args|arguments|hparams)\W*$")
_DUMP_LINE = re.compile(r"^\s+['\"]?([A-Za-z_]\w*)['\"]?\s*[:=]\s*(.*)$")
_TOKEN = re.compile(
    r"(?<![\w.\-/])['\"]?([A-Za-z_]\w{1,60})['\"]?\s?[:=]\s?"
    r"('[^']*'|\"[^\"]*\"|[^\s,;)}\]'\"]+(?:,\d[\w.]*(?![\w.\s]*[:=]))*)"
)
_HEADED = re.compile(r"^\s*([a-z_]\w{1,40}):\s*((?:[a-z_]\w{0,60}[=:][^\s=:,]+(?:[\s,]+|$)){1,20})$")
_PROGRESS = re.compile(
    r"^\s*(?:\[?rank\d*\]?:?\s*)?(?:step|warmup_step|iter|epoch|\d+/\d+|ttt_chunk|\[?\d+[\]/])[\s:\d]"
)
_SCALAR = re.compile(r"^[\w.+\-/:*,]{1,200}$")
_TRUTH = {"enabled": "True", "disabled": "False", "on": "True", "off": "False"}
_JSON_LINE = re.compile(r"(?i)^\W*(?:\w*(?:config|args|hparams|hyper_?param\w*|settings|namespace)\w*)?\W{0,4}\{")
_VARYING = frozenset(
    {
        "seed",
        "run_id",
        "logfile",
        "rank",
        "local_rank",
        "is_main_process",
        "val_loss",
        "val_bpb",
        "train_loss",
        "train_time",
        "step_avg",
        "step",
        "time",
        "loss",
        "lr",
        "bpb",
        "epoch",
        "tokens",
        "device",
        "ptr",
        "i",
        "n",
        "model",
    }
)


def dumps(log: LogFile) -> Iterator[tuple[str, str, int]]:
    """(name, value, line) of each line in blocks headed ``Hyperparameters:`` or the like."""
    inside = False
    for number, line in enumerate(log.lines, 1):
        if _DUMP_HEAD.match(line):
            inside = True
            continue
        if not inside:
            continue
        match = _DUMP_LINE.match(line.rstrip(" ,")) if len(line) < 5_000 else None
        if match is None:
            inside = not line.strip()
            continue
        yield match.group(1), match.group(2).strip("'\""), number


def tokens(log: LogFile, names: set[str], code: frozenset[str]) -> Iterator[tuple[str, str, int]]:
    """(name, value, line) of ``name:value`` and ``name=value`` in lines before and between the progress lines.

    ``code`` holds the script's own lines (stripped), which some logs contain. Values are words, numbers, paths.
    """
    start = source_end(log.lines)
    for number, line in enumerate(log.lines[start:start + MAX_LINES], start + 1):
        if len(line) > 20_000 or _PROGRESS.match(line) or line.strip() in code:
            continue
        if "{" in line and not _JSON_LINE.match(line):
            continue
        headed = _HEADED.match(line)
        prefix = f"{headed.group(1)}_" if headed else ""
        for match in _TOKEN.finditer(headed.group(2) if headed else line):
            name, value = match.group(1).lower(), match.group(2).strip("'\"")
            for known in ((prefix + name,) if prefix + name in names else (name,)):
                if known in names and known not in _VARYING and _SCALAR.match(value):
                    yield known, _TRUTH.get(value.lower(), value), number


def source_end(lines: tuple[str, ...]) -> int:
    """Number of leading lines that are the script's own source, which baseline logs print before a rule of ``=``."""
    for number, line in enumerate(lines[:8_000]):
        if line.startswith("=" * 60):
            head = lines[:number]
            return (
                number + 1 if sum(text.startswith(("import ", "from ", "def ", "class ")) for text in head) >= 3 else 0
            )
    return 0


def logged_settings(
    logs: tuple[LogFile, ...], names: set[str], code: frozenset[str]
) -> tuple[dict[str, Setting], list[str]]:
    """Settings by attribute name on which the logs agree, and one note for those on which they do not."""
    main = main_logs(logs)
    found = _agreed([(log, list(dumps(log))) for log in main], "dump")
    loose = _agreed([(log, list(tokens(log, names, code))) for log in main], "token")
    settings = {
        **{n: s for n, (s, _) in loose.items() if s is not None},
        **{n: s for n, (s, _) in found.items() if s is not None},
    }
    differing = sorted(n for n, (s, _) in found.items() if s is None and n not in _VARYING)
    notes = [f"the logs differ in {', '.join(differing[:12])}; these are not taken from them"] if differing else []
    return settings, notes


def main_logs(logs: tuple[LogFile, ...]) -> list[LogFile]:
    """The logs that lie least deep, and of those that name a seed only these, if there are any."""
    if not logs:
        return []
    depth = min(log.path.count("/") for log in logs)
    top = [log for log in logs if log.path.count("/") == depth]
    return [log for log in top if log.seed is not None] or top


def _agreed(
    read: list[tuple[LogFile, list[tuple[str, str, int]]]], how: str
) -> dict[str, tuple[Setting | None, int]]:
    """One value per name when all logs that state it agree (tokens: also within a log), else None.

    Of dumps that differ, a value that three quarters of the logs share is taken: the others are ablations.
    """
    values: dict[str, Counter[str]] = {}
    places: dict[tuple[str, str], Place] = {}
    for log, items in read:
        for name, value in {(n, v): None for n, v, _ in items}:
            values.setdefault(name, Counter())[value] += 1
        for name, value, line in items:
            places.setdefault((name, value), Place(log=log.path, line=line))
    result: dict[str, tuple[Setting | None, int]] = {}
    for name, counter in values.items():
        value, count = counter.most_common(1)[0]
        total = sum(counter.values())
        sure = len(counter) == 1 or (how == "dump" and count >= 0.75 * total and total >= 4)
        setting = Setting(name, value, places[name, value], "log") if sure else None
        result[name] = (setting, total)
    return result


def world_size(logs: tuple[LogFile, ...]) -> int | None:
    """The world size that the main logs print most often."""
    counts: Counter[int] = Counter()
    for log in main_logs(logs):
        for line in log.lines[source_end(log.lines):][:2_000]:
            match = re.search(r"(?<![\w])world_size['\"]?\s*[:=]\s*(\d{1,5})\b", line)
            if match:
                counts[int(match.group(1))] += 1
                break
    return counts.most_common(1)[0][0] if counts else None


def environment_lines(log: LogFile) -> dict[str, tuple[str, int]]:
    """``NAME=value`` pairs that a run script echoed at the head of a log (lines that are nothing but such pairs)."""
    found: dict[str, tuple[str, int]] = {}
    start = source_end(log.lines)
    for number, line in enumerate(log.lines[start:start + 120], start + 1):
        text = re.sub(r"^\W*(?:env|export|command|cmd|launch|run)\b\W*", "", line.strip(), flags=re.I).lstrip("+$> ")
        pairs = re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]{2,60})=(\S+)", text)
        if pairs and len(pairs) >= 0.6 * len(re.sub(r"\s(torchrun|python3?)\b.*", "", text).split()):
            for name, value in pairs:
                found.setdefault(name, (value.strip("'\""), number))
    return found
