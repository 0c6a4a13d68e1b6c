"""After a failure the plan moves on, and it ends."""

from __future__ import annotations

import pytest

from auditor.behaviour.scale import Failure, Frame, Plan, plan, retry
from auditor.behaviour.scale.retry import MAX_RETRIES
from auditor.core.submission import Submission
from tests.support import make_submission

TEXT = """import os
class H:
    model_dim = int(os.environ.get("MODEL_DIM", 512))
    num_heads = int(os.environ.get("NUM_HEADS", 8))
    num_kv_heads = int(os.environ.get("NUM_KV_HEADS", 4))
    num_layers = int(os.environ.get("NUM_LAYERS", 11))
    train_seq_len = int(os.environ.get("TRAIN_SEQ_LEN", 1024))
    train_batch_tokens = int(os.environ.get("TRAIN_BATCH_TOKENS", 524288))
    packet_span = int(os.environ.get("PACKET_SPAN", 512))
"""


def failure(message: str, error: str = "ValueError", source: str = "", line: int = 9) -> Failure:
    return Failure(error, message, (Frame("train_gpt.py", line, "main", source),))


@pytest.fixture
def submission() -> Submission:
    return make_submission({"train_gpt.py": TEXT})


@pytest.fixture
def first(submission: Submission) -> Plan:
    return plan(submission)


def test_a_knob_that_the_message_names_gets_its_next_value(submission: Submission, first: Plan) -> None:
    assert first.env["TRAIN_BATCH_TOKENS"] == "2048"
    second = retry(first, submission, failure("TRAIN_BATCH_TOKENS must be a multiple of 4096"))
    assert second is not None and second.level == 0 and second.env["TRAIN_BATCH_TOKENS"] == "4096"


def test_a_knob_that_was_left_alone_follows_the_sequence_length(submission: Submission, first: Plan) -> None:
    assert "PACKET_SPAN" not in first.env
    second = retry(first, submission, failure("packet_span must be at most 128, got 512"))
    assert second is not None and second.env["PACKET_SPAN"] == "64"


def test_an_assertion_names_its_knobs_by_its_source(submission: Submission, first: Plan) -> None:
    second = retry(first, submission, failure("", "AssertionError", "assert args.num_layers >= 10"))
    assert second is not None and second.level == 0 and "NUM_LAYERS" not in second.env


def test_a_shape_error_without_names_goes_to_the_next_level(submission: Submission, first: Plan) -> None:
    second = retry(first, submission, failure("shape '[3, 5]' is invalid for input of size 14", "RuntimeError"))
    assert second is not None and second.level == 1 and second.env["MODEL_DIM"] == "64"
    third = retry(second, submission, failure("mat1 and mat2 cannot be multiplied (8x4 and 3x3)", "RuntimeError"))
    assert third is not None and third.level == 2 and third.env["MODEL_DIM"] == "128"


def test_a_missing_file_is_laid_out(submission: Submission, first: Plan) -> None:
    lost = failure("[Errno 2] No such file or directory: '/data/other/fineweb_val_000000.bin'", "FileNotFoundError")
    second = retry(first, submission, lost)
    assert second is not None and "/data/other" in second.data_paths.data_dirs and second.env == first.env
    model = retry(first, submission, failure("Not found: '/m/tok.model'", "FileNotFoundError"))
    assert model is not None and "/m/tok.model" in model.data_paths.tokenizer_paths
    tables = "TOKENIZER_META_PATH does not exist: data/tokenizers/other/candidate.meta.npz"
    beside = retry(first, submission, failure(tables, "FileNotFoundError"))
    assert beside is not None and "data/tokenizers/other/candidate.meta.npz" in beside.data_paths.tokenizer_paths
    assert retry(second, submission, lost) is None  # laid out already: it is not that


def test_a_folder_that_cannot_be_made_becomes_the_guest_s_own(submission: Submission, first: Plan) -> None:
    second = retry(first, submission, failure("[Errno 30] Read-only file system: '/logs'", "OSError"))
    assert second is not None and "/logs" in second.folders
    assert retry(first, submission, failure("[Errno 5] Input/output error: '/logs'", "OSError")) is None


def test_shards_beside_the_script(submission: Submission, first: Plan) -> None:
    lost = failure("No files found for pattern: fineweb_val_*.bin", "FileNotFoundError")
    second = retry(first, submission, lost)
    assert second is not None and "." in second.data_paths.data_dirs


def test_it_ends(submission: Submission, first: Plan) -> None:
    current: Plan | None = first
    seen = 0
    while current is not None:
        current = retry(current, submission, failure(f"sizes {seen} do not match", "RuntimeError", line=seen))
        seen += 1
    assert seen <= MAX_RETRIES + 1


def test_the_same_failure_at_the_same_place_is_tried_no_third_time(submission: Submission, first: Plan) -> None:
    same = failure("sizes 4 and 5 do not match", "RuntimeError")
    second = retry(first, submission, same)
    assert second is not None
    third = retry(second, submission, same)
    assert third is not None
    assert retry(third, submission, same) is None


@pytest.mark.parametrize("error", ["ModuleNotFoundError", "GuestUnsupported", "NameError", "TimeoutError", "TypeError"])
def test_planted_what_scale_cannot_cure_is_not_retried(submission: Submission, first: Plan, error: str) -> None:
    assert retry(first, submission, failure("no such thing: NUM_LAYERS", error)) is None


def test_a_run_that_takes_up_unshipped_weights_is_run_from_its_beginning() -> None:
    sub = make_submission({"train_gpt.py": TEXT}, env={"TTT_EVAL_ONLY": "1", "SKIP_GATES_ENABLED": "1"})
    began = plan(sub)
    assert began.env["TTT_EVAL_ONLY"] == "1"
    missing = failure("[Errno 2] No such file or directory: 'final_model.int6.ptz'", "FileNotFoundError")
    again = retry(began, sub, missing)
    assert again is not None and "TTT_EVAL_ONLY" not in again.env and again.env["SKIP_GATES_ENABLED"] == "1"


def test_missing_text_drops_no_setting() -> None:
    sub = make_submission({"train_gpt.py": TEXT}, env={"TTT_EVAL_ONLY": "1"})
    missing = failure("[Errno 2] No such file or directory: 'data/fineweb_val_000000.bin'", "FileNotFoundError")
    again = retry(plan(sub), sub, missing)
    assert again is None or again.env["TTT_EVAL_ONLY"] == "1"


def test_a_file_named_by_a_setting_that_resumes_is_not_looked_for_again() -> None:
    sub = make_submission({"train_gpt.py": TEXT}, env={"LOAD_CHECKPOINT_PATH": "runs/7", "OTHER_PATH": "x"})
    again = retry(plan(sub), sub, failure("[Errno 2] No such file or directory: 'runs/7'", "FileNotFoundError"))
    assert again is not None and "LOAD_CHECKPOINT_PATH" not in again.env and again.env["OTHER_PATH"] == "x"
