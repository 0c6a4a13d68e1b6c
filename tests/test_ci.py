"""The GitHub action, the example workflow and the hook: their lints, and their scripts run as GitHub would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditor import cli_hook

ROOT = Path(__file__).resolve().parent.parent
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "examples/audit-pull-request.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
CHEAT = "fixtures/submissions/prequant_ttt"
HONEST = "fixtures/submissions/honest_score_first_ttt"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tool(name: str) -> str:
    """A linter's program, from the environment of these tests or the PATH; skips where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def steps() -> list[dict[str, Any]]:
    """All steps of the action and of the workflow."""
    return [*read(ACTION)["runs"]["steps"], *read(WORKFLOW)["jobs"]["audit"]["steps"]]


class TestLints:
    """What the linters of workflows say."""

    def test_zizmor_finds_nothing(self) -> None:
        done = subprocess.run([tool("zizmor"), "--offline", "--no-config", "--persona=auditor", ACTION, WORKFLOW],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def test_zizmor_would_notice_a_planted_injection(self, tmp_path: Path) -> None:
        bad = tmp_path / "bad.yml"
        planted = "run: echo ${{ github.event.pull_request.title }}\n      - name: x\n        uses: actions/checkout@"
        bad.write_text(WORKFLOW.read_text().replace("uses: actions/checkout@", planted, 1))
        done = subprocess.run([tool("zizmor"), "--offline", "--no-config", bad], capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode != 0 and "template-injection" in done.stdout

    def test_actionlint_finds_nothing(self) -> None:
        done = subprocess.run([tool("actionlint"), WORKFLOW], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_shellcheck_finds_nothing(self) -> None:
        scripts = sorted((ROOT / "action").glob("*.sh"))
        done = subprocess.run([tool("shellcheck"), *scripts], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and len(scripts) == 2, done.stdout


class TestShape:
    """What must hold whatever linters think."""

    def test_no_expression_stands_in_a_script(self) -> None:
        runs = [step["run"] for step in steps() if "run" in step]
        assert len(runs) == 2 and not [run for run in runs if "${{" in run]

    def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(self) -> None:
        used = re.findall(r"uses: (\S+)(.*)", ACTION.read_text() + WORKFLOW.read_text())
        assert len(used) == 4
        for name, comment in used:
            assert re.search(r"@[0-9a-f]{40}$", name) and re.search(r"# v\d+\.\d+\.\d+", comment), name

    def test_the_workflow_needs_no_secret_and_can_only_read(self) -> None:
        flow = read(WORKFLOW)
        assert list(flow[True]) == ["pull_request"], "yaml reads the key `on` as true; pull_request_target has secrets"
        assert flow["permissions"] == {} and flow["jobs"]["audit"]["permissions"] == {"contents": "read"}
        assert "secrets." not in WORKFLOW.read_text()
        [checkout] = [s for s in flow["jobs"]["audit"]["steps"] if "checkout" in s.get("uses", "")]
        assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}

    def test_what_the_workflow_hands_over_and_takes_the_action_knows(self) -> None:
        action = read(ACTION)
        [call] = [s for s in read(WORKFLOW)["jobs"]["audit"]["steps"] if s.get("id") == "audit"]
        assert set(call["with"]) <= set(action["inputs"])
        assert set(re.findall(r"steps\.audit\.outputs\.([a-z-]+)", WORKFLOW.read_text())) <= set(action["outputs"])

    def test_the_script_reads_what_the_action_sets_and_writes_what_it_promises(self) -> None:
        script = (ROOT / "action/audit.sh").read_text()
        [audit] = [s for s in read(ACTION)["runs"]["steps"] if s.get("id") == "audit"]
        assert all(f"${{{name}:-" in script for name in audit["env"])
        outputs = read(ACTION)["outputs"]
        assert all(f"printf '{name}=%s" in script for name in outputs)


class Runner:
    """`action/audit.sh` in a folder of its own, with the files that GitHub gives a step."""

    def __init__(self, place: Path) -> None:
        self.place = place
        program = place / "golf-audit"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m auditor.cli "$@"\n')
        program.chmod(0o755)
        self.env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GOLF_AUDIT": str(program), "RUNNER_TEMP": str(place),
            "GITHUB_OUTPUT": str(place / "output"), "GITHUB_STEP_SUMMARY": str(place / "summary"),
        }  # fmt: skip

    def run(self, path: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", ROOT / "action/audit.sh"], cwd=ROOT, env={**self.env, "GOLF_PATH": path, **env},
                              capture_output=True, text=True, check=False)  # fmt: skip

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.place / "output").read_text().splitlines())

    @property
    def summary(self) -> str:
        return (self.place / "summary").read_text()


