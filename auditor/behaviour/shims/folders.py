"""Parents of the script's folder: a submission lies several folders deep in its repository, here it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditor.behaviour.shims.context import ShimContext


def install(ctx: ShimContext) -> None:
    """Let ``Path(__file__).resolve().parents[3]`` beyond the root be the root, for paths below the script's folder."""
    kind: Any = type(Path(ctx.run_dir).parents)
    original = kind.__getitem__

    def parent(self: Any, index: Any) -> Any:
        if isinstance(index, int) and index >= len(self) > 0 and _below(str(self[0]), ctx.run_dir):
            return original(self, len(self) - 1)
        return original(self, index)

    ctx.patch(kind, "__getitem__", parent)


def _below(folder: str, run_dir: str) -> bool:
    return folder == run_dir or folder.startswith(run_dir.rstrip("/") + "/")
