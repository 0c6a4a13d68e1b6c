"""``golf-audit doctor``: what it says of this machine, and of machines that lack something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from auditor import doctor
from auditor.core.types import Witness
from auditor.doctor import Ability, Fact
from auditor.sandbox import Detection, Level

ROOT = Path(__file__).resolve().parent.parent
BARE = Detection(Level.NONE, "bubblewrap is not installed", "apt-get install bubblewrap (Debian, Ubuntu)")
FULL = Detection(Level.BUBBLEWRAP, "tried: it isolates this interpreter", tool_version="0.8.0")


def behaviour(torch: Fact, found: Detection) -> Ability:
    return next(a for a in doctor.abilities(torch, found) if a.witness == Witness.BEHAVIOUR)


def test_behaviour_needs_torch_and_a_sandbox() -> None:
    there, missing = Fact("torch", "2.9.0"), Fact("torch", None)
    assert behaviour(there, FULL) == Ability("behaviour", True)
    assert behaviour(missing, FULL).reason == "torch is not installed"
    assert "--unsandboxed" in behaviour(there, BARE).reason and not behaviour(there, BARE).able
    assert "torch" in behaviour(missing, BARE).reason and "bubblewrap" in behaviour(missing, BARE).reason


def test_a_rerun_needs_a_gpu_to_be_made_and_none_to_be_heard() -> None:
    def rerun(gpu: Fact) -> Ability:
        return next(a for a in doctor.abilities(Fact("torch", None), BARE, gpu) if a.witness == Witness.RERUN)

    assert rerun(Fact("gpu", "8 x H100")) == Ability("rerun", True)
    assert not rerun(Fact("gpu", None)).able and "--rerun-record" in rerun(Fact("gpu", None)).reason


def test_a_bare_machine_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "detect", lambda: BARE)
    monkeypatch.setattr(doctor, "torch", lambda: Fact("torch", None, hint=doctor.INSTALL_TORCH))
    monkeypatch.setenv("PATH", str(tmp_path))
    text = doctor.as_text(doctor.examine())
    for said in ("golf-audit[torch]", "apt-get install bubblewrap", "install git", "gpu           none"):
        assert said in text
    assert max(map(len, text.splitlines())) <= 80


def test_memory_is_read_and_little_of_it_noted(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable: 1048576 kB\n")
    fact = doctor.memory(tmp_path / "meminfo")
    assert (fact.value, fact.note) == ("8.0 GiB", "1.0 GiB available") and "2 GiB" in fact.hint
    assert doctor.memory(tmp_path / "nothing").value is None


def test_a_program_that_fails_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.gpus().value is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'Toy GPU, 1024 MiB'\n")
    assert doctor.gpus().value == "Toy GPU, 1024 MiB"


def test_the_command_prints_both_forms_and_does_not_load_torch() -> None:
    code = (
        "import sys; from auditor import cli\n"
        "try: cli.main(['doctor', '--format', 'json'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [w["witness"] for w in seen["witnesses"]] == [w.value for w in Witness]
    wrong = subprocess.run([sys.executable, "-m", "auditor.cli", "doctor", "--format", "html"], cwd=ROOT,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert wrong.returncode == 2 and "text or json" in wrong.stderr
