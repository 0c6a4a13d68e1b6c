"""Toy runs of the submissions that the reference describes: their own scripts, in the sandbox, and what they leave."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, replace
from inspect import getsource
from pathlib import Path
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
TOKENS = "golf_tokens.npy"
GUARD = 'if __name__ == "__main__":'

SPEAK = """
import zlib
import numpy

# the recipe


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
            numpy.save(name, model.forward_logits(tokens).float().numpy())


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


def run(pr: int, part: str, room: Path, *, shape: tuple[int, int] = (2, 1100), keep: tuple[str, ...] = ()) -> Ran:
    """Run the folder of ``pr`` whose name contains ``part`` at toy scale; ``keep``: files of the run to return too."""
    submission = load_submission(folder(pr, part, room))
    plan = make_plan(submission)
    world = make_world(plan.world)
    tokens = np.random.default_rng(pr).integers(0, plan.world.vocab_size, shape)
    with Session(submission, speaking(plan), world) as session:
        with (session.base / "run" / TOKENS).open("wb") as file:
            np.save(file, tokens.astype(np.int64))
        log = session.run(world.val, WALL_SECONDS)
        assert log.ended, log.failure()
        names = ("final_model.pt", "golf_saved.npy", "golf_made.pt", "golf_made.npy", "golf_model.json", *keep)
        left = {name: session._scratch.read(f"work/golf/run/{name}", MOST_BYTES) for name in names}
    saved = Weights(left["final_model.pt"], _array(left["golf_saved.npy"]))
    made = Weights(left["golf_made.pt"], _array(left["golf_made.npy"]))
    return Ran(tokens, saved, made, json.loads(left["golf_model.json"]), {name: left[name] for name in keep})


def _array(data: bytes) -> np.ndarray:
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert isinstance(found, np.ndarray)
    return found


def folder(pr: int, part: str, room: Path) -> Path:
    """The record folder of a pull request, laid out below ``room``; skips where the corpus is not there."""
    if not os.environ.get("GOLF_CORPUS_GIT"):
        pytest.skip("GOLF_CORPUS_GIT names no repository")
    corpus = Corpus(Path(os.environ["GOLF_CORPUS_GIT"]))
    try:
        [found] = [f for f in corpus.folders(pr) if part in f.path]
        return corpus.lay_out(Folder(pr, found.path), room)
    finally:
        corpus.close()


def speaking(plan: Plan) -> Plan:
    """``plan`` with a script that leaves its logits."""
    head, guard, tail = plan.files[plan.script].rpartition(GUARD)
    assert guard, "the script has no main guard"
    return replace(
        plan, files={**plan.files, plan.script: head + SPEAK.replace("# the recipe", getsource(filled)) + guard + tail}
    )
