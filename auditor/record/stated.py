"""What the submission states about itself: figures of submission.json, else of the README, each with its place.

``submission.json`` is dirty in practice: figures as strings with units, lists or dictionaries by seed, nulls. Every
reader here takes any JSON value and answers None for what is no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from auditor.core.submission import Submission
from auditor.core.types import Place

SCORE_KEYS = (
    "val_bpb", "mean_val_bpb", "val_bpb_mean", "val_bpb_mean_3seed", "final_val_bpb", "bpb", "mean_bpb", "score",
    "val_bpb_3seed_mean", "best_val_bpb",
)
TOTAL_KEYS = (
    "bytes_total", "artifact_bytes", "total_bytes", "submission_bytes", "artifact_size_bytes", "total_submission_bytes",
    "compressed_size_bytes", "artifact_size", "max_artifact_bytes", "artifact_bytes_max", "bytes_total_max",
    "size_bytes",
)
MODEL_KEYS = ("bytes_model", "model_bytes", "compressed_model_bytes", "bytes_model_int8_zlib", "bytes_model_compressed")
CODE_KEYS = ("bytes_code", "code_bytes", "code_size_bytes", "bytes_code_wrapped")
TRAIN_KEYS = (
    "wallclock_seconds", "train_seconds", "training_time_seconds", "train_time_seconds", "train_wallclock_seconds",
    "training_seconds", "train_time_s",
)
EVAL_KEYS = ("eval_time_seconds", "eval_seconds", "eval_time_s", "ttt_eval_seconds", "eval_wallclock_seconds")
PARAM_KEYS = ("parameters", "params", "num_params", "n_params", "model_params", "total_params")
SEED_LISTS = ("seeds", "seed_results", "seed_runs", "per_seed", "runs", "results_by_seed", "individual_seeds")
BASE_KEYS = ("baseline_bpb", "previous_best", "previous_sota", "prior_best_bpb", "sota_bpb", "baseline_val_bpb",
             "previous_record_bpb", "merged_sota_bpb", "previous_val_bpb", "prev_sota_bpb")
LARGEST = 1e15
"""What is larger is no figure of a run [tokens seen in training: under 1e11]."""
_NUMERAL = re.compile(r"[-+]?\d[\d,_]*\.?\d*(?:[eE][-+]?\d+)?")
_README_SCORE = re.compile(
    r"(?:val[_ ]?bpb|\bbpb\b|score)[^\n\d]{0,40}?\*{0,2}`?(\d\.\d{3,8})|(\d\.\d{4,8})\*{0,2}\s*(?:val[_ ]?)?bpb", re.I
)
_README_TOTAL = re.compile(
    r"(?:artifact|submission|total)[^\n\d]{0,40}?(\d{1,3}(?:,\d{3}){2}|\d{8})\s*(?:bytes|B\b)", re.I
)
_BASELINE = re.compile(
    r"(?:previous|prior|current|merged|last|old|vs\.?|over|beats?|improv\w+ (?:on|over|upon)|sota|record|#1|baseline)"
    r"[^\n.]{0,60}?\b([01]\.\d{3,6})\b", re.I
)


@dataclass(frozen=True, slots=True)
class Stated:
    """One stated figure: value, decimals as written (None: unknown), place, the key or phrase."""

    value: float
    digits: int | None
    at: Place
    key: str


@dataclass(frozen=True, slots=True)
class Claims:
    """The figures that the submission states."""

    score: Stated | None = None
    loss: Stated | None = None
    std: Stated | None = None
    total: Stated | None = None
    model: Stated | None = None
    code: Stated | None = None
    train_seconds: Stated | None = None
    eval_seconds: Stated | None = None
    params: Stated | None = None
    seeds: tuple[int, ...] = ()
    seeds_at: Place | None = None
    seed_scores: dict[int, float] = field(default_factory=dict)
    seed_count: Stated | None = None
    vocab: Stated | None = None
    hardware: tuple[str, Place] | None = None
    date: tuple[str, Place] | None = None
    readme_score: Stated | None = None
    baselines: tuple[Stated, ...] = ()
    figures: frozenset[float] = frozenset()
    """All figures of submission.json with five decimals or more, wherever they stand, rounded to eight."""


def read_claims(submission: Submission) -> Claims:
    """Read the stated figures; submission.json wins over the README."""
    data = submission.metadata.data if submission.metadata and submission.metadata.data else {}
    readme = submission.readme or ""
    at_readme = submission.readme_path or "README.md"
    seeds, scores, seeds_at = _seeds(data)
    score = pick(data, SCORE_KEYS) or _mean_score(data)
    readme_score = _readme_score(readme, at_readme, score)
    return Claims(
        figures=frozenset(_figures(data)),
        score=score or readme_score,
        loss=pick(data, ("val_loss", "mean_val_loss", "val_loss_mean")),
        std=pick(data, ("val_bpb_std", "std_val_bpb", "bpb_std", "std", "std_bpb", "val_bpb_std_dev")),
        total=_largest(pick(data, TOTAL_KEYS), _seed_totals(data)) or _from_readme(_README_TOTAL, readme, at_readme),
        model=pick(data, MODEL_KEYS),
        code=pick(data, CODE_KEYS),
        train_seconds=pick(data, TRAIN_KEYS),
        eval_seconds=pick(data, EVAL_KEYS),
        params=pick(data, PARAM_KEYS),
        seeds=seeds,
        seeds_at=seeds_at,
        seed_scores=scores,
        seed_count=pick(data, ("num_seeds", "n_seeds", "seed_count")),
        vocab=pick(data, ("vocab_size", "vocab")) or _vocab(data),
        hardware=_text(data, ("hardware", "gpu", "gpus", "compute")),
        date=_text(data, ("date", "submission_date")),
        readme_score=readme_score,
        baselines=_baselines(data, readme, at_readme),
    )


def as_number(value: Any) -> tuple[float, int | None] | None:
    """A number out of any JSON value: int, float, ``"15,999,370 bytes"``; None for the rest.

    A bool, NaN, and what is larger than any figure of a run (`LARGEST`) are no numbers.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if not abs(value) <= LARGEST:
            return None
        text = repr(value)
        return float(value), None if "e" in text else len(text.partition(".")[2]) if "." in text else 0
    if isinstance(value, str) and (match := _NUMERAL.search(value)) and match.start() <= 2:
        text = match.group().replace(",", "").replace("_", "").rstrip(".")
        scale = 1_000_000 if re.match(r"\s*MB\b", value[match.end() :]) else 1
        return (number, len(text.partition(".")[2])) if (number := float(text) * scale) <= LARGEST else None
    return None


