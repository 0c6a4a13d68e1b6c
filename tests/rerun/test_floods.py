"""Runs that print or write without end, or that lay links where the harness looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.rerun import launch, seedrun
from auditor.rerun.facts import SeedEnd
from auditor.rerun.seedrun import keep_artifact
from auditor.rerun.watch import Watch, Written, artifact_of
from tests.rerun.planted import BEGIN, FINISHES, options, plant, run


@pytest.mark.slow
def test_a_flood_of_lines_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "MOST_LINES", 2000)
    (one,) = run(plant(tmp_path, BEGIN + "while True:\n    print()\n"), options(tmp_path / "kept")).record.seeds
    assert one.end is SeedEnd.CRASHED and "lines" in one.reason
    assert (tmp_path / "kept/seed42.log").stat().st_size < 1 << 20


def test_a_flood_without_lines_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "MAX_OUTPUT", 3 << 20)
    script = "while True:\n    print('x' * 100_000, end='')\n"
    (one,) = run(plant(tmp_path, script), options(tmp_path / "kept")).record.seeds
    assert one.end is SeedEnd.CRASHED and "MiB" in one.reason


def test_a_folder_that_grows_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seedrun, "MAX_WRITTEN", 1 << 20)
    script = "import time\nopen('x', 'wb').write(bytes(2_000_000))\ntime.sleep(30)\n"
    (one,) = run(plant(tmp_path, script), options(tmp_path / "kept")).record.seeds
    assert one.end is SeedEnd.CRASHED and "wrote more than" in one.reason


def test_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.ptz").write_bytes(b"x" * 10)
    folder = tmp_path / "run"
    folder.mkdir()
    watch = Watch(folder)
    (folder / "a").symlink_to(tmp_path / "secret")
    (folder / "b.ptz").symlink_to(tmp_path / "secret/key.ptz")
    assert watch.look() == [] and watch.written() == []
    for path in ("a/key.ptz", "b.ptz"):
        assert keep_artifact(folder, Written(path, 10, 0), tmp_path / "kept") == ""
    assert not (tmp_path / "kept").exists()


def test_the_artifact_is_the_file_of_the_stated_size_or_the_smallest_packed_one() -> None:
    raw, packed, log = Written("final_model.pt", 100, 1), Written("m.int8.ptz", 20, 2), Written("run.txt", 5, 3)
    other = Written("best.int6.xz", 30, 4)
    assert artifact_of([log, raw, packed, other], (30, 20)) == other
    assert artifact_of([log, raw, packed, other], ()) == packed
    assert artifact_of([log, raw], ()) == raw and artifact_of([log], ()) is None


def test_what_was_shipped_is_not_the_artifact(tmp_path: Path) -> None:
    place = plant(tmp_path, FINISHES.replace("final_model.int8.ptz", "other.ptz"))
    (place / "final_model.ptz").write_bytes(b"shipped")
    (one,) = run(place, options(tmp_path / "kept")).record.seeds
    assert one.artifact == "other.ptz"
