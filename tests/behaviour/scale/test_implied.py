"""Switches that a log proves to have been on."""

from __future__ import annotations

import pytest

from auditor.behaviour.scale.implied import implied, with_implied, with_switches
from auditor.behaviour.scale.plan import plan
from tests.support import make_submission

SCRIPT = """import os
class H:
    ngram_eval = bool(int(os.environ.get("NGRAM_EVAL", "0")))
    two_pass = bool(int(os.environ.get("TWO_PASS", "0")))
    slow = bool(int(os.environ.get("SLOW", "1")))
    load_path = os.environ.get("LOAD_PATH", "")
args = H()
print("start")
if args.ngram_eval and args.slow:
    print("ngram_eval val_bpb:1.0")
    if args.two_pass:
        print("second pass")
if args.load_path:
    print("loaded")
if not args.two_pass:
    print("one pass")
"""


def found(*lines: int, script: str = SCRIPT) -> tuple[str, ...]:
    return implied(with_implied(make_submission({"train_gpt.py": script}), {"train_gpt.py": frozenset(lines)}))


def test_a_printed_line_needs_the_switches_around_it() -> None:
    assert found(10) == ("NGRAM_EVAL",)
    assert found(12) == ("NGRAM_EVAL", "TWO_PASS")


@pytest.mark.parametrize("line", [8, 14, 16])
def test_planted_what_needs_no_switch_sets_none(line: int) -> None:
    """Printed in any run; behind a path; behind a switch that is off."""
    assert found(line) == ()


def test_a_variable_of_another_name_than_its_setting() -> None:
    assert found(10, script=SCRIPT.replace('"NGRAM_EVAL"', '"CACHE"')) == ("CACHE",)


def test_the_toy_run_has_the_switch_and_a_replay_sets_it_again() -> None:
    submission = with_implied(make_submission({"train_gpt.py": SCRIPT}), {"train_gpt.py": frozenset([10])})
    assert plan(submission).env["NGRAM_EVAL"] == "1"
    again = with_switches(make_submission({"train_gpt.py": SCRIPT}), implied(submission))
    assert plan(again).env == plan(submission).env


def test_a_command_that_switches_off_what_the_log_shows_is_another_run_s() -> None:
    for script, made in ((SCRIPT, "1"), (SCRIPT.replace('"NGRAM_EVAL", "0"', '"NGRAM_EVAL", "5"'), "5")):
        submission = make_submission({"train_gpt.py": script}, env={"NGRAM_EVAL": "0", "TWO_PASS": "0"})
        again = with_implied(submission, {"train_gpt.py": frozenset([10])})
        assert again.launch.env.keys() - {"NGRAM_EVAL"} == {"TWO_PASS"}
        replayed = with_switches(submission, implied(again))
        assert plan(replayed).env == plan(again).env
        assert again.launch.env["NGRAM_EVAL"].value == made


def test_what_is_on_is_not_touched() -> None:
    submission = make_submission({"train_gpt.py": SCRIPT}, env={"NGRAM_EVAL": "2", "TWO_PASS": "1"})
    assert with_implied(submission, {"train_gpt.py": frozenset([10, 12])}) is submission


def test_a_test_for_being_above_zero_is_a_switch() -> None:
    script = SCRIPT.replace("if args.ngram_eval and", "if args.ngram_eval > 0 and")
    assert found(10, script=script) == ("NGRAM_EVAL",)
    for test, value in (("> 3", "=4"), (">= 2", "=2"), ("!= 0", ""), (">= 0", None), ("< 3", None), ("> other", None)):
        script = SCRIPT.replace("if args.ngram_eval and", f"if args.ngram_eval {test} and")
        assert found(10, script=script) == (() if value is None else (f"NGRAM_EVAL{value}",))
    again = with_switches(make_submission({"train_gpt.py": SCRIPT}), ["NGRAM_EVAL=4"])
    assert again.launch.env["NGRAM_EVAL"].value == "4"


GUESSES = """import os
rank = int(os.environ.get("RANK", "0"))
start = os.environ.get("INIT_TEXT", "")
weight = float(os.environ.get("CACHE_WEIGHT", "0"))
sliding = int(os.environ.get("SLIDING", "0"))
stride = int(os.environ.get("EVAL_STRIDE", "0"))
def evaluate(sliding):
    if sliding:
        print("sliding")
if rank > 0:
    print("pre-filled")
if start:
    print("started")
if weight > 0:
    print("mixed")
if stride > 0:
    print("strided")
"""


@pytest.mark.parametrize("line", [9, 11, 13, 15])
def test_what_is_no_plain_switch_is_not_guessed(line: int) -> None:
    """A parameter, the process's rank, a text, a weight."""
    assert found(line, script=GUESSES) == ()


def test_a_stride_that_was_on_is_a_usual_one() -> None:
    assert found(17, script=GUESSES) == ("EVAL_STRIDE=64",)
