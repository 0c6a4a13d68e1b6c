from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write files below records/track_10min_16mb/2026-01-01_Sample and return that folder."""

    def write(files: dict[str, str | bytes]) -> Path:
        root = tmp_path / "records" / "track_10min_16mb" / "2026-01-01_Sample"
        root.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write
