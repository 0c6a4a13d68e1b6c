"""A context whose events are kept, and whose patches are undone after the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.shims.context import ShimContext


class Events(list[tuple[str, dict[str, Any]]]):
    """What was emitted, in order."""

    def take(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.append((kind, dict(fields)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self if name == kind]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def ctx(tmp_path: Path, events: Events) -> Iterator[ShimContext]:
    context = ShimContext(emit=events.take, run_dir=str(tmp_path))
    yield context
    context.restore()
