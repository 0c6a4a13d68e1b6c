"""The rules' checks of the behaviour witness, on hand-made answers: each finds its own fault and no other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.behaviour.facts import Answer, Cause, Evidence, Question, Spot, TraceFacts
from auditor.core.rule import Rule
from auditor.core.submission import Role, SourceFile, Submission
from auditor.core.types import Confidence, Outcome, Witness
from rules import load_rules

RULES = load_rules()
CHECKED = sorted(name for name, rule in RULES.items() if rule.covers(Witness.BEHAVIOUR))
SPOT = Spot("train_gpt.py", 7, "here")
PREFIX, NORMAL = Question.PREFIX_INVARIANCE, Question.NORMALISATION
BYTES, DATA = Question.BYTE_ACCOUNTING, Question.DATA_ACCESS
CASES: list[tuple[str, Question, Cause, dict[str, float]]] = [
    ("ttt-pre-quant", PREFIX, Cause.TRAINED_BEFORE_PASS, {"share_of_weights": 1.0}),
    ("ttt-pre-quant", Question.SCORE_BEFORE_UPDATE, Cause.TRAINED_IN_PASS, {}),
    ("ttt-final-epoch-score", PREFIX, Cause.TRAINED_BEFORE_PASS, {"same_loop": 1.0}),
    ("min-nll-epochs", PREFIX, Cause.TRAINED_IN_PASS, {"best_of": 1.0}),
    ("slot-scored-region", PREFIX, Cause.TRAINED_IN_PASS, {"share_of_weights": 0.001}),
    ("rescore-two-pass", PREFIX, Cause.SCORED_BEFORE, {}),
    ("gptq-val-calib", PREFIX, Cause.CALIBRATED, {}),
    ("noncausal-model", PREFIX, Cause.SAME_FORWARD, {}),
    ("later-tokens", PREFIX, Cause.UNKNOWN, {}),
    ("score-scaling", NORMAL, Cause.UNKNOWN, {"scale": 0.98}),
    ("score-scaling", BYTES, Cause.UNKNOWN, {"cause": 4.0}),
    ("oracle-select", NORMAL, Cause.UNKNOWN, {"never_worse": 1.0, "changed_scores": 500.0}),
    ("ngram-target-key", NORMAL, Cause.UNKNOWN,
     {"changed_scores": 500.0, "changed_early": 0.0, "changed_late": 0.9}),
    ("hedge-mixer", NORMAL, Cause.UNKNOWN, {"changed_scores": 500.0, "changed_early": 1.0, "changed_late": 1.0}),
    ("unnormalised-score", NORMAL, Cause.UNKNOWN, {"changed_scores": 0.0}),
    ("bpb-double-space", BYTES, Cause.UNKNOWN, {"cause": 1.0}),
    ("bpb-token-bytes", BYTES, Cause.UNKNOWN, {"cause": 3.0}),
    ("val-coverage", Question.COVERAGE, Cause.UNKNOWN, {"missing": 900.0}),
    ("external-access", DATA, Cause.UNKNOWN, {"kind": 1.0}),
    ("train-data-at-eval", DATA, Cause.UNKNOWN, {"kind": 2.0}),
    ("gptq-train-after-cap", DATA, Cause.UNKNOWN, {"kind": 3.0}),
    ("val-train", DATA, Cause.UNKNOWN, {"kind": 4.0}),
    ("score-off-artifact", Question.ROUND_TRIP, Cause.UNKNOWN, {"moved": 0.0}),
]  # fmt: skip


def submission(text: str = "print(1)\n") -> Submission:
    """A folder with one script."""
    entry = SourceFile("train_gpt.py", text, Role.ENTRY, len(text), "0" * 64)
    return Submission(Path("."), "x", None, (), entry)


def all_clear() -> dict[Question, Answer]:
    """Every question answered clear."""
    return {question: Answer(question, Outcome.CLEAR, "looked at, nothing found") for question in Question}


def found(question: Question, cause: Cause, figures: dict[str, float]) -> TraceFacts:
    """Facts in which one question is answered found."""
    evidence = Evidence(Confidence.HIGH, "a fault", SPOT, (SPOT,), cause=cause, figures=figures)
    return TraceFacts({**all_clear(), question: Answer(question, Outcome.FOUND, "a fault", (evidence,))}, reached=True)


def outcomes(facts: TraceFacts, text: str = "print(1)\n") -> dict[str, Outcome]:
    """What each rule says."""
    return {name: RULES[name].check(Witness.BEHAVIOUR, submission(text), facts).outcome for name in CHECKED}


@pytest.mark.parametrize(("rule", "question", "cause", "figures"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_fault_is_found_by_its_own_rule_alone(
    rule: str, question: Question, cause: Cause, figures: dict[str, float]
) -> None:
    said = outcomes(found(question, cause, figures))
    assert [name for name, outcome in said.items() if outcome is Outcome.FOUND] == [rule]
    result = RULES[rule].check(Witness.BEHAVIOUR, submission(), found(question, cause, figures))
    assert str(result.findings[0].at) == "train_gpt.py:7"


def test_every_checked_rule_has_a_case() -> None:
    assert set(CHECKED) - {c[0] for c in CASES} <= {"ppm-byte-mix", "ttt-score-first"}


@pytest.mark.parametrize("name", CHECKED)
def test_clear_only_where_the_question_was_answered(name: str) -> None:
    rule: Rule = RULES[name]
    clear = rule.check(Witness.BEHAVIOUR, submission(), TraceFacts(all_clear(), reached=True)).outcome
    assert clear in (Outcome.CLEAR, Outcome.NOT_APPLICABLE)
    nothing = rule.check(Witness.BEHAVIOUR, submission(), TraceFacts(failure="ImportError at train_gpt.py:3")).outcome
    assert nothing in (Outcome.UNKNOWN, Outcome.NOT_APPLICABLE)
    assert (nothing is Outcome.NOT_APPLICABLE) == (name == "ttt-score-first")


def test_a_byte_mixture_is_named_by_its_script() -> None:
    facts = found(NORMAL, Cause.UNKNOWN, {"changed_scores": 500.0, "changed_early": 1.0, "changed_late": 1.0})
    said = outcomes(facts, "class PPMByteModel: pass\n")
    assert [name for name, outcome in said.items() if outcome is Outcome.FOUND] == ["ppm-byte-mix"]


def test_training_proper_on_validation_text_is_no_test_time_training() -> None:
    data = Evidence(Confidence.HIGH, "a fault", SPOT, figures={"kind": 4.0})
    facts = found(PREFIX, Cause.TRAINED_BEFORE_PASS, {})
    facts.answers[DATA] = Answer(DATA, Outcome.FOUND, "a fault", (data,))
    said = outcomes(facts)
    assert [name for name, outcome in said.items() if outcome is Outcome.FOUND] == ["val-train"]


def test_a_reserve_of_training_time_leaves_the_seconds_open() -> None:
    facts = found(DATA, Cause.UNKNOWN, {"kind": 3.0})
    for kept in ("gptq_reserve_seconds = 12.0\n", "class H:\n    reserve_ms: int = int(env('RESERVE_MS', 9000))\n"):
        assert outcomes(facts, kept)["gptq-train-after-cap"] is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    "text",
    ["print(f'reserved: {torch.cuda.max_memory_reserved()} MiB')\n", "x = 1  # reserve = 10\n", "reserved_mb = 3\n",
     "if reserve == 3:\n    pass\n"],
)  # fmt: skip
def test_planted_the_word_alone_keeps_no_time(text: str) -> None:
    assert outcomes(found(DATA, Cause.UNKNOWN, {"kind": 3.0}), text)["gptq-train-after-cap"] is Outcome.FOUND


def test_learning_after_scoring_is_recognised() -> None:
    facts = TraceFacts(all_clear(), reached=True)
    question = Question.SCORE_BEFORE_UPDATE
    after = Evidence(Confidence.HIGH, "learns after scoring", SPOT, figures={"score_first": 1.0})
    facts.answers[question] = Answer(question, Outcome.CLEAR, "in order", (after,))
    assert outcomes(facts)["ttt-score-first"] is Outcome.FOUND
    facts.answers[PREFIX] = Answer(PREFIX, Outcome.UNKNOWN, "not compared")
    assert outcomes(facts)["ttt-score-first"] is Outcome.NOT_APPLICABLE
