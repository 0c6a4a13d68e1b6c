"""``rerun --toy``: the whole path in the toy world, on the reference's exports and on the seeds of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.audit import why_not
from auditor.rerun import record
from auditor.rerun.facts import PhaseKind, SeedEnd

ROOT = Path(__file__).resolve().parent.parent.parent
HONEST = ROOT / "fixtures/submissions/honest_baseline"
SEEDS = (644, 598, 861, 1406)
pytestmark = [pytest.mark.skipif(bool(why_not(False)), reason=why_not(False) or "it can run")]


def toy(place: Path, keep: Path, *more: str) -> dict[str, Any]:
    """What the command says as JSON; the phases add up to its total, and the record reads the same."""
    line = [sys.executable, "-m", "auditor.cli", "rerun", str(place), "--toy", "--format", "json", "--keep", str(keep)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*line, *more], env=env, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode in (1, 10, 11), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert sum(p["seconds"] for p in told["phases"]) == pytest.approx(told["seconds_total"], rel=0.02)
    again = record.read(keep)
    assert again.hardware.toy and [r.seed for r in again.seeds] == [r["seed"] for r in told["seeds"]]
    for run in again.seeds:
        assert run.phases[0].start == 0.0 and run.phases[-1].end == run.seconds
        assert len((keep / run.log).read_text().splitlines()) >= 5
    return told


@pytest.mark.slow
def test_an_honest_fixture_finishes_with_two_seeds(tmp_path: Path) -> None:
    told = toy(next(HONEST.glob("records/*/*")), tmp_path / "kept", "--seeds", "1,2")
    assert told["outcome"] == "inconclusive" and "toy world" in told["reasons"][0]
    assert [(r["seed"], r["end"]) for r in told["seeds"]] == [(1, "finished"), (2, "finished")]
    kinds = {span["kind"] for span in told["seeds"][0]["phases"]}
    assert {"start-up", "train", "evaluation"} <= kinds
    assert told["seeds"][0]["headline"]["bpb"] > 0 and told["seeds"][0]["artifact_bytes"] > 0
    assert told["hardware"]["toy"] and told["hardware"]["torch"]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gepa_644", "baseline"])
def test_an_export_of_the_reference_finishes(tmp_path: Path, preset: str) -> None:
    place = tmp_path / "export"
    subprocess.run([sys.executable, "-m", "reference_model", "export", "--preset", preset, "--out", str(place)],
                   cwd=ROOT, check=True, capture_output=True)  # fmt: skip
    told = toy(place, tmp_path / "kept")
    (run,) = told["seeds"]
    assert told["outcome"] == "inconclusive" and run["end"] == "finished", run["reason"]
    assert run["headline"] is not None and run["artifact"] == "final_model.golf"
    assert PhaseKind.SERIALISE in [span["kind"] for span in run["phases"]]


def laid_out(number: int, folder: Path) -> list[Path]:
    """The record folders that a pull request adds, from the bare repository."""
    git = os.environ["GOLF_CORPUS_GIT"]

    def ask(*words: str) -> bytes:
        return subprocess.run(["git", "-C", git, *words], check=True, capture_output=True).stdout

    head = f"refs/pull/{number}/head"
    base = ask("merge-base", "refs/heads/main", head).decode().strip()
    names = ask("diff", "--name-only", "--diff-filter=A", base, head, "--", "records").decode().splitlines()
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith((".ptz", ".pt")):  # a copy of the repository may lack its largest files
            path.write_bytes(ask("show", f"{head}:{name}"))
    return sorted({path.parent for path in folder.rglob("train_gpt.py")})


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif("GOLF_CORPUS_GIT" not in os.environ, reason="GOLF_CORPUS_GIT is not set")
@pytest.mark.parametrize("number", SEEDS)
def test_a_seed_of_this_project_ends_with_an_outcome(tmp_path: Path, number: int) -> None:
    places = laid_out(number, tmp_path / "pr")
    assert places
    for index, place in enumerate(places):
        told = toy(place, tmp_path / f"kept{index}")
        (run,) = told["seeds"]
        assert told["outcome"] == "inconclusive" and run["end"] == SeedEnd.FINISHED, run["reason"]
        assert run["headline"] is not None
