"""Settings from elsewhere: configuration files, rehearsals, and values that a log shows and a script refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.behaviour.scale import Failure, Plan, plan, retry
from auditor.behaviour.scale.config import config_values
from auditor.behaviour.scale.plan import knobs
from auditor.core.submission import Setting, Submission
from auditor.core.types import Place
from tests.support import make_submission

CONFIGURED = """import json, os
_C = json.load(open("settings.json"))["model"]
dim = int(os.environ.get("MODEL_DIM", str(_C.get("model_dim", 512))))
layers = int(os.environ.get("NUM_LAYERS", str(_C.get("num_layers", 9))))
steps = int(os.environ.get("ITERATIONS", _C["iterations"]))
"""


def configured(tmp_path: Path, files: dict[str, str]) -> Submission:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return make_submission({"train_gpt.py": CONFIGURED, **files}, root=tmp_path)


def test_defaults_out_of_a_configuration_file(tmp_path: Path) -> None:
    settings = json.dumps({"model": {"model_dim": 768, "iterations": 5000}, "lists": [{"model_dim": 768}]})
    found = {s.name: s.value for s in knobs(configured(tmp_path, {"settings.json": settings})) if s.how == "env"}
    assert found == {"MODEL_DIM": "768", "NUM_LAYERS": "9", "ITERATIONS": 5000}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"model_dim": 7, "x": {"model_dim": 8}}', "3"])
def test_planted_a_file_that_says_nothing_leaves_the_default(tmp_path: Path, text: str) -> None:
    submission = configured(tmp_path, {"settings.json": text})
    assert "model_dim" not in config_values(submission)
    assert plan(submission).env["MODEL_DIM"] == "32"


def test_the_metadata_is_no_configuration(tmp_path: Path) -> None:
    assert config_values(configured(tmp_path, {"submission.json": '{"model_dim": 7}'})) == {}


LISTED = """import os
num_layers = int(os.environ.get("NUM_LAYERS", 9))
widths = os.environ.get("WIDTHS", "")
"""


def logged(how: str) -> Submission:
    submission = make_submission({"train_gpt.py": LISTED})
    setting = Setting("WIDTHS", "192,576", Place(log="train.log", line=3), how)
    return replace(submission, launch=replace(submission.launch, env={"WIDTHS": setting}))


def refused(found: Plan, submission: Submission) -> Plan | None:
    assert found.env["WIDTHS"] == "192,576"
    return retry(found, submission, Failure("ValueError", "WIDTHS must provide 9 entries, got 2"))


def test_a_logged_value_that_the_script_refuses_is_dropped() -> None:
    submission = logged("log")
    second = refused(plan(submission), submission)
    assert second is not None and "WIDTHS" not in second.env and second.level == 0
    assert any("WIDTHS=192,576" in note and "refused" in note for note in second.notes)
    third = retry(second, submission, Failure("ValueError", "the shapes do not match"))
    assert third is not None and "WIDTHS" not in third.env


def test_planted_a_value_of_the_launch_itself_is_never_dropped() -> None:
    submission = logged("readme")
    second = refused(plan(submission), submission)
    assert second is not None and second.env["WIDTHS"] == "192,576"


@pytest.mark.parametrize(("name", "value", "kept"), [
    ("DRY_RUN", "1", False), ("SMOKE_TEST", "true", False), ("DRY_RUN", "0", True), ("DRY_RUN_STEPS", "3", True),
])  # fmt: skip
def test_a_rehearsal_is_left_out(name: str, value: str, kept: bool) -> None:
    found = plan(make_submission({"train_gpt.py": LISTED}, env={name: value}))
    assert (name in found.env) is kept
    assert kept or any(f"{name}={value}" in note for note in found.notes)


def test_a_batch_that_is_cut_into_parts_has_a_row_for_each() -> None:
    text = """import os
class H:
    train_seq_len = int(os.environ.get("TRAIN_SEQ_LEN", 1024))
    train_batch_tokens = int(os.environ.get("TRAIN_BATCH_TOKENS", 524288))
def calibrate(args, loader):
    return loader.next_batch(args.train_batch_tokens // 4, args.train_seq_len)
grad_accum_steps = 8 // world_size
"""
    whole = plan(make_submission({"train_gpt.py": text.replace("// 4", "")}))
    cut = plan(make_submission({"train_gpt.py": text}))
    assert int(cut.env["TRAIN_BATCH_TOKENS"]) == 2 * int(whole.env["TRAIN_BATCH_TOKENS"]) == 8 * 128