def pick(data: dict[str, Any], keys: tuple[str, ...]) -> Stated | None:
    """The first of ``keys`` that holds a number; a dictionary or list gives its ``mean`` or its largest number."""
    for key in keys:
        if key not in data:
            continue
        found = as_number(data[key])
        if found is None and isinstance(data[key], dict):
            found = _of_dict(data[key])
        if found is not None:
            return Stated(found[0], found[1], Place(field=key), key)
    return None


def _of_dict(value: dict[str, Any]) -> tuple[float, int | None] | None:
    for key in ("mean", "max", "total", "value", "val_bpb"):
        if key in value and (found := as_number(value[key])) is not None:
            return found
    numbers = [n for n in (as_number(v) for v in value.values()) if n is not None]
    return max(numbers, default=None)


def _mean_score(data: dict[str, Any]) -> Stated | None:
    """A score that stands one level down (``results: {val_bpb: ..}``)."""
    for outer, inner in data.items():
        if isinstance(inner, dict) and outer not in SEED_LISTS:
            found = pick(inner, SCORE_KEYS)
            if found:
                return Stated(found.value, found.digits, Place(field=f"{outer}.{found.key}"), found.key)
    return None


def _seeds(data: dict[str, Any]) -> tuple[tuple[int, ...], dict[int, float], Place | None]:
    """Seeds and their scores from a list of numbers, a list of objects, or an object by seed."""
    seeds: dict[int, None] = {}
    scores: dict[int, float] = {}
    at: Place | None = None
    for key in SEED_LISTS:
        value = data.get(key)
        items: list[tuple[Any, Any]] = []
        if isinstance(value, list):
            items = [(v.get("seed") if isinstance(v, dict) else v, v) for v in value]
        elif isinstance(value, dict):
            items = list(value.items())
        for name, body in items:
            seed = seed_of(name)
            if seed is None:
                continue
            seeds[seed] = None
            at = at or Place(field=key)
            score = pick(body, SCORE_KEYS) if isinstance(body, dict) else None
            number = (score.value if score else None) if isinstance(body, dict) else _score_number(body, name)
            if number is not None:
                scores.setdefault(seed, number)
    if not seeds and (one := seed_of(data.get("seed"))) is not None:
        return (one,), scores, Place(field="seed")
    return tuple(seeds), scores, at


