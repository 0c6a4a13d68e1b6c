"""Witness files: everything needed to see a finding again, as JSON that is the same byte for byte each time.

No time stamp, no path of the host, sorted keys, losses as exact floats (`float.hex`).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import __version__
from auditor.behaviour.facts import Evidence, Question, Spot
from auditor.behaviour.scale.implied import implied
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.toyworld.spec import World
from auditor.core.submission import Submission

SCHEMA_VERSION = 1
MAX_BYTES = 8 << 20
MAX_SAMPLES = 64
MAX_STATED = 20
LINE = 400


class WitnessError(ValueError):
    """A file that is no witness file, or none for this submission; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Variation:
    """How the second run's validation stream differs from the first's."""

    index: int
    """Scores before the cut, in the submission's own order."""
    why: str
    keep: NDArray[np.bool_]
    """Tokens that stayed, shape [tokens]."""
    salt: int
    """Of `auditor.behaviour.toyworld.vary.vary`."""


@dataclass(frozen=True, slots=True)
class WitnessFile:
    """One witness: a file name without folder, and its JSON document."""

    name: str
    document: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The file's content; equal documents give equal bytes."""
        return json.dumps(self.document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def make(
    submission: Submission,
    plan: Plan,
    world: World,
    question: Question,
    evidence: Evidence,
    *,
    number: int = 1,
    variation: Variation | None = None,
    stated: Sequence[str] = (),
    torch: str = "",
    seed: int = 1234,
    compared: int = 0,
    real_bfloat16: bool = False,
) -> WitnessFile:
    """The witness of one `Evidence`.

    Args:
        number: counts the witnesses of one question, from 1; it is part of the file's name.
        variation: what the second run was given; None where the question needs a single run.
        stated: log lines of the claimed score, by which the judged pass was chosen.
        torch: version of torch in the guest.
        compared: scores that were held against each other.
        real_bfloat16: whether the guest kept bfloat16 (see `auditor.behaviour.session.Session`).

    Raises:
        ValueError: the submission has no script.
    """
    if submission.entry is None:
        raise ValueError("no training script was found")
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "golf-audit", "version": __version__},
        "question": question.value,
        "script": {"path": submission.entry.path, "sha256": submission.entry.sha256},
        "plan": _plan(plan),
        "world": asdict(world.spec),
        "seed": seed,
        "implied": list(implied(submission)),
        "stated": [line[:LINE] for line in stated[:MAX_STATED]],
        "stream": evidence.stream,
        "variation": None if variation is None else _variation(variation),
        "compared": compared,
        "real_bfloat16": real_bfloat16,
        "cause": evidence.cause.value,
        "confidence": evidence.confidence.value,
        "message": evidence.message,
        "update_between": _spot(evidence.spot),
        "path": [_spot(spot) for spot in evidence.path],
        "figures": {name: float(value).hex() for name, value in sorted(evidence.figures.items())},
        "samples": [_sample(world, sample.position, sample.first, sample.second)
                    for sample in evidence.samples[:MAX_SAMPLES]],
        "torch": torch,
        "machine": f"{platform.system()} {platform.machine()}, one thread",
    }  # fmt: skip
    return WitnessFile(f"{question.value}-{number}.json", document)


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "script": plan.script, "env": dict(plan.env), "argv": list(plan.argv), "level": plan.level,
        "tweaks": dict(plan.tweaks), "attempt": plan.attempt,
        "changes": [{"name": c.name, "from": c.old, "to": c.new, "how": c.how, "where": c.where} for c in plan.changes],
    }  # fmt: skip


def _variation(variation: Variation) -> dict[str, Any]:
    return {
        "index": variation.index, "why": variation.why, "salt": variation.salt,
        "tokens": int(variation.keep.size), "keep": ranges(variation.keep),
    }  # fmt: skip


def _spot(spot: Spot | None) -> dict[str, Any] | None:
    return None if spot is None else asdict(spot)


def _sample(world: World, position: int, first: float, second: float) -> dict[str, Any]:
    tokens = world.val.tokens
    token = int(tokens[position]) if 0 <= position < tokens.size else -1
    return {"position": position, "token": token, "piece": piece(world, token),
            "first": float(first).hex(), "second": float(second).hex()}  # fmt: skip


def piece(world: World, token: int) -> str:
    """The text of a token in the toy vocabulary, empty where it has none."""
    return world.pieces[token] if 0 <= token < len(world.pieces) else ""


