"""The committed fixtures are what their writer writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "fixtures"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "build.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_committed_fixtures_are_what_the_blocks_make() -> None:
    done = check(BUILD)
    assert done.returncode == 0, done.stderr


def test_a_changed_fixture_is_noticed(tmp_path: Path) -> None:
    for path in BUILD.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(BUILD / "submissions", tmp_path / "submissions")
    assert check(tmp_path).returncode == 0
    script = next((tmp_path / "submissions" / "slot").rglob("train_gpt.py"))
    script.write_text(script.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "slot" in check(tmp_path).stderr
