"""Toy runs of the submissions that the reference describes: their own scripts, in the sandbox, and what they leave."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import getsource
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.scale.model import Plan
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from tests.benchmarks.corpus_git import Corpus, Folder
from tests.reference_model.recipe import filled

MOST_BYTES = 64 << 20
WALL_SECONDS = 240.0
SHAPE = (2, 200)
"""Of the tokens: longer than the toy runs' training sequences, so that the rotation's base changes."""
TOKENS = "golf_tokens.npy"
NOTHING: Mapping[str, str] = MappingProxyType({})
GUARD = 'if __name__ == "__main__":'

SHARED = """
import zlib
import numpy

# the recipe


def logits_of(model, tokens):
    if hasattr(model, "forward_logits"):
        return model.forward_logits(tokens)
    seen, real = [], F.cross_entropy
    F.cross_entropy = lambda logits, *rest, **named: seen.append(logits) or real(logits, *rest, **named)
    model(tokens, tokens)
    F.cross_entropy = real
    return seen[0].reshape(*tokens.shape, -1)


"""
"""What every addition to a script begins with."""
SPEAK = """

class _Seen(GPT):
    made = None

    def __init__(self, *positional, **named):
        if _Seen.made is None:
            assert not positional
            _Seen.made = named
        super().__init__(**named)


_network, GPT, _run = GPT, _Seen, main


def main():
    try:
        _run()
    except SystemExit:
        pass
    import json
    model = _network(**_Seen.made).float().eval()
    rotary = model.blocks[0].attn.rotary
    with open("golf_model.json", "w") as file:
        json.dump({**_Seen.made, "rope_train_seq_len": getattr(rotary, "train_seq_len", 0)}, file)
    tokens = torch.from_numpy(numpy.load("golf_tokens.npy"))
    saved = torch.load("final_model.pt", map_location="cpu")
    made = {name: torch.from_numpy(filled(name, tuple(tensor.shape))) for name, tensor in saved.items()}
    torch.save(made, "golf_made.pt")
    with torch.no_grad():
        for name, weights in (("golf_saved.npy", saved), ("golf_made.npy", made)):
            model.load_state_dict(weights)
            numpy.save(name, logits_of(model, tokens).float().numpy())


"""
"""Put before the script's last part. After its run: the settings of its network, and its logits of given tokens under
the weights that it saved, and under those of `filled`, so that gates and scales that hardly trained count."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights and the script's logits under them."""

    file: bytes
    logits: np.ndarray


@dataclass(frozen=True, slots=True)
class Ran:
    """What one toy run left."""

    tokens: np.ndarray
    saved: Weights
    made: Weights
    network: dict[str, Any]
    """The arguments with which the script made its network, and the length from which on its rotation is another."""
    files: dict[str, bytes]
    """Other files asked for."""


def run(
    pr: int,
    part: str,
    room: Path,
    env: Mapping[str, str] = NOTHING,
    *,
    shape: tuple[int, int] = SHAPE,
    keep: tuple[str, ...] = (),
) -> Ran:
    """Run the folder of ``pr`` whose name contains ``part`` at toy scale, with settings ``env`` over those of the plan.

    ``keep``: files of the run to return too.
    """
    submission = load_submission(folder(pr, part, room))
    plan = make_plan(submission)
    plan = replace(plan, env={**plan.env, **env})
    world = make_world(plan.world)
    tokens = tokens_of(pr, plan.world.vocab_size, shape)
    with Session(submission, speaking(plan), world) as session:
        with (session.base / "run" / TOKENS).open("wb") as file:
            np.save(file, tokens.astype(np.int64))
        log = session.run(world.val, WALL_SECONDS)
        assert log.ended, log.failure()
        names = ("final_model.pt", "golf_saved.npy", "golf_made.pt", "golf_made.npy", "golf_model.json", *keep)
        left = {name: session._scratch.read(f"work/golf/run/{name}", MOST_BYTES) for name in names}
    saved = Weights(left["final_model.pt"], array(left["golf_saved.npy"]))
    made = Weights(left["golf_made.pt"], array(left["golf_made.npy"]))
    return Ran(tokens, saved, made, json.loads(left["golf_model.json"]), {name: left[name] for name in keep})


def tokens_of(seed: int, vocab_size: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """The tokens that script and reference both see."""
    return np.random.default_rng(seed).integers(0, vocab_size, shape)


def array(data: bytes) -> np.ndarray:
    """The content of an ``.npy`` file."""
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert isinstance(found, np.ndarray)
    return found


def folder(pr: int, part: str, room: Path) -> Path:
    """The record folder of a pull request (0: of ``main``), laid out below ``room``; skips without the corpus."""
    if not os.environ.get("GOLF_CORPUS_GIT"):
        pytest.skip("GOLF_CORPUS_GIT names no repository")
    git = Path(os.environ["GOLF_CORPUS_GIT"])
    if not pr:
        return _of_main(git, part, room)
    corpus = Corpus(git)
    try:
        [found] = [f for f in corpus.folders(pr) if part in f.path]
        return corpus.lay_out(Folder(pr, found.path), room)
    finally:
        corpus.close()


def _of_main(git: Path, path: str, room: Path) -> Path:
    packed = subprocess.run(["git", "-C", git, "archive", "main", path], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(room, filter="data")
    return room / path


def speaking(plan: Plan, text: str = SPEAK) -> Plan:
    """``plan`` with a script that leaves its logits: ``text`` stands before its main guard."""
    head, guard, tail = plan.files[plan.script].rpartition(GUARD)
    assert guard, "the script has no main guard"
    added = SHARED.replace("# the recipe", getsource(filled)) + text
    return replace(plan, files={**plan.files, plan.script: head + added + guard + tail})
