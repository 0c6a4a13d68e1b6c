"""The next plan after a failure: another value for the knobs that the failure names, else the next level."""

from __future__ import annotations

import re
from dataclasses import replace

from auditor.behaviour.scale.model import RUN, Failure, Plan
from auditor.behaviour.scale.paths import is_tokenizer
from auditor.behaviour.scale.plan import build, knobs
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.shape import LEVELS, number_of
from auditor.behaviour.scale.sites import Site
from auditor.behaviour.toyworld.layout import Places
from auditor.core.submission import Submission

MAX_RETRIES = 4
MAX_NAMED = 4
"""A failure that names more knobs than this names none in particular."""
_SCALE_ERRORS = frozenset(
    {"AssertionError", "ValueError", "RuntimeError", "IndexError", "ZeroDivisionError", "KeyError", "SystemExit",
     "StopIteration", "OverflowError"}
)  # fmt: skip
_MISSING = frozenset({"FileNotFoundError", "NotADirectoryError"})
_PATH = re.compile(
    r"['\"]([^'\"\n]{2,300})['\"]|(?:^|[\s:=])((?:\.{0,2}/)?[\w.*?\-]+(?:/[\w.*?\-]+)+|fineweb[\w.*?\-]+)"
)
_WEIGHTS = re.compile(r"\.(?:ptz?|bin|pth|ckpt|zst|xz|br|npz|safetensors|lzma|int\d\w*)['\"]?", re.I)
_RESUMES = re.compile(
    r"(?:EVAL|TTT|QUANT\w*|SCORE)_ONLY|ONLY_EVAL|SKIP_TRAIN|RESUME|LOAD_(?:PATH|FROM|MODEL|CKPT)|CHECKPOINT"
)
_WORD = re.compile(r"[A-Za-z_]\w*")


def retry(plan: Plan, submission: Submission, failure: Failure) -> Plan | None:
    """A plan that differs from ``plan`` in what ``failure`` may come from; None gives up (at most four retries)."""
    error = failure.error.rpartition(".")[2]
    mark = signature(failure)
    if plan.attempt >= MAX_RETRIES:
        return None
    if error in _MISSING and (partial := resuming_settings(plan, submission, failure)):
        made = build(submission, plan.level, plan.tweaks, plan.attempt + 1, (*plan.dropped, *partial))
        return replace(made, data_paths=_joined(made.data_paths, plan.data_paths), failed=(*plan.failed, mark))
    read_only = error in ("OSError", "PermissionError") and bool(re.search("Read-only|denied", failure.message))
    if error in _MISSING or read_only or (error in _SCALE_ERRORS and "fineweb" in failure.message):
        return _with_path(plan, failure.message)
    if error not in _SCALE_ERRORS or plan.failed.count(mark) > 1:
        return None
    tweaks, level = dict(plan.tweaks), plan.level
    refused = refused_settings(plan, submission, failure)
    named = [n for n in named_knobs(failure, knobs(submission)) if n not in tweaks]
    if refused:
        pass
    elif named and mark not in plan.failed:
        tweaks.update(dict.fromkeys(named, 1))
    elif level + 1 < len(LEVELS):
        level += 1
    else:
        return None
    made = build(submission, level, tweaks, plan.attempt + 1, (*plan.dropped, *refused))
    return replace(made, data_paths=_joined(made.data_paths, plan.data_paths), failed=(*plan.failed, mark))


def refused_settings(plan: Plan, submission: Submission, failure: Failure) -> list[str]:
    """Settings that were only read off a log and that the message of ``failure`` names: a log may show what the
    script made of a setting, not the setting."""
    words = set(_WORD.findall(failure.message))
    settings = submission.launch.env
    return [n for n, s in settings.items() if s.how == "log" and n in words and n not in plan.dropped]


def resuming_settings(plan: Plan, submission: Submission, failure: Failure) -> list[str]:
    """Settings by which the launch takes up a run from weights that are not shipped, when those were missing.

    The run that made them is the one to judge, so the script is run from its beginning.
    """
    settings = submission.launch.env
    named = any(f"'{s.value}'" in failure.message for n, s in settings.items() if _RESUMES.search(n))
    if "fineweb" in failure.message or not (named or _WEIGHTS.search(failure.message)):
        return []
    return [
        n for n, s in settings.items()
        if _RESUMES.search(n) and s.value.strip().lower() not in ("", "0", "false", "no") and n not in plan.dropped
    ]  # fmt: skip


def signature(failure: Failure) -> str:
    """What tells one failure from another: type, message without its numbers, innermost place."""
    at = f"{failure.frames[-1].file}:{failure.frames[-1].line}" if failure.frames else ""
    return f"{failure.error}|{re.sub(r'[0-9]+', '#', failure.message)[:200]}|{at}"


def named_knobs(failure: Failure, sites: list[Site]) -> list[str]:
    """Knobs that the message names, else those on the source line that failed; few, and numbers with a role."""
    tests = [f.source for f in failure.frames[-1:] if f.source.lstrip().startswith(("assert", "if"))]
    for text in (failure.message, *tests):
        words = {w.lower() for w in _WORD.findall(text)}
        found = {
            s.name: None
            for s in sites
            if (s.words in words or s.name.lower() in words)
            and (number_of(s) or 0) > 1
            and (role_of(s.words, s.value) not in ("value", "vocab") or (s.how == "env" and "vocab" not in s.words))
        }
        if 0 < len(found) <= MAX_NAMED:
            return list(found)
    return []


def _with_path(plan: Plan, message: str) -> Plan | None:
    """``plan`` with the missing path laid out; None when the message names none that could be data."""
    for match in _PATH.finditer(message):
        path = (match.group(1) or match.group(2)).strip()
        path = path.removeprefix(RUN + "/").removeprefix("./")
        places = plan.data_paths
        if (path.endswith(".model") or is_tokenizer(path)) and path not in places.tokenizer_paths:
            places = replace(places, tokenizer_paths=(*places.tokenizer_paths, path))
        elif re.search(r"fineweb\w*_(?:train|val)", path):
            folder = path.rpartition("/")[0] or "."
            side = "bytes" in path.rpartition("/")[2]
            if folder in (places.byte_side_dirs if side else places.data_dirs):
                continue
            places = (
                replace(places, byte_side_dirs=(*places.byte_side_dirs, folder))
                if side
                else replace(places, data_dirs=(*places.data_dirs, folder))
            )
        elif "fineweb" in path or "/datasets" in path:
            places = replace(places, data_dirs=tuple(dict.fromkeys((*places.data_dirs, path))))
        else:
            folder = path if "." not in path.rpartition("/")[2] else path.rpartition("/")[0]
            if folder and folder not in plan.folders:
                return replace(plan, folders=(*plan.folders, folder), attempt=plan.attempt + 1)
            continue
        if places != plan.data_paths:
            return replace(plan, data_paths=places, attempt=plan.attempt + 1)
    return None


def _joined(first: Places, second: Places) -> Places:
    return Places(
        tuple(dict.fromkeys(first.data_dirs + second.data_dirs)),
        tuple(dict.fromkeys(first.tokenizer_paths + second.tokenizer_paths)),
        tuple(dict.fromkeys(first.byte_side_dirs + second.byte_side_dirs)),
    )