class TestAction:
    """The action's script, run here."""

    @pytest.mark.slow
    def test_a_cheat_fails_the_step_with_annotations_summary_and_reports(self, tmp_path: Path) -> None:
        runner = Runner(tmp_path)
        done = runner.run(CHEAT)
        assert done.returncode == 1, done.stderr
        first = done.stdout.splitlines()[0]
        assert first.startswith("::error title=golf-audit%3A NON-COMPLIANT::") and "file=fixtures/" in done.stdout
        assert runner.summary.startswith("## golf-audit: NON-COMPLIANT")
        reports = Path(runner.outputs["report-dir"])
        assert runner.outputs["exit-code"] == "1" and runner.outputs["verdict"] == "non_compliant"
        assert json.loads((reports / "golf-audit.sarif").read_text())["version"] == "2.1.0"
        assert (reports / "golf-audit.html").read_text().startswith("<!DOCTYPE html>")
        assert json.loads((reports / "golf-audit.json").read_text())["verdict"] == "non_compliant"

    @pytest.mark.slow
    def test_the_verdict_that_fails_is_chosen_and_a_lesser_one_is_still_told(self, tmp_path: Path) -> None:
        runner = Runner(tmp_path)
        assert runner.run("fixtures/submissions/packed_prequant", GOLF_FAIL_ON="non_compliant").returncode == 1
        runner = Runner(tmp_path)
        done = runner.run(HONEST, GOLF_REPORTS=str(tmp_path / "own"))
        assert done.returncode == 0 and runner.outputs["verdict"] == "no_violation_found"
        assert runner.outputs["report-dir"] == str(tmp_path / "own")

    def test_where_no_audit_can_be_made_the_step_fails_and_says_so(self, tmp_path: Path) -> None:
        runner = Runner(tmp_path)
        empty = tmp_path / "##[error]x"
        empty.mkdir()
        done = runner.run(str(empty))
        assert done.returncode == 2 and runner.outputs["verdict"] == ""
        assert "no audit could be made (exit code 2)" in runner.summary and "no submission" in runner.summary
        lines = done.stdout.splitlines()
        [at] = [n for n, line in enumerate(lines) if "##[error]x" in line]
        stop = lines[at - 1].removeprefix("::stop-commands::")
        assert re.fullmatch(r"[0-9a-f]{32}", stop) and lines[at + 1] == f"::{stop}::", "GitHub reads no command in it"

    def test_a_report_that_lies_there_already_is_not_taken_for_this_audit(self, tmp_path: Path) -> None:
        reports, outside = tmp_path / "reports", tmp_path / "outside"
        reports.mkdir()
        (reports / "golf-audit.json").write_text('{\n "verdict": "no_violation_found",\n}\n')
        (reports / "golf-audit.md").write_text("## golf-audit: NO VIOLATION FOUND\n")
        outside.write_text("mine\n")
        (reports / "golf-audit.stderr").symlink_to(outside)
        runner = Runner(tmp_path)
        done = runner.run(str(tmp_path / "nowhere"), GOLF_REPORTS=str(reports))
        assert done.returncode == 2 and runner.outputs["verdict"] == ""
        assert "no audit could be made (exit code 2)" in runner.summary and "VIOLATION" not in runner.summary
        assert outside.read_text() == "mine\n"

    @pytest.mark.slow
    def test_a_strangers_reasons_silence_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "pr"
        shutil.copytree(ROOT / CHEAT, folder)
        [script] = folder.rglob("train_gpt.py")
        allowed = '[[allow]]\nrule = "ttt-pre-quant"\nreason = "trust me"\n'
        (script.parent / "golf-audit.toml").write_text(allowed)
        assert Runner(tmp_path).run(str(folder)).returncode == 1
        runner = Runner(tmp_path)
        runner.run(str(folder), GOLF_SUPPRESSIONS="true")
        assert runner.outputs["verdict"] != "non_compliant"


class TestHook:
    """`golf-audit-hook`, which pre-commit calls with the names of files."""

    def test_the_hook_is_declared_as_it_is_installed(self) -> None:
        [hook] = read(HOOKS)
        scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        assert scripts[hook["entry"]] == "auditor.cli_hook:main"
        options, files = cli_hook.split([*hook["args"], "records/a/b.py"])
        assert options == hook["args"] and files == ["records/a/b.py"]
        assert re.search(hook["files"], "records/track_x/a/train_gpt.py") and not re.search(hook["files"], "data/x")

    def test_files_lead_to_their_folders(self) -> None:
        files = ["records/track_10min_16mb/a/train_gpt.py", "records/track_10min_16mb/a/logs/x.log", "README.md",
                 "records/track_10min_16mb/README.md", "records/b/train.log", "x/records/track_y/c/s.json"]  # fmt: skip
        assert cli_hook.folders(files) == ["records/b", "records/track_10min_16mb/a", "x/records/track_y/c"]

    @pytest.mark.slow
    def test_it_refuses_a_cheat_and_lets_an_honest_one_pass(self) -> None:
        arguments = ["--no-probe", "--fail-on", "non_compliant"]
        cheat = [str(p.relative_to(ROOT)) for p in (ROOT / CHEAT).rglob("*") if p.is_file()]
        honest = [str(p.relative_to(ROOT)) for p in (ROOT / HONEST).rglob("*") if p.is_file()]
        run = [sys.executable, "-c", "from auditor.cli_hook import main; main()", *arguments]
        for files, code in ((cheat, 1), (honest, 0), ([*honest, *cheat], 1), (["records/gone/x.py"], 0), ([], 0)):
            done = subprocess.run([*run, *files], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stdout[-2000:] + done.stderr