def _figures(node: Any, depth: int = 6) -> Iterator[float]:
    """Exact figures anywhere in a JSON value."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list) and depth:
        for item in node:
            yield from _figures(item, depth - 1)
    elif isinstance(node, float) and abs(node) <= LARGEST and abs(node * 1e4 - round(node * 1e4)) > 1e-7:
        yield round(node, 8)


def _seed_totals(data: dict[str, Any]) -> Stated | None:
    """The largest artifact that is stated for one seed."""
    found: list[Stated] = []
    for key in SEED_LISTS:
        value = data.get(key)
        bodies = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for body in bodies:
            if isinstance(body, dict) and (one := pick(body, TOTAL_KEYS)):
                found.append(Stated(one.value, one.digits, Place(field=f"{key}.{one.key}"), one.key))
    return max(found, key=lambda s: s.value, default=None)


def _largest(a: Stated | None, b: Stated | None) -> Stated | None:
    return max((s for s in (a, b) if s), key=lambda s: s.value, default=None)


def seed_of(name: Any) -> int | None:
    """A seed out of ``42``, ``"42"`` or ``"seed_42"``."""
    if isinstance(name, bool):
        return None
    if isinstance(name, int):
        return name
    if isinstance(name, str) and (match := re.fullmatch(r"\s*(?:seed|s)?[_ :-]?(\d{1,10})\s*", name, re.I)):
        return int(match.group(1))
    return None


def _score_number(body: Any, name: Any) -> float | None:
    found = as_number(body)
    return found[0] if found and body is not name and 0 < found[0] < 10 else None


def _vocab(data: dict[str, Any]) -> Stated | None:
    for outer, inner in data.items():
        if isinstance(inner, dict) and (found := pick(inner, ("vocab_size",))):
            return Stated(found.value, found.digits, Place(field=f"{outer}.vocab_size"), "vocab_size")
    return None


def _text(data: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, Place] | None:
    for key in keys:
        if isinstance(data.get(key), str) and data[key].strip():
            return data[key], Place(field=key)
    return None


def _readme_score(readme: str, path: str, stated: Stated | None) -> Stated | None:
    """The README's score: of several the one that agrees with submission.json, else the first.

    ``0.0001 BPB`` is a difference: before the unit only what a score can be is taken.
    """
    matches = [m for m in islice(_README_SCORE.finditer(readme), 200) if m.group(1) or float(m.group(2)) >= 0.3]
    agreeing = (m for m in matches if stated and abs(float(m.group(1) or m.group(2)) - stated.value) <= 0.02)
    match = next(agreeing, matches[0] if matches else None)
    return None if match is None else _stated_there(match, readme, path)


def _from_readme(pattern: re.Pattern[str], readme: str, path: str) -> Stated | None:
    match = pattern.search(readme)
    return None if match is None else _stated_there(match, readme, path)


def _stated_there(match: re.Match[str], readme: str, path: str) -> Stated:
    text = next(g for g in match.groups() if g).replace(",", "")
    line = readme.count("\n", 0, match.start()) + 1
    return Stated(float(text), len(text.partition(".")[2]), Place(file=path, line=line), "README")


def _baselines(data: dict[str, Any], readme: str, path: str) -> tuple[Stated, ...]:
    found = []
    if direct := pick(data, BASE_KEYS):
        found.append(direct)
    for match in _BASELINE.finditer(readme):
        text = match.group(1)
        line = readme.count("\n", 0, match.start()) + 1
        found.append(Stated(float(text), len(text.partition(".")[2]), Place(file=path, line=line), match.group(0)[:60]))
    return tuple(found)
