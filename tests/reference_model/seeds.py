"""The scripts of the seeds, run in the audit's sandbox for comparison. Needs GOLF_CORPUS_GIT; nothing of them is kept.

A script's text may be edited before it runs (say, to call one function instead of training), files may be laid beside
it, and what it writes into its folder comes back as bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from tests.benchmarks.corpus_git import Corpus, Folder

MARKS = [
    pytest.mark.corpus,
    pytest.mark.skipif(not os.environ.get("GOLF_CORPUS_GIT"), reason="GOLF_CORPUS_GIT names no repository"),
]
SEEDS: dict[str, tuple[int, str]] = {
    "gepa_644": (644, ""),
    "gepa_598": (598, ""),
    "int5_861": (861, ""),
    "muon_ttt_1406": (1406, "MuonTTT"),
    "selfgen_1406": (1406, "ARSelfGenGPTQ"),
    "recur_1406": (1406, "DepthRecurrence"),
}
"""Preset (or our name for the folder) to pull request and a part of the folder's name."""
MAIN = 'if __name__ == "__main__":'


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left."""

    ended: bool
    failure: str
    env: Mapping[str, str]
    files: dict[str, bytes] = field(default_factory=dict)
    """Of those asked for, the ones that the script wrote."""


def run(
    name: str,
    room: Path,
    *,
    edit: Callable[[str], str] = lambda text: text,
    given: Mapping[str, bytes] | None = None,
    wanted: tuple[str, ...] = (),
    wall_seconds: float = 120.0,
) -> Ran:
    """Run the script of seed ``name`` (`SEEDS`) at toy scale, its text changed by ``edit``.

    ``given``: files to lay in its folder; ``wanted``: files of its folder to bring back; ``room``: a folder for ours.
    """
    pr, part = SEEDS[name]
    corpus = Corpus(Path(os.environ["GOLF_CORPUS_GIT"]))
    try:
        [folder] = [found for found in corpus.folders(pr) if part in found.path]
        submission = load_submission(corpus.lay_out(Folder(pr, folder.path), room / name))
    finally:
        corpus.close()
    plan = make_plan(submission)
    plan = replace(plan, files={**plan.files, plan.script: edit(plan.files[plan.script])})
    world = make_world(plan.world)
    with Session(submission, plan, world) as session:
        for path, data in (given or {}).items():
            (session.base / "run" / path).write_bytes(data)
        log = session.run(world.val, wall_seconds)
        left = session._scratch.path / "work" / "golf" / "run"
        files = {path: (left / path).read_bytes() for path in wanted if (left / path).is_file()}
    return Ran(log.ended, "" if log.ended else str(log.failure()), plan.env, files)


def instead_of_main(code: str) -> Callable[[str], str]:
    """An edit: the script's definitions, then ``code`` where it would call ``main``."""
    return lambda text: text.rpartition(MAIN)[0] + code
