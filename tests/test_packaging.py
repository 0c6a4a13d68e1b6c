"""The wheel has everything it needs: it installs elsewhere, and audits outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HONEST = ROOT / "fixtures/submissions/honest_baseline/records/track_10min_16mb/2026-03-25_HonestBaseline"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout on the path; a failure shows its output."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT, cwd=out)
    [path] = out.glob("golf_audit-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_packages_rules_and_schema_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"auditor/report/schema/report-v1.json", "auditor/sandbox/etc/passwd"} <= set(names)
    assert {"auditor/report/templates/report.html.j2", "auditor/report/templates/style.css"} <= set(names)
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "rules").rglob("*.*") if "__pycache__" not in p.parts}
    assert {name for name in names if name.startswith("rules/")} == ours
    assert "reference_model/presets/gepa_644.toml" in names
    packages = {name.split("/")[0] for name in names if not name.startswith("golf_audit-")}
    assert packages == {"auditor", "rules", "reference_model"}


@pytest.mark.slow
def test_it_installs_and_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(place / "bin/python", "-m", "pip", "install", "--quiet", *constraints, wheel, cwd=tmp_path)
    done = run(place / "bin/golf-audit", HONEST, "--format", "json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["verdict"] == "no_violation_found"
    known = run(place / "bin/golf-audit", "rules", cwd=tmp_path).stdout
    assert all(result["rule"] in known for result in document["results"])
    page = run(place / "bin/golf-audit", HONEST, "--no-probe", "--format", "html", cwd=tmp_path).stdout
    assert page.startswith("<!DOCTYPE html>") and "<svg" in page and "prefers-color-scheme" in page
    where = run(place / "bin/python", "-c", "import auditor; print(auditor.__file__)", cwd=tmp_path).stdout
    assert str(place) in where


def test_constraints_pin_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {d.split(">")[0].split("=")[0] for d in asked} <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
    assert not [d for d in project["dependencies"] if d.startswith("torch")]
