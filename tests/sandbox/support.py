"""What the tests of the sandbox share: is there one here, and how a guest's script is run."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from auditor.sandbox import Bind, Detection, Level, Limits, Result, detect, process, run

needs_bubblewrap = pytest.mark.skipif(
    detect().level is Level.NONE, reason=f"no isolation on this machine: {detect().reason}"
)
SHORT = Limits(wall_seconds=20, cpu_seconds=10)


def guest(scratch: Path, script: str, *arguments: object, limits: Limits = SHORT, **options: Any) -> Result:
    """Run a script inside, with ``scratch`` as /golf, the script's arguments as text."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return run(command, binds=[Bind(scratch, "/golf", writable=True)], limits=limits, **options)


def no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this machine isolates nothing."""
    monkeypatch.setattr(process, "detect", lambda: Detection(Level.NONE, "switched off by a test", "switch it on"))
