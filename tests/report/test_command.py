"""The formats as the command gives them: to the terminal, to files, on machines and folders as users have them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.test_any_report import SARIF, Page

ROOT = Path(__file__).resolve().parents[2]
CHEAT = ROOT / "fixtures/submissions/prequant_ttt"


def audit(*arguments: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """One audit without a probe, piped."""
    command = [sys.executable, "-m", "auditor.cli", *map(str, arguments), "--no-probe"]
    return subprocess.run(command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **env}, capture_output=True,
                          text=True, check=False)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cheat's report in each format, written twice by one command each."""
    place = tmp_path_factory.mktemp("reports")
    for number in "12":
        formats = [f"--format={name}={place}/{number}.{name}" for name in ("sarif", "html", "github")]
        assert audit(CHEAT, *formats).returncode == 1
    return place


def test_the_same_submission_gives_the_same_bytes(files: Path) -> None:
    for name in ("sarif", "html", "github"):
        assert (files / f"1.{name}").read_bytes() == (files / f"2.{name}").read_bytes(), name


def test_sarif_of_a_real_audit_satisfies_the_schema_and_points_into_the_repository(files: Path) -> None:
    told = json.loads((files / "1.sarif").read_text())
    SARIF.validate(told)
    [run] = told["runs"]
    first = run["results"][0]
    place = first["locations"][0]["physicalLocation"]
    assert first["ruleId"] == "ttt-pre-quant" and first["level"] == "error" and first["codeFlows"]
    assert (ROOT / place["artifactLocation"]["uri"]).name == "train_gpt.py"
    assert (ROOT / place["artifactLocation"]["uri"]).is_file()
    line = (ROOT / place["artifactLocation"]["uri"]).read_text().splitlines()[place["region"]["startLine"] - 1]
    assert place["region"]["snippet"]["text"] == line and "opt.step()" in line
    assert len(run["tool"]["driver"]["rules"]) > 50


def test_the_page_of_a_real_audit_says_that_nothing_ran_and_shows_the_line(files: Path) -> None:
    page = Page((files / "1.html").read_text())
    text = "".join(page.words)
    assert "The behaviour witness did not run: --no-probe was given." in text and not page.faults
    assert "opt.step()" in text and "ttt_adapt(args, model, val_tokens, log0)" in text, "the finding and its path"
    assert "train_seed1337.log" in text and "15,419,669" in text and "600.0 of 600 s" in text


def test_no_file_names_a_folder_of_this_machine(files: Path) -> None:
    for name in ("sarif", "html", "github"):
        assert str(ROOT) not in (files / f"1.{name}").read_text(), name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begins"), [("html", "<!DOCTYPE html>"), ("sarif", "{\n"), ("github", "::error ")])
def test_a_format_goes_to_the_terminal_too(name: str, begins: str) -> None:
    done = audit(CHEAT, "--format", name, PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and done.stdout.startswith(begins) and not done.stderr


def test_hostile_names_and_lines_are_shown_as_text(tmp_path: Path) -> None:
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_<script>alert(1)<"
    folder.mkdir(parents=True)
    source = next(CHEAT.rglob("train_gpt.py"))
    for file in source.parent.iterdir():
        text = file.read_text(encoding="utf-8").replace("ttt:epoch", "ttt:epoch <script>alert(2)</script>")
        name = file.name.replace("train_seed42", "train_seed42<img src=x onerror=alert(3)>\n::error::x")
        (folder / name).write_text(text, encoding="utf-8")
    side = ("--format", "github=a.txt", "--format", "sarif=a.sarif")
    page = Page(audit(folder, "--format", "html", *side, cwd=tmp_path).stdout)
    shown = "".join(page.words)
    assert not page.tags & {"script", "img"} and not page.faults
    assert "<script>alert(1)<" in shown and "<script>alert(2)</script>" in shown and "<img src=x onerror" in shown
    annotated = (tmp_path / "a.txt").read_text().splitlines()
    assert len(annotated) > 2 and all(line.startswith(("::error ", "::warning ", "::notice ")) for line in annotated)
    SARIF.validate(json.loads((tmp_path / "a.sarif").read_text()))
