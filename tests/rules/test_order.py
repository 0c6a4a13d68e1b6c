"""The order helper and the D2 seconds on hand-made facts: no interpreter, no log reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.core.types import Confidence, Outcome, PathStep, Place
from auditor.record.facts import Calibration, PhaseTimes, RecordFacts, Run
from auditor.source.facts import (
    Lookup,
    Loop,
    Order,
    Origin,
    Report,
    Score,
    Site,
    SourceFacts,
    StateKind,
    Update,
)
from rules import load_rules
from rules._order import Standing, gap, standing, stands
from tests.support import make_submission

RULES = load_rules()
EMPTY = make_submission({"train_gpt.py": ""})


def site(line: int) -> Site:
    return Site("train_gpt.py", line, line, 0, "main")


def update(kind: StateKind = StateKind.WEIGHTS, **changes: object) -> Update:
    base = Update(1, kind, site(10), frozenset({Origin.VAL}), (1,), frozenset({1}), 1,
                  (PathStep("train_gpt.py", 5, "validation tokens"),))
    return replace(base, **changes)  # type: ignore[arg-type]


def score(**changes: object) -> Score:
    base = Score(2, site(20), (2,), frozenset({2}), 2, frozenset({1}), frozenset(), frozenset(), ())
    return replace(base, **changes)  # type: ignore[arg-type]


def facts(u: Update, s: Score, text: str = "final val_bpb:", **changes: object) -> SourceFacts:
    loops = {i: Loop(i, site(i), None) for i in (1, 2, 3)}
    reports = (Report(site(30), text, frozenset({s.id}), 9),) if text else ()
    trained = Update(99, StateKind.WEIGHTS, site(2), frozenset({Origin.TRAIN}), (), frozenset(), -1, ())
    base = SourceFacts("train_gpt.py", updates=(trained, u), scores=(s,), reports=reports, loops=loops)
    return replace(base, **changes)  # type: ignore[arg-type]


def judge(rule: str, f: SourceFacts) -> tuple[Outcome, list[Confidence]]:
    ruled = RULES[rule].check_source(EMPTY, f)
    return ruled.outcome, [finding.confidence for finding in ruled.findings]


def test_earlier_pass_is_certain_when_reported() -> None:
    assert judge("ttt-pre-quant", facts(update(), score())) == (Outcome.FOUND, [Confidence.HIGH])


def test_an_undecided_guard_lowers_confidence() -> None:
    found = facts(update(guard="probe() > 3"), score())
    assert judge("ttt-pre-quant", found) == (Outcome.FOUND, [Confidence.MEDIUM])


def test_an_unreported_score_is_only_suggestive() -> None:
    assert judge("ttt-pre-quant", facts(update(), score(), text="")) == (Outcome.FOUND, [Confidence.LOW])


def test_a_diagnostic_decides_nothing() -> None:
    assert judge("ttt-pre-quant", facts(update(), score(), text="DIAGNOSTIC val_bpb:"))[0] is Outcome.CLEAR


def test_no_score_is_never_clear() -> None:
    nothing = SourceFacts("train_gpt.py")
    order = ["ttt-pre-quant", "ttt-final-epoch-score", "min-nll-epochs", "rescore-two-pass", "val-train"]
    others = ["paid-prefix", "ngram-target-key", "oracle-select", "ppm-byte-mix", "gptq-val-calib"]
    assert {judge(rule, nothing)[0] for rule in order + others} == {Outcome.UNKNOWN}
    assert gap(nothing)


def test_a_walk_cut_short_is_unknown() -> None:
    legal = facts(update(origins=frozenset({Origin.TRAIN})), score(), complete=False)
    assert judge("ttt-pre-quant", legal)[0] is Outcome.UNKNOWN


def test_score_first_is_recognised_and_not_accused() -> None:
    s = score(loops=(1,), varies=frozenset({1}), position=0)
    f = facts(update(), s)
    assert judge("ttt-pre-quant", f)[0] is Outcome.CLEAR
    assert judge("ttt-score-first", f)[0] is Outcome.FOUND


def test_a_second_pass_is_named_as_such() -> None:
    first = score(id=3, loops=(1,), varies=frozenset({1}), position=0, depends_on=frozenset(), site=site(8))
    minimised = score(id=4, loops=(1,), varies=frozenset({1}), position=0, depends_on=frozenset(), with_grad=True)
    f = facts(update(), score())
    earlier = Report(site(31), "pass val_bpb:", frozenset({3}), 8)
    f = replace(f, scores=(first, *f.scores), reports=(*f.reports, earlier))
    assert judge("rescore-two-pass", f)[0] is Outcome.FOUND
    assert judge("ttt-pre-quant", f)[0] is Outcome.CLEAR
    only_loss = replace(f, scores=(minimised, *f.scores[1:]))
    assert judge("ttt-pre-quant", only_loss)[0] is Outcome.FOUND


def test_epochs_over_the_same_data_are_repeated() -> None:
    u, s = update(loops=(3, 1), varies=frozenset({1})), score(loops=(3, 1), varies=frozenset({1}), position=0)
    f = facts(u, s)
    assert judge("ttt-final-epoch-score", f)[0] is Outcome.FOUND
    once = replace(f, loops={**f.loops, 3: Loop(3, site(3), 1)})
    assert judge("ttt-final-epoch-score", once)[0] is Outcome.CLEAR
    first = replace(f, scores=(replace(s, first_turn_only=frozenset({3})),))
    assert judge("ttt-final-epoch-score", first)[0] is Outcome.CLEAR


def look(**changes: object) -> Lookup:
    base = Lookup(5, site(9), False, "", frozenset({Origin.VAL}), (1,), 0, ())
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (look(position=0), Order.SCORE_FIRST),
        (look(position=2), Order.TRAIN_FIRST),
        (look(position=2, loops=(2,)), Order.EARLIER_PASS),
        (look(position=0, loops=(3, 1)), Order.SCORE_FIRST),
    ],
)
def test_a_table_is_used_where_it_is_read(read: Lookup, expected: Order) -> None:
    u, s = update(StateKind.TABLE), score(lookups=frozenset({5}))
    f = facts(u, s, lookups=(read,))
    assert stands(f, u, s) is expected
    assert (judge("rescore-two-pass", f)[0] is Outcome.FOUND) == (expected is not Order.SCORE_FIRST)


def test_disjoint_slices_of_one_turn_are_score_first() -> None:
    u = update(StateKind.VECTOR, loops=(1, 3), disjoint_from=frozenset({2}))
    s = score(loops=(1,), varies=frozenset({1}))
    assert stands(facts(u, s), u, s) is Order.SCORE_FIRST
    assert judge("slot-causal", facts(u, s))[0] is Outcome.FOUND
    assert judge("slot-scored-region", facts(u, s))[0] is Outcome.CLEAR
    overlap = replace(u, disjoint_from=frozenset())
    assert judge("slot-scored-region", facts(overlap, s))[0] is Outcome.FOUND
    assert judge("slot-causal", facts(overlap, s))[0] is Outcome.CLEAR
    carried = replace(overlap, carried=True)
    assert judge("etlb", facts(carried, s))[0] is Outcome.FOUND
    assert judge("slot-scored-region", facts(carried, s))[0] is Outcome.CLEAR


def test_a_loss_before_an_update_is_a_training_loss() -> None:
    s = score(loops=(1,), varies=frozenset({1}), position=0)
    assert standing(facts(update(), s, text="ttt:epoch 1/3 loss:"), s) is Standing.TRAINING_LOSS
    assert standing(facts(update(), s, text="ttt bpb="), s) is Standing.REPORTED


def record(
    train: float, seconds: float | None, reserve: float | None = None, source: str | None = "train"
) -> RecordFacts:
    place = Place(log="train_seed42.log", line=3)
    line = Calibration("gptq:collected", source, seconds, 68, True, place)
    times = PhaseTimes(train, place, 600.0, reserve, seconds, place, None)
    run = Run(
        log="train_seed42.log", part=0, first_line=1, last_line=3, seed=42, seed_at=None, is_training=True, kinds=(),
        phases=(), calibrations=(line,), times=times,
    )
    return RecordFacts(runs=(run,), headline_runs=("train_seed42.log",))


@pytest.mark.parametrize(
    ("made", "outcome", "level"),
    [
        (record(586.0, 9.8, 14.0), Outcome.CLEAR, None),
        (record(600.0, 3.4), Outcome.FOUND, Confidence.MEDIUM),
        (record(599.6, 4.7, 0.5), Outcome.FOUND, Confidence.MEDIUM),
        (record(600.0, 41.5), Outcome.FOUND, Confidence.HIGH),
        (record(599.6, 10.9, 0.5), Outcome.FOUND, Confidence.HIGH),
        (record(600.0, None), Outcome.FOUND, Confidence.MEDIUM),
        (record(600.0, 3.4, source=None), Outcome.FOUND, Confidence.MEDIUM),
        (record(599.6, 3.5, 0.5, source=None), Outcome.NOT_APPLICABLE, None),
        (record(600.0, 41.5, source="generated"), Outcome.NOT_APPLICABLE, None),
    ],
)
def test_seconds_of_calibration(made: RecordFacts, outcome: Outcome, level: Confidence | None) -> None:
    ruled = RULES["gptq-train-after-cap"].check_record(EMPTY, made)
    assert ruled.outcome is outcome
    assert [finding.confidence for finding in ruled.findings] == ([level] if level else [])
