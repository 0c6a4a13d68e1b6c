"""The whole recipe: the artifact alone gives the scores, and the record witness reads the log without a complaint."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from auditor.core.submission import Submission
from auditor.core.types import Outcome, Ruling, Witness
from auditor.engine import Options, audit_submission
from auditor.record import analyse
from auditor.record.facts import LineKind, SizeKind
from reference_model.artifact.container import unpack
from reference_model.cli import main
from reference_model.config import Preset, load_preset, preset_names, with_settings
from reference_model.data.folder import DataFolder
from reference_model.data.local import write_local
from reference_model.evaluation.sliding import sliding_score
from reference_model.model.transformer import GPT
from reference_model.model.weights import load_state
from reference_model.quantisation.mixed import dequantise
from reference_model.scale import LAYERS, toy
from reference_model.training.distributed import Process
from reference_model.training.log import Log
from reference_model.training.recipe import Report, run
from reference_model.training.validation import validation_stream
from tests.reference_model.small import ByteFolder, pattern_folder, small
from tests.support import make_submission

CPU = Process(torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def source_of_reference() -> str:
    """The package's modules as one text, for the record witness to compare the log's lines with."""
    files = sorted((p for p in Path(str(resources.files("reference_model"))).rglob("*.py")), key=str)
    texts = (path.read_text(encoding="utf-8") for path in files)
    return "\n\n".join(text.replace("from __future__ import annotations\n", "") for text in texts)


CODE = source_of_reference()


def whole(preset: Preset, data: DataFolder, out: Path) -> tuple[Report, list[str]]:
    with Log(out / f"train_seed{preset.train.seed}.log", quiet=True) as log:
        report = run(preset, data, CPU, log, out, code_bytes=len(CODE.encode()))
    return report, log.lines


def submission_of(report: Report, lines: list[str], **changed: object) -> Submission:
    """A submission that claims what the run gave; ``changed`` fields of submission.json."""
    fields = {
        "author": "A. Example", "github_id": "example", "name": "Reference", "blurb": "A run of the reference.",
        "date": "2026-04-01T00:00:00Z", "val_loss": report.headline.loss, "val_bpb": report.headline.bpb,
        "bytes_total": report.model_bytes + report.code_bytes, "bytes_code": report.code_bytes,
    }  # fmt: skip
    readme = f"# Reference\n\nval_bpb {report.headline.bpb:.4f} (seed {report.seed})\n\n"
    return make_submission(
        {
            "train_gpt.py": CODE,
            f"train_seed{report.seed}.log": "\n".join(lines) + "\n",
            "submission.json": json.dumps(fields | changed),
            "README.md": readme + "```bash\ntorchrun --standalone --nproc_per_node=8 train_gpt.py\n```\n",
        },
        track="track_non_record_16mb",
        world_size=1,
    )


def violations(submission: Submission) -> list[str]:
    """Rules that the record witness alone finds broken, but that so small a validation stream is not the whole one."""
    audited = audit_submission(submission, Options(witnesses=(Witness.RECORD,)))
    found = [r for r in audited.results if r.outcome is Outcome.FOUND]
    assert "val-coverage" in {r.rule for r in found}
    broken = [r for r in found if audited.rules[r.rule].ruling in (Ruling.ILLEGAL, Ruling.DISPUTED)]
    return [f"{r.rule}: {r.reason}" for r in broken if r.rule != "val-coverage"]


GOLDEN = {
    "gepa_644": ({"float": 5.29743, "roundtrip": 5.32994, "sliding": 5.35008, "ttt": 5.34994}, 26_032),
    "recur_1406": ({"float": 5.39233, "roundtrip": 5.41837, "sliding": 5.43865}, 20_714),
}
"""Bits per byte within 1e-3, and bytes of the artifact within 64, after 12 steps on the walk of `small.pattern`."""


@pytest.mark.parametrize("name", GOLDEN)
def test_recipe_at_small_scale(name: str, tmp_path: Path) -> None:
    preset, data = quick(name), pattern_folder(tmp_path)
    report, lines = whole(preset, data, tmp_path)
    assert list(report.scores) == ["float", "roundtrip", "sliding", *(["ttt"] if preset.ttt.kind != "none" else [])]
    assert report.steps == 12 and report.averaged == "ema"
    scores, size = GOLDEN[name]
    assert {kind: score.bpb for kind, score in report.scores.items()} == pytest.approx(scores, abs=1e-3)
    assert abs(report.model_bytes - size) <= 64
    assert rescored(preset, data, tmp_path) == pytest.approx(report.scores["sliding"].bpb, abs=1e-9)
    assert json.loads((tmp_path / "report.json").read_text())["val_bpb"] == report.headline.bpb
    parsed(report, lines)


def test_calibration_on_training_data_is_within_the_clock(tmp_path: Path) -> None:
    """The log has it before the last validation, and no rule complains; calibration after the clock comes later."""
    preset = quick("recur_1406")
    for kind, fine in (("train", True), ("train_late", False)):
        changed = replace(preset, quant=replace(preset.quant, calibration=kind))  # type: ignore[arg-type]
        report, lines = whole(changed, pattern_folder(tmp_path), tmp_path)
        collected = next(i for i, line in enumerate(lines) if line.startswith("gptq:collected"))
        assert any(line.startswith("step:12/12 val_loss") for line in lines[collected:]) == fine
        assert not fine or not violations(submission_of(report, lines))


def quick(name: str) -> Preset:
    preset = small(name, steps=12)
    quant = replace(preset.quant, keep_float_numel=512, calibration_sequences=2, calibration_length=16)
    ttt = replace(preset.ttt, chunk_tokens=256, batch_seqs=8, epochs=1, freeze_blocks=min(preset.ttt.freeze_blocks, 1))
    ev = replace(preset.eval, stride=16, max_tokens=512)
    return replace(preset, quant=quant, ttt=ttt, eval=ev)


def rescored(preset: Preset, data: ByteFolder, out: Path) -> float:
    """The sliding score by the written artifact alone, in a new model."""
    model = GPT(preset.model)
    load_state(model, dequantise(unpack(next(out.glob("final_model.*.bin")).read_bytes())))
    stream = validation_stream(data.val_tokens(), preset.eval, preset.eval.seq_len)
    return sliding_score(model, stream, data.byte_table(), preset.eval).bpb


def parsed(report: Report, lines: list[str]) -> None:
    """The record witness reads from the log what the report says, and finds no rule broken."""
    submission = submission_of(report, lines)
    (read,) = analyse(submission).runs
    assert read.seed == report.seed and read.params is not None
    assert max(step.step for step in read.steps) == report.steps
    sizes = {size.kind: size.bytes for size in read.sizes}
    assert sizes[SizeKind.MODEL] == report.model_bytes and sizes[SizeKind.CODE] == report.code_bytes
    assert sizes[SizeKind.TOTAL] == report.model_bytes + report.code_bytes
    last = [e.val_bpb.value for e in read.evaluations if e.val_bpb is not None][-1]
    assert last == pytest.approx(report.headline.bpb, abs=1e-8)
    assert LineKind.VAL_STEP in read.kinds and LineKind.TRAIN_DATA in read.kinds
    assert violations(submission) == []


def test_a_score_that_the_log_does_not_have_is_found(tmp_path: Path) -> None:
    """The check of `parsed` can fail."""
    report, lines = whole(quick("baseline"), pattern_folder(tmp_path), tmp_path)
    assert violations(submission_of(report, lines)) == []
    assert violations(submission_of(report, lines, val_bpb=report.headline.bpb - 0.05)) != []


@pytest.mark.parametrize("name", preset_names())
def test_toy_scale_keeps_the_parts(name: str) -> None:
    full, tiny = load_preset(name), toy(load_preset(name))
    GPT(tiny.model)
    assert tiny.model.num_layers == LAYERS
    for key in ("ve_layers", "recur_layers"):
        before, after = getattr(full.model, key), getattr(tiny.model, key)
        assert bool(before) == bool(after) and all(layer < LAYERS for layer in after)
        assert not before or (before[-1] == full.model.num_layers - 1) == (after[-1] == LAYERS - 1)
    assert bool(full.model.xsa_last_n) == bool(tiny.model.xsa_last_n) and tiny.model.xsa_last_n <= LAYERS
    assert (full.model.xsa_last_n == full.model.num_layers) == (tiny.model.xsa_last_n == LAYERS)
    assert tiny.model.mlp_hidden / tiny.model.model_dim == full.model.mlp_hidden / full.model.model_dim
    assert tiny.ttt.kind == full.ttt.kind and tiny.quant.matrices == full.quant.matrices


@pytest.fixture(scope="session")
def local_data(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return write_local(tmp_path_factory.mktemp("local")).data


@pytest.mark.slow
@pytest.mark.parametrize("name", preset_names())
def test_whole_recipe_at_toy_scale(name: str, local_data: DataFolder, tmp_path: Path) -> None:
    report, lines = whole(toy(load_preset(name)), local_data, tmp_path)
    assert report.headline.bpb < 4.2
    parsed(report, lines)


@pytest.mark.slow
def test_command_on_two_processes(local_data: DataFolder, tmp_path: Path) -> None:
    """torchrun with two processes gives the scores of one, as far as float32 sums of another order do."""
    import subprocess
    import sys

    root = local_data.folder.parent.parent
    arguments = ["train", "--preset", "gepa_644", "--data", str(root), "--scale", "toy", "--device", "cpu"]
    for setting in ("iterations=4", "warmdown_iters=2", "val_loss_every=0", "max_tokens=1024"):
        arguments += ["--set", setting]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "one")])
    assert not ended.value.code
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, "-m", "reference_model", *arguments, "--out", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / n / "report.json").read_text()) for n in ("one", "two"))
    for kind in one["scores"]:
        assert two["scores"][kind]["loss"] == pytest.approx(one["scores"][kind]["loss"], abs=1e-3)
        assert two["scores"][kind]["bytes"] == one["scores"][kind]["bytes"]


def test_what_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in [
        (["--preset", "baseline", "--scale", "huge"], "full or toy"),
        (["--preset", "nothing"], "no preset is called"),
        (["--preset", "baseline", "--set", "layers=3"], "there is none"),
    ]:
        with pytest.raises(SystemExit) as ended:
            main(["train", *arguments, "--data", str(tmp_path)])
        assert ended.value.code == 2 and says in capsys.readouterr().err
    assert with_settings(load_preset("baseline"), ["iterations=3"]).train.iterations == 3
