"""A script that reckons with the depth of its repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.behaviour.shims import folders
from auditor.behaviour.shims.context import ShimContext


def test_parents_beyond_the_root_are_the_root(ctx: ShimContext) -> None:
    script = Path(ctx.run_dir) / "train_gpt.py"
    real = list(script.parents)
    folders.install(ctx)
    assert script.parents[len(real) + 3] == real[-1] == Path("/")
    assert [script.parents[i] for i in range(len(real))] == real and script.parents[-1] == real[-1]
    assert script.parents[:2] == tuple(real[:2]) and len(script.parents) == len(real)


def test_planted_other_paths_keep_their_end(ctx: ShimContext) -> None:
    folders.install(ctx)
    for path in ("/usr/lib/x", "a/b", ctx.run_dir + "-other/x"):
        with pytest.raises(IndexError):
            Path(path).parents[40]
    ctx.restore()
    with pytest.raises(IndexError):
        (Path(ctx.run_dir) / "x").parents[40]
