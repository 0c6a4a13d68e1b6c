"""Excerpts: the lines that findings point at, a few around them, and never more than a page can hold."""

from __future__ import annotations

from auditor.core.excerpts import AROUND, LONG, MAX_LINES, excerpts
from auditor.core.types import Confidence, Finding, Outcome, PathStep, Place, RuleResult, Witness
from tests.support import make_submission

SCRIPT = "".join(f"line {n}\n" for n in range(1, 2001))


def found(*findings: Finding, rule: str = "r", outcome: Outcome = Outcome.FOUND) -> RuleResult:
    return RuleResult(rule, Witness.SOURCE, outcome, "", findings)


def at(line: int, *path: int, file: str = "train_gpt.py", end: int | None = None) -> Finding:
    steps = tuple(PathStep(file, n, "") for n in path)
    return Finding(Confidence.HIGH, "m", Place(file=file, line=line, end_line=end), steps)


SUBMISSION = make_submission({"train_gpt.py": SCRIPT, "a.log": "one\ntwo\nthree\n", "submission.json": '{\n "x": 1\n}'})


def test_a_finding_brings_its_line_and_those_around() -> None:
    [one] = excerpts(SUBMISSION, [found(at(100))])
    assert (one.file, one.first) == ("train_gpt.py", 100 - AROUND) and one.line(100) == "line 100"
    assert len(one.lines) == 2 * AROUND + 1 and one.line(100 + AROUND + 1) is None


def test_the_ends_of_the_file_are_kept() -> None:
    [one] = excerpts(SUBMISSION, [found(at(1))])
    assert one.first == 1 and len(one.lines) == AROUND + 1
    [one] = excerpts(SUBMISSION, [found(at(2000))])
    assert one.lines[-1] == "line 2000"


def test_steps_of_a_path_and_lines_of_a_log_come_too() -> None:
    log = Finding(Confidence.LOW, "m", Place(log="a.log", line=2))
    held = excerpts(SUBMISSION, [found(at(100, 40, 700)), found(log)])
    assert [(one.file, one.first) for one in held] == [
        ("a.log", 1), ("train_gpt.py", 39), ("train_gpt.py", 96), ("train_gpt.py", 699),
    ]  # fmt: skip


def test_windows_that_meet_are_one() -> None:
    [one] = excerpts(SUBMISSION, [found(at(100)), found(at(105))])
    assert one.first == 96 and len(one.lines) == 14


def test_places_that_are_not_there_bring_nothing() -> None:
    odd = [at(0), at(5000), at(3, file="gone.py"), Finding(Confidence.LOW, "m", Place(field="x"))]
    assert excerpts(SUBMISSION, [found(*odd)]) == ()
    assert excerpts(SUBMISSION, [found(at(100), outcome=Outcome.CLEAR)]) == ()


def test_many_findings_stay_bounded_and_every_rule_has_its_turn() -> None:
    many = [found(*(at(20 * n + rule) for n in range(1, 90)), rule=f"r{rule}") for rule in range(30)]
    held = excerpts(SUBMISSION, many)
    assert sum(len(one.lines) for one in held) <= MAX_LINES
    for rule in range(30):
        assert any(one.line(20 + rule) is not None for one in held), rule


def test_a_long_line_is_cut_with_its_count() -> None:
    wide = make_submission({"train_gpt.py": "x" * 100_000 + "\ny\n"})
    [one] = excerpts(wide, [found(at(1))])
    assert len(one.lines[0]) < LONG + 60 and f"{100_000 - LONG} characters left out" in one.lines[0]


def test_a_finding_over_several_lines_has_them_all() -> None:
    [one] = excerpts(SUBMISSION, [found(at(100, end=108))])
    assert one.first == 96 and one.line(108) == "line 108"
