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


def test_the_toy_run_has_the_switch_and_a_replay_sets_it_again() -> None:
    submission = with_implied(make_submission({"train_gpt.py": SCRIPT}), {"train_gpt.py": frozenset([10])})
    assert plan(submission).env["NGRAM_EVAL"] == "1"
    again = with_switches(make_submission({"train_gpt.py": SCRIPT}), implied(submission))
    assert plan(again).env == plan(submission).env


def test_a_stated_setting_is_not_touched() -> None:
    submission = make_submission({"train_gpt.py": SCRIPT}, env={"NGRAM_EVAL": "0"})
    assert with_implied(submission, {"train_gpt.py": frozenset([10])}) is submission
