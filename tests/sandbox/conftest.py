"""A scratch folder that the guest's user may write, for root too, and that is removed whatever the guest left in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.sandbox import Scratch


@pytest.fixture
def scratch() -> Iterator[Path]:
    with Scratch() as folder:
        yield folder.path