def ranges(keep: NDArray[np.bool_]) -> list[list[int]]:
    """The runs of True as half-open ranges ``[first, end]``."""
    padded = np.concatenate([[False], keep, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded))
    return [[int(a), int(b)] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def mask(spans: Sequence[Sequence[int]], tokens: int) -> NDArray[np.bool_]:
    """The inverse of `ranges`. Raises `WitnessError` on spans that do not fit into ``tokens``."""
    keep = np.zeros(tokens, np.bool_)
    for span in spans:
        if len(span) != 2 or not 0 <= span[0] < span[1] <= tokens:
            raise WitnessError("its ranges of kept tokens do not fit the stream")
        keep[span[0] : span[1]] = True
    return keep


def write(files: Sequence[WitnessFile], folder: Path) -> list[Path]:
    """Write the files into ``folder``, made when it is not there; their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / file.name for file in files]
    for path, file in zip(paths, files, strict=True):
        path.write_text(file.text, encoding="ascii")
    return paths


def read(path: Path) -> WitnessFile:
    """Read and check a witness file. Raises `WitnessError` with one sentence for a person."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise WitnessError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise WitnessError(f"{path} is longer than {MAX_BYTES:,} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WitnessError(f"{path} is no JSON: {error}") from error
    problem = _problem(document)
    if problem:
        raise WitnessError(f"{path} is no witness file: {problem}")
    return WitnessFile(path.name, document)


_Shape = Mapping[str, type | tuple[type, ...]]
_SHAPE: _Shape = {
    "question": str, "script": dict, "plan": dict, "world": dict, "seed": int, "samples": list, "stated": list,
    "variation": (dict, type(None)), "message": str, "torch": str,
}  # fmt: skip
_PLAN: _Shape = {"env": dict, "argv": list, "level": int, "tweaks": dict, "attempt": int}
_VARIATION: _Shape = {"index": int, "why": str, "keep": list, "tokens": int, "salt": int}
_SAMPLE: _Shape = {"position": int, "token": int, "piece": str, "first": str, "second": str}
_MAX_TOKENS = 1 << 20


def _problem(document: Any) -> str:
    """What is wrong with a document, as half a sentence; empty when nothing is."""
    if not isinstance(document, dict):
        return "it holds no object"
    if document.get("schema_version") != SCHEMA_VERSION:
        return f"its version is {str(document.get('schema_version'))[:20]}, this tool reads {SCHEMA_VERSION}"
    parts: list[tuple[Any, _Shape, str]] = [(document, _SHAPE, ""), (document.get("plan"), _PLAN, "plan.")]
    if document.get("variation") is not None:
        parts.append((document["variation"], _VARIATION, "variation."))
    samples = document.get("samples")
    parts += [(sample, _SAMPLE, "samples.") for sample in (samples if isinstance(samples, list) else ())]
    for value, shape, where in parts:
        wrong = _wrong(value, shape)
        if wrong:
            return f"{where}{wrong} is missing or of another type"
    if document["question"] not in set(Question):
        return f"no question is called {document['question'][:40]!r}"
    if not isinstance(document["script"].get("sha256"), str):
        return "script.sha256 is missing"
    return _problem_of_values(document)


def _wrong(value: Any, shape: _Shape) -> str:
    if not isinstance(value, dict):
        return "an object"
    for name, kind in shape.items():
        if not isinstance(value.get(name), kind) or isinstance(value.get(name), bool):
            return name
    return ""


def _problem_of_values(document: dict[str, Any]) -> str:
    plan, variation = document["plan"], document["variation"]
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in plan["env"].items()):
        return "plan.env holds something that is no text"
    if not all(isinstance(word, str) for word in (*plan["argv"], *document["stated"])):
        return "a list of texts holds something else"
    if not all(isinstance(name, str) for name in document.get("implied", [])):
        return "implied holds something that is no name"
    if not all(isinstance(v, int) for v in plan["tweaks"].values()):
        return "plan.tweaks holds something that is no number"
    if variation is not None:
        if not 0 < variation["tokens"] <= _MAX_TOKENS:
            return "variation.tokens is out of range"
        if not all(isinstance(s, list) and all(isinstance(n, int) for n in s) for s in variation["keep"]):
            return "variation.keep holds something that is no range"
    try:
        for sample in document["samples"]:
            float.fromhex(sample["first"]), float.fromhex(sample["second"])
    except (ValueError, OverflowError):
        return "a sample holds something that is no number"
    return ""
