"""The seeds' own scores are the reference's: of the artifacts that their scripts wrote, and of weights by the recipe.

The second kind is frozen, and compared always; with GOLF_CORPUS_GIT the scripts themselves are run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from auditor.behaviour.toyworld.spec import WorldSpec
from reference_model.artifact.foreign import read
from reference_model.config import Preset
from reference_model.evaluation import score
from reference_model.model.transformer import GPT
from reference_model.quantisation import dequantise
from tests.reference_model.edited_scripts import MARKS
from tests.reference_model.scored_seeds import SWITCHES, Scored, data_of, frozen, preset_of, printed, run
from tests.reference_model.toys import with_recipe

CLOSE = 1e-5
"""Bits per byte."""
KINDS = [(name, kind) for name, kept in frozen().items() for kind in kept["scores"]]


def corpus(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that runs the scripts."""
    for mark in (*MARKS, pytest.mark.slow):
        test = mark(test)
    return test


def made(preset: Preset) -> GPT:
    """The model with weights by the recipe."""
    return with_recipe(preset.model, "baseline" if preset.name == "baseline" else "gepa")


def of_recipe(preset: Preset, world: WorldSpec, kind: score.Kind) -> float:
    """Our score of weights by the recipe."""
    tokens, table = data_of(world, preset)
    return score.score(score.Loaded(made(preset), preset), tokens, table, [kind])[kind].bpb


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_frozen_scores(name: str, kind: score.Kind) -> None:
    kept = frozen()[name]
    preset, world = preset_of(name, kept["settings"]), WorldSpec(**kept["world"])
    assert of_recipe(preset, world, kind) == pytest.approx(kept["scores"][kind][1], abs=CLOSE)


@cache
def ran(name: str, room: Path) -> Scored:
    """The toy run of a preset's script, once for all tests."""
    (room / name).mkdir()
    return run(name, room / name)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


LINES: dict[str, dict[str, score.Kind]] = {
    "baseline": {"final_int8_zlib_roundtrip": "whole"},
    "gepa_644": {r"final_int6_[\w-]+_roundtrip": "ttt"},
    "gepa_598": {r"final_int6_[\w-]+_roundtrip": "ttt"},
    "int5_861": {r"final_int6_[\w-]+_roundtrip": "sliding", "legal_ttt": "ttt"},
    "muon_ttt_1406": {"final_int6_roundtrip": "whole", "final_int6_sliding_window": "sliding", "legal_ttt": "ttt"},
    "selfgen_1406": {"final_int6_roundtrip": "whole", "final_int6_sliding_window": "sliding"},
    "recur_1406": {"final_int6_roundtrip": "whole", "final_int6_sliding_window": "sliding"},
}
"""Preset to the labels of its printed scores, and what they are."""


@corpus
@pytest.mark.parametrize("name", LINES)
def test_the_printed_scores_are_ours(name: str, room: Path) -> None:
    left = ran(name, room)
    tokens, table = data_of(left.world, left.preset)
    loaded = score.load(left.preset, dequantise(read(left.artifact)))
    assert not loaded.changed
    for label, kind in LINES[name].items():
        wanted = printed(left.printed, label)
        assert wanted is not None, f"{name} printed no {label}"
        assert score.score(loaded, tokens, table, [kind])[kind].bpb == pytest.approx(wanted, abs=CLOSE), label


@corpus
@pytest.mark.parametrize("name", SWITCHES)
def test_frozen_scores_are_the_scripts(name: str, room: Path) -> None:
    left, kept = ran(name, room), frozen()[name]
    assert left.chosen == kept["settings"] and WorldSpec(**kept["world"]) == left.world
    for kind, (loss, bpb) in left.scores.items():
        assert kept["scores"][kind] == pytest.approx([loss, bpb], abs=CLOSE)


def test_the_comparison_notices() -> None:
    """The other tail, another window, a tokenizer whose spaces are not counted."""
    kept = frozen()["gepa_644"]
    preset, world = preset_of("gepa_644", kept["settings"]), WorldSpec(**kept["world"])
    wanted = kept["scores"]["sliding"][1]
    for changed in (replace(preset.eval, repeat_tail=False), replace(preset.eval, stride=preset.eval.stride // 2)):
        assert abs(of_recipe(replace(preset, eval=changed), world, "sliding") - wanted) > CLOSE
    tokens, table = data_of(world, preset)
    table = replace(table, leading_space=torch.zeros_like(table.leading_space))
    loaded = score.Loaded(made(preset), preset)
    assert abs(score.score(loaded, tokens, table)["sliding"].bpb - wanted) > CLOSE
