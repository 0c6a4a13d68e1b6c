"""The scripts of the seeds with their text changed, in the audit's sandbox: say, one function instead of training.

Needs GOLF_CORPUS_GIT. Files may be laid beside a script; what it writes into its folder comes back as bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from auditor.behaviour.audit import why_not
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from tests.reference_model.golden import SEEDS
from tests.reference_model.seeds import folder

MARKS = [
    pytest.mark.corpus,
    pytest.mark.skipif(not os.environ.get("GOLF_CORPUS_GIT"), reason="GOLF_CORPUS_GIT names no repository"),
    pytest.mark.skipif(bool(why_not(False)), reason=f"no sandbox: {why_not(False)}"),
]
MAIN = 'if __name__ == "__main__":'
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Left:
    """What a run left."""

    ended: bool
    failure: str
    env: Mapping[str, str]
    files: dict[str, bytes] = field(default_factory=dict)
    """Of those asked for, the ones that the script wrote."""


def run_edited(
    name: str,
    room: Path,
    edit: Callable[[str], str],
    *,
    given: Mapping[str, bytes] | None = None,
    wanted: tuple[str, ...] = (),
    wall_seconds: float = 120.0,
    full_size: bool = False,
) -> Left:
    """Run the script of the preset ``name`` (`golden.SEEDS`) at toy scale, its text changed by ``edit``.

    ``given``: files to lay in its folder; ``wanted``: files of its folder to bring back; ``room``: a folder for ours.
    ``full_size``: the text as it was submitted, its constants not made smaller, and bfloat16 as it is.
    """
    submission = load_submission(folder(*SEEDS[name][:2], room))
    plan = make_plan(submission)
    assert plan is not None and submission.entry is not None
    text = submission.entry.text if full_size else plan.files[plan.script]
    plan = replace(plan, files={**plan.files, plan.script: edit(text)})
    world = make_world(plan.world)
    with Session(submission, plan, world, real_bfloat16=full_size) as session:
        for path, data in (given or {}).items():
            (session.base / "run" / path).write_bytes(data)
        log = session.run(world.val, wall_seconds)
        files = {}
        for path in wanted:
            try:
                files[path] = session._scratch.read(f"work/golf/run/{path}", MOST_BYTES)
            except FileNotFoundError:
                continue
    return Left(log.ended, "" if log.ended else f"{log.failure()} {log.finished}", plan.env, files)


def instead_of_main(code: str) -> Callable[[str], str]:
    """An edit: the script's definitions, then ``code`` where it would call ``main``."""
    return lambda text: text.rpartition(MAIN)[0] + code
