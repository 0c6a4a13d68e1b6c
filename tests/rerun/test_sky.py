"""The SkyPilot task file: what it says, that names cannot break out of it, and that the real package takes it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.core.submission import Submission
from auditor.rerun.options import Options, TimeLimits
from auditor.rerun.sky import RECORD, task
from tests.rerun.on_disk import submission
from tests.support import make_submission

SKY = os.environ.get("GOLF_SKY_PYTHON") or (sys.executable if importlib.util.find_spec("sky") else "")
"""An interpreter that has skypilot: it wants older packages than ours, so usually one of its own."""
ASKED = Options(seeds=(42, 7), limits=TimeLimits(train=300.0), install=False, unsandboxed=True, launcher="torchrun")
READ = """
import csv, json, os, sys
from sky.catalog import constants
top = os.path.expanduser("~/.sky/catalogs/" + constants.CATALOG_SCHEMA_VERSION + "/common")
os.makedirs(top, exist_ok=True)
with open(top + "/accelerators.csv", "w", newline="") as file:
    csv.writer(file).writerows([("AcceleratorName", "Clouds"), ("H100", "['AWS', 'GCP']"), ("H100-SXM", "['RunPod']")])
import sky
for path in sys.argv[1:]:
    task = sky.Task.from_yaml(path)
    task.validate()
    print("TASK " + json.dumps({
        "name": task.name, "nodes": task.num_nodes, "setup": task.setup, "run": task.run, "mounts": task.file_mounts,
        "envs": task.envs, "gpus": [r.accelerators for r in task.resources],
        "idle": [r.autostop_config.idle_minutes for r in task.resources],
    }))
"""
"""Sky reads the names of accelerators from a list that it fetches; the test brings the two that the file names."""


def block(text: str, key: str) -> str:
    """The shell text below ``key``."""
    found = re.search(rf"^{key}: \|\n((?:  .*\n)+)", text, re.M)
    assert found is not None
    return re.sub(r"^  ", "", found.group(1), flags=re.M)


def words(text: str) -> list[str]:
    """The words of the re-run's command."""
    line = block(text, "run").replace("\\\n", " ").split("&&")[0]
    return shlex.split(line)


def test_the_same_command_is_run_there() -> None:
    said = words(task(submission(), ASKED))
    assert said[1] == "rerun" and said[2].endswith("records/track_10min_16mb/2026-03-25_HonestBaseline")
    assert said[said.index("--seeds") + 1] == "42,7"
    assert said[said.index("--limit-train") + 1] == "300"
    assert said[said.index("--gpus") + 1] == "8"
    assert said[said.index("--keep") + 1].endswith(RECORD)
    assert {"--no-install", "--unsandboxed", "--launcher"} <= set(said)
    assert not {"--toy", "--plan", "--print-sky"} & set(said)


def test_every_option_of_it_is_one_of_the_command() -> None:
    from auditor import cli_rerun

    known = Path(cli_rerun.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r'"(--[a-z-]+)"', known)) | {
        f"--{word.replace('_', '-')}" for word in re.findall(r"^    (\w+): Annotated", known, re.M)
    }
    assert {word for word in words(task(submission(), ASKED)) if word.startswith("--")} <= named


def test_the_record_comes_back_and_the_machine_does_not_run_on() -> None:
    text = task(submission(), Options())
    assert f":{RECORD}/ RECORD/ && golf-audit PR_DIR --rerun-record RECORD" in text
    assert "sky down golf-2026-03-25-honestbaseline" in text and "idle_minutes: 30" in text
    assert 'fetch-data --out "$HOME/golf-data"' in text


@pytest.mark.parametrize(("exported", "variant", "known"), [
    ("./data/datasets/fineweb10B_sp8192", "sp8192", True), ("./data/datasets/fineweb10B_sp1024/x.bin", "sp1024", True),
    ("./data/mine", "sp1024", False),
])  # fmt: skip
def test_the_data_are_those_that_the_script_names(exported: str, variant: str, known: bool) -> None:
    made = make_submission({"train_gpt.py": f'import os\nPATH = os.environ.get("DATA_PATH", "{exported}")\n'})
    text = task(made, Options())
    assert f'VARIANT: "{variant}"' in text
    assert ("a guess" in text) is not known


HOSTILE = [
    "a b", "$(touch owned)", "`touch owned`", "x'; touch owned; '", 'x"; touch owned; "', "a\nb: c", "!!python/x",
    "-rf", "é中", "x" * 300, "#", "...", "a\n  b: |\n  touch owned",
]  # fmt: skip


def hostile(name: str) -> Submission:
    made = make_submission({"train_gpt.py": "print(1)\n"}, name=name)
    return replace(made, root=Path("records") / "t" / name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_s_name_stays_one_word(name: str, tmp_path: Path) -> None:
    """The command is given to a real shell, with its program replaced by one that prints its words."""
    text = task(hostile(name), Options())
    home = tmp_path / "golf" / "bin"
    home.mkdir(parents=True)
    program = home / "golf-audit"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$2" "$3"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", block(text, "run")], cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("**/owned"))
    place = f"{re.escape(str(tmp_path))}/golf-submission/records/track_10min_16mb"
    given = re.match(rf"{place}/([\w.+=@-]{{1,120}})\n--data\n", done.stdout)
    assert given is not None, done.stdout
    assert not given.group(1).startswith((".", "-"))


@pytest.mark.parametrize(("code", "job"), [(0, 0), (1, 0), (10, 0), (11, 0), (2, 2), (3, 3), (130, 130)])
def test_an_answer_is_a_job_that_was_done(code: int, job: int, tmp_path: Path) -> None:
    home = tmp_path / "golf" / "bin"
    home.mkdir(parents=True)
    (home / "golf-audit").write_text(f"#!/bin/sh\nexit {code}\n")
    (home / "golf-audit").chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", block(task(submission(), Options()), "run")], cwd=tmp_path, check=False, timeout=10,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == job and f"ended with {code}" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_shell_texts_parse() -> None:
    text = task(submission(), Options())
    for key in ("setup", "run"):
        subprocess.run(["bash", "-n", "-c", block(text, key)], check=True, timeout=10)


@pytest.mark.slow
@pytest.mark.skipif(not SKY, reason="skypilot is not installed: GOLF_SKY_PYTHON names an interpreter that has it")
def test_the_real_package_takes_it(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    shutil.copytree(submission().root, root)
    paths = []
    for number, made in enumerate((submission(), *map(hostile, HOSTILE))):
        paths.append(tmp_path / f"{number}.sky.yaml")
        paths[-1].write_text(task(replace(made, root=root), ASKED), encoding="utf-8")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    done = subprocess.run(
        [SKY, "-c", READ, *map(str, paths)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TASK ")]
    assert len(read) == len(paths) == 1 + len(HOSTILE)
    for one, path in zip(read, paths, strict=True):
        assert one["nodes"] == 1 and one["idle"] == [30, 30]
        assert sorted(next(iter(g)) for g in one["gpus"]) == ["H100", "H100-SXM"]
        assert {next(iter(g.values())) for g in one["gpus"]} == {8}
        [place] = [key for key, value in one["mounts"].items() if value == str(root)]
        assert re.fullmatch(r"~/golf-submission/records/track_10min_16mb/[\w.+=@-]+", place)
        assert "fetch-data" in one["setup"] and one["run"].strip() == block(path.read_text(), "run").strip()
        assert re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", one["name"])
