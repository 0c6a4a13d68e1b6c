"""The meter of the GPUs, with a planted nvidia-smi on PATH."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from auditor.rerun import meter

FAKE = """#!/bin/sh
case "$1" in
*driver_version*) printf '0, NVIDIA H100 80GB HBM3, 81559, 570.1\\n1, NVIDIA H100 80GB HBM3, 81559, 570.1\\n';;
*) printf '0, 1000, 300.5\\n1, 2000, {watts}\\n';;
esac
"""


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    folder.mkdir()
    path = folder / "nvidia-smi"
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_memory_and_power_while_a_run_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "bin", monkeypatch, FAKE.format(watts="299.5"))
    found = meter.gpus()
    assert [g.name for g in found] == ["NVIDIA H100 80GB HBM3"] * 2 and found[0].memory_bytes == 81559 << 20
    now = time.monotonic()
    with meter.Meter((0, 1), now, every=0.01) as both, meter.Meter((0,), now, every=0.01) as one:
        until = time.monotonic() + 5
        while len(both.samples()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert (both.peak_bytes(), both.mean_watts()) == (2000 << 20, 600.0)
    assert (one.peak_bytes(), one.mean_watts()) == (1000 << 20, 300.5)


HIDDEN = [("1", [1]), ("1,0", [1, 0]), ("7", []), ("", []), ("GPU-ab", [0, 1])]


@pytest.mark.parametrize(("visible", "indices"), HIDDEN)
def test_what_is_hidden_from_cuda_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, indices: list[int]
) -> None:
    plant(tmp_path / "bin", monkeypatch, FAKE.format(watts="1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in meter.gpus()] == indices


def test_power_that_is_not_told_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / "bin", monkeypatch, FAKE.format(watts="[N/A]"))
    with meter.Meter((0, 1), time.monotonic(), every=0.01) as asked:
        until = time.monotonic() + 5
        while not asked.samples() and time.monotonic() < until:
            time.sleep(0.01)
    assert asked.peak_bytes() == 2000 << 20 and asked.mean_watts() is None


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 9\n", "#!/bin/sh\necho no devices were found\n", "#!/no/such\n"])
def test_one_that_fails_shows_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    plant(tmp_path / "bin", monkeypatch, text)
    assert meter.gpus() == ()
    with meter.Meter((0,), time.monotonic(), every=0.01) as asked:
        time.sleep(0.05)
    assert asked.peak_bytes() is None and asked.mean_watts() is None


def test_none_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert meter.gpus() == ()
