"""The environment of a run: what a requirements file may ask for, and a set-up that fails offline."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.rerun import environment
from auditor.rerun.environment import SetupError, interpreter
from auditor.rerun.facts import RunOutcome, SeedEnd
from auditor.rerun.outcome import judge
from tests.rerun.planted import BEGIN, FINISHES, options, plant, run


def wheel(folder: Path, name: str, text: str) -> None:
    """A wheel with one module, made by hand."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": text, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        for path, content in files.items():
            file.writestr(path, content)


def planned(folder: Path, text: str, wheels: Path | None = None, install: bool = True) -> environment.EnvironmentPlan:
    (folder / "requirements.txt").write_text(text)
    return environment.plan(folder, interpreter(None), wheels, install)


@pytest.mark.parametrize("line", [
    "numpy", "torch==2.9.1", "sentencepiece>=0.2,<0.3", "huggingface-hub[cli] ~= 0.24", "brotli ; python_version > '3'",
    "--extra-index-url https://download.pytorch.org/whl/cu128", "--find-links https://example.org/wheels",
    "https://example.org/flash_attn_3-3.0-cp39-abi3-linux_x86_64.whl", "fa @ https://example.org/fa-1.0-py3-none-any.whl",
])  # fmt: skip
def test_plain_packages_and_wheels_are_taken(tmp_path: Path, line: str) -> None:
    found = planned(tmp_path, f"# these\n{line}  # why\n\n")
    assert (found.lines, found.problem) == ((line,), "")


@pytest.mark.parametrize("line", [
    "-e .", "./package", "git+https://example.org/x.git", "x @ git+https://example.org/x", "https://example.org/x.tar.gz",
    "http://example.org/x.whl", "--index-url http://example.org", "-r other.txt", "x; rm -rf /\nname $(id)", "--pre",
    "file:///etc/passwd", "x --global-option=y", "--trusted-host example.org",
])  # fmt: skip
def test_what_would_run_code_or_leave_https_is_refused(tmp_path: Path, line: str) -> None:
    found = planned(tmp_path, f"numpy\n{line}\n")
    assert "requirements.txt:" in found.problem and "--no-install" in found.problem


def test_offline_no_index_is_asked(tmp_path: Path) -> None:
    found = planned(tmp_path, "--extra-index-url https://example.org/x\nnumpy\n", tmp_path)
    assert found.lines == ("numpy",) and "left out" in found.notes[0]
    assert planned(tmp_path, "fa @ https://example.org/fa-1.0-py3-none-any.whl", tmp_path).problem


def test_without_installation_the_present_environment_serves(tmp_path: Path) -> None:
    assert planned(tmp_path, "-e .\n", install=False).problem == ""
    python = interpreter(None)
    made = environment.build(planned(tmp_path, "-e .\n", install=False), python, tmp_path / "e", tmp_path / "log")
    assert made == python and not (tmp_path / "e").exists()


def test_an_interpreter_is_asked_for_what_it_is_made_of(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.symlink_to(Path(sys.executable).resolve())
    assert sys.base_prefix in interpreter(other).prefixes
    with pytest.raises(SetupError, match="--python"):
        interpreter(tmp_path / "none")


@pytest.mark.slow
def test_a_set_up_that_fails_offline_is_said_with_pip_s_own_words(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    place = plant(tmp_path, FINISHES, requirements_txt="no-such-package-anywhere==7\n")
    done = run(place, options(tmp_path / "kept", wheels=tmp_path / "wheels"))
    assert done.record.seeds == () and not done.fresh
    assert "no-such-package-anywhere" in done.record.setup_error
    assert judge(done.record, load_submission(place)).outcome is RunOutcome.SETUP_FAILED
    assert "no-such-package-anywhere" in (tmp_path / "kept/setup.log").read_text()


@pytest.mark.slow
def test_a_wheel_is_installed_for_the_run_alone(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "planted_helper", "VALUE = 3\n")
    place = plant(tmp_path, BEGIN + "import planted_helper, numpy\nprint('value', planted_helper.VALUE)\n",
                  requirements_txt="planted_helper\n")  # fmt: skip
    done = run(place, options(tmp_path / "kept", wheels=tmp_path / "wheels"))
    assert done.record.seeds[0].end is SeedEnd.FINISHED, done.record
    assert "value 3" in (tmp_path / "kept/seed42.log").read_text()
    with pytest.raises(ImportError):
        __import__("planted_helper")


def test_a_line_that_is_refused_starts_nothing(tmp_path: Path) -> None:
    place = plant(tmp_path, FINISHES, requirements_txt="-e .\n")
    done = run(place, options(tmp_path / "kept"))
    assert done.record.seeds == () and "'-e .' is no plain package" in done.record.setup_error
