"""``golf-audit rerun`` as its users give it: plans, wrong usage, output that is piped, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from auditor import cli, cli_rerun
from auditor.rerun import meter, plan
from auditor.sandbox import Detection, Level
from tests.rerun.planted import BEGIN, FINISHES, ISOLATED, plant
from tests.rerun.test_data import shard

ROOT = Path(__file__).resolve().parent.parent
OPEN = [] if ISOLATED else ["--unsandboxed"]


def call(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["rerun", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "gpus", lambda: ())


def test_a_plan_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, keep = plant(tmp_path, "raise SystemExit('it ran')\n", requirements_txt="numpy\n"), tmp_path / "kept"
    code, out, err = call(place, "--plan", "--gpus", "0", "--keep", keep, *OPEN, capsys=capsys)
    assert (code, err) == (0, "") and not keep.exists()
    assert "python train_gpt.py" in out and "42, 314, 2025" in out and "wheels only" in out
    assert max(len(line) for line in out.splitlines()) <= 80 and "\x1b" not in out


def test_a_plan_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = plant(tmp_path, FINISHES.replace("1337", "7"))
    (place / "README.md").write_text(
        "# x\n## Reproduce\n```bash\nDATA_PATH=/w/data/datasets/fineweb10B_sp1024/ MUON_WD=0.04 torchrun "
        "--standalone --nproc_per_node=8 train_gpt.py\n```\n"
    )
    for split in ("train", "val"):
        shard(tmp_path / f"d/datasets/fineweb10B_sp1024/fineweb_{split}_000000.bin")
    code, out, _ = call(place, "--plan", "--gpus", "0", "--launcher", "torchrun", "--seeds", "1,2",
                        "--data", tmp_path / "d", "--format", "json",
                        "--limit-eval", "5000", *OPEN, capsys=capsys)  # fmt: skip
    told = json.loads(out)
    assert code == 0 and told["seeds"] == [1, 2] and told["limits"]["evaluation"] == 5000
    assert told["command"][1:] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", "train_gpt.py"]
    settings = {s["name"]: s for s in told["settings"]}
    assert settings["DATA_PATH"]["value"] == "./data/datasets/fineweb10B_sp1024"
    assert "README.md" in settings["MUON_WD"]["origin"]
    assert told["data"]["datasets"][0]["train_tokens"] == 100 and told["problems"] == []


@pytest.mark.parametrize(("arguments", "says"), [
    (["--seeds", "a"], "--seeds takes"), (["--seeds", "1,,2"], "--seeds takes"), (["--seeds", "-1"], "--seeds takes"),
    (["--gpus", "-2"], "--gpus takes"), (["--gpus", "999"], "--gpus takes"), (["--grace", "nan"], "--grace takes"),
    (["--limit-train", "0"], "--limit-train takes"), (["--format", "html"], "rerun prints text or json"),
    (["--data", "/no/such"], "--data /no/such is no folder"), (["--wheels", "/no"], "--wheels /no is no folder"),
    (["--keep", __file__], "is a file"), (["--launcher", "mpirun"], "--launcher takes"),
    (["--toy", "--gpus", "8"], "--toy takes no --gpus"), (["--gpus", "0", "--python", "/no/such"], "--python /no/such"),
    (["--gpus", "0", "--keep", "/proc/no/such"], "cannot be written"),
])  # fmt: skip
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, out, err = call(plant(tmp_path, FINISHES), *arguments, *OPEN, capsys=capsys)
    assert code == 2 and out == "" and says in err
    assert "Traceback" not in err


def test_no_submission_and_no_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys=capsys)[0] == 2
    assert call(tmp_path / "none", "--gpus", "0", capsys=capsys)[0] == 2
    place = plant(tmp_path, FINISHES)
    (place / "train_gpt.py").unlink()
    code, _, err = call(place, "--gpus", "0", capsys=capsys)
    assert code == 2 and "no script" in err


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_without_a_gpu_says_what_can_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(plant(tmp_path, FINISHES), capsys=capsys)
    assert code == 2 and "--toy" in err and "--gpus 0" in err


def test_nothing_runs_where_nothing_isolates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "detect", lambda: Detection(Level.NONE, "bubblewrap is not installed", "install it"))
    place = plant(tmp_path, FINISHES)
    code, _, err = call(place, "--gpus", "0", "--keep", tmp_path / "kept", capsys=capsys)
    assert code == 2 and "nothing isolates" in err and "--unsandboxed" in err
    assert not (tmp_path / "kept").exists()


def test_the_result_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = plant(tmp_path, FINISHES)
    code, out, err = call(place, "--gpus", "0", "--seeds", "42,7", "--keep", tmp_path / "k", "--format", "json", *OPEN,
                          capsys=capsys)  # fmt: skip
    told = json.loads(out)
    assert (code, told["outcome"]) == (11, "inconclusive") and told["reasons"]
    assert sum(p["seconds"] for p in told["phases"]) == pytest.approx(told["seconds_total"], rel=0.02)
    assert {"set-up", "start-up", "warm-up", "train", "serialise"} <= {p["name"] for p in told["phases"]}
    measured = {c["kind"]: c["measured"] for c in told["claims"]}
    assert measured["bytes_total"] == 5000 + len(FINISHES)
    assert told["record"] == str(tmp_path / "k") and told["hardware"]["gpus"] == []
    assert [s["seed"] for s in told["seeds"]] == [42, 7]
    assert "golf-audit: rerun: seed 42:" in err and "\x1b" not in err


def test_what_a_script_prints_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = BEGIN + "print('\\x1b[2J\\x1b]0;owned\\x07 \\u202e')\nraise SystemExit('\\x1b[31mred')\n"
    code, out, err = call(plant(tmp_path, script), "--gpus", "0", "--seeds", "1", "--keep", tmp_path / "k", "--verbose",
                          *OPEN, capsys=capsys)  # fmt: skip
    assert code == 10 and "\x1b" not in out + err and "\u202e" not in out + err
    assert "owned" in err


@pytest.mark.slow
def test_it_is_piped_to_a_reader_who_leaves(tmp_path: Path) -> None:
    place = plant(tmp_path, FINISHES)
    line = [sys.executable, "-m", "auditor.cli", "rerun", str(place), "--plan", "--gpus", "0", *OPEN]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    shell = " ".join(line) + " | head -n 1; echo ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0" and done.stderr == ""


def test_every_option_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    options = set(re.findall(r'"(--[a-z-]+)"', Path(cli_rerun.__file__).read_text()))
    others = set(cli_rerun.rerun.__annotations__) - {"path", "form", "return"}
    options |= {f"--{name.replace('_', '-')}" for name in others}
    assert not {option for option in options if option not in text}


def test_a_plan_says_what_the_claim_would_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = plant(tmp_path, FINISHES)
    (place / "train_seed1337.log").write_text(
        "seed:1337\nstep:1/2 train_loss:3 train_time:1000ms\nstep:2/2 train_loss:3 train_time:12509000ms\n"
        "final val_loss:2.07 val_bpb:1.2276\n"
    )
    _, out, _ = call(place, "--plan", "--gpus", "0", *OPEN, capsys=capsys)
    said = " ".join(out.split())
    assert "trained for 12,509 s: --limit-train 12509" in said and "--seeds 1337" in said


def test_a_record_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    """By the command itself, whose total begins with its process."""
    (tmp_path / "file").touch()
    place = plant(tmp_path, FINISHES)
    command = [sys.executable, "-m", "auditor.cli", "rerun", str(place), "--gpus", "0", *OPEN]
    for keep in (tmp_path / "file" / "below", Path("/proc/none")):
        ended = subprocess.run([*command, "--keep", str(keep)], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 2 and "the record cannot be written" in ended.stderr
