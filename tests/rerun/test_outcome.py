"""The judgement: one record for each outcome, the order of precedence over all combinations, damage never helps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.rerun.claimed import Claimed
from auditor.rerun.facts import Hardware, MeasuredScore, RerunRecord, RunOutcome, SeedEnd
from auditor.rerun.outcome import EXIT, ORDER, Sign, judge_claimed, settle
from tests.rerun.judging import (
    CLAIMED,
    EIGHT,
    NOTHING,
    ONE_A100,
    TOY,
    ended,
    finished,
    good,
    phases,
    record,
)

BAD_BPB = [math.nan, math.inf, -1.0, 0.0, 25.0]


def one(**changes: object) -> RerunRecord:
    return record(finished(42, 1.0603, **changes))


def stated_long() -> RerunRecord:
    """The harness could not tell the phases; the script itself states 650 s."""
    return one(phases=(), train_seconds=None, stated_train_seconds=650.0)


TABLE: list[tuple[str, RerunRecord, Claimed, RunOutcome, str]] = [
    ("three seeds bear it out", good(), CLAIMED, RunOutcome.REPRODUCED, "within the tolerance"),
    ("one seed bears it out", one(), CLAIMED, RunOutcome.REPRODUCED, "within the tolerance"),
    ("better than claimed", record(finished(42, 1.05)), CLAIMED, RunOutcome.REPRODUCED, "better"),
    ("worse", record(finished(42, 1.07), finished(7, 1.07)), CLAIMED, RunOutcome.NOT_REPRODUCED, "worse"),
    ("worse by little more than the tolerance", record(finished(42, 1.0625)), CLAIMED, RunOutcome.NOT_REPRODUCED,
     "compare the environments"),
    ("worse by far", record(finished(42, 1.1)), CLAIMED, RunOutcome.NOT_REPRODUCED, "at most 0.0075"),
    ("artifact over", one(artifact_bytes=16_000_001), CLAIMED, RunOutcome.OVER_CAP, "16,000,001"),
    ("artifact and packed code over", one(artifact_bytes=15_990_000), CLAIMED, RunOutcome.OVER_CAP, "16,050,000"),
    ("only plain code over", one(artifact_bytes=15_970_000), CLAIMED, RunOutcome.REPRODUCED, "disputed size"),
    ("only plain code over, packed size not known", one(artifact_bytes=15_970_000), replace(CLAIMED, code_packed=None),
     RunOutcome.OVER_CAP, "16,030,000"),
    ("training too long", one(phases=phases(train=640.0)), CLAIMED, RunOutcome.OVER_TIME, "training"),
    ("training too long by its own clock", stated_long(), CLAIMED, RunOutcome.OVER_TIME, "650.0 s"),
    ("evaluation too long", one(phases=phases(evaluation=688.0)), CLAIMED, RunOutcome.OVER_TIME, "evaluation"),
    ("calibration after the clock", one(phases=phases(calibration=9.0)), CLAIMED, RunOutcome.REPRODUCED,
     "by some readings"),
    ("diagnostics make it long", one(phases=phases(aside=600.0)), CLAIMED, RunOutcome.REPRODUCED,
     "by some readings"),
    ("no budget in the other track", one(phases=phases(train=2000.0)), replace(CLAIMED, record_track=False),
     RunOutcome.REPRODUCED, "within"),
    ("crash", record(finished(42), ended(7, SeedEnd.CRASHED)), CLAIMED, RunOutcome.CRASHED, "seed 7: the line"),
    ("out of memory", record(ended(7, SeedEnd.OUT_OF_MEMORY)), CLAIMED, RunOutcome.OUT_OF_MEMORY, "seed 7"),
    ("killed", record(ended(7, SeedEnd.TIMED_OUT, "")), CLAIMED, RunOutcome.TIMED_OUT, "killed at the limit"),
    ("interrupted", record(finished(42), ended(7, SeedEnd.INTERRUPTED)), CLAIMED, RunOutcome.INCONCLUSIVE,
     "not finished: seed 7"),
    ("interrupted, then run again", record(ended(7, SeedEnd.INTERRUPTED), finished(7)), CLAIMED,
     RunOutcome.REPRODUCED, "within"),
    ("a seed never started", replace(good(), asked_seeds=(42, 7, 99, 5)), CLAIMED, RunOutcome.INCONCLUSIVE, "seed 5"),
    ("nothing ran", record(), CLAIMED, RunOutcome.INCONCLUSIVE, "no run finished"),
    ("nothing claimed", one(), NOTHING, RunOutcome.INCONCLUSIVE, "no score is stated"),
    ("no score printed", one(headline=None), CLAIMED, RunOutcome.INCONCLUSIVE, "no score was found"),
    ("size not measured", one(artifact_bytes=None), CLAIMED, RunOutcome.INCONCLUSIVE, "size was not measured"),
    ("time not measured", one(phases=(), train_seconds=None), CLAIMED, RunOutcome.INCONCLUSIVE,
     "the time of training was not measured"),
    ("other hardware, worse and late", record(finished(42, 1.2, phases=phases(train=900.0)), hardware=ONE_A100),
     CLAIMED, RunOutcome.INCONCLUSIVE, "neither confirm nor refute"),
    ("other hardware, borne out", record(finished(42), hardware=ONE_A100), CLAIMED, RunOutcome.INCONCLUSIVE, "A100"),
    ("other hardware, over the cap", record(finished(42, artifact_bytes=17_000_000), hardware=ONE_A100), CLAIMED,
     RunOutcome.OVER_CAP, "17,000,000"),
    ("other hardware, crash", record(ended(42, SeedEnd.CRASHED), hardware=ONE_A100), CLAIMED, RunOutcome.CRASHED, ""),
    ("H100 PCIe", record(finished(42), hardware=replace(EIGHT, gpus=("NVIDIA H100 PCIe",) * 8)), CLAIMED,
     RunOutcome.INCONCLUSIVE, "PCIe"),
    ("toy", record(finished(42, 5.4), hardware=TOY), CLAIMED, RunOutcome.INCONCLUSIVE, "toy world"),
    ("toy with long code", record(finished(42, 5.4, code_bytes=17_000_000), hardware=TOY), CLAIMED,
     RunOutcome.INCONCLUSIVE, "toy world"),
    ("toy over the cap", record(finished(42, 5.4, artifact_bytes=17_000_000), hardware=TOY), CLAIMED,
     RunOutcome.OVER_CAP, "17,000,000"),
    ("toy crash", record(ended(42, SeedEnd.CRASHED), hardware=TOY), CLAIMED, RunOutcome.CRASHED, "seed 42"),
    ("set-up", record(setup_error="no shard"), CLAIMED, RunOutcome.SETUP_FAILED, "no shard"),
    ("harness", record(finished(42), harness_error="disk full"), CLAIMED, RunOutcome.HARNESS_FAILED, "disk full"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "measured", "claimed", "outcome", "says"), TABLE, ids=[row[0] for row in TABLE])
def test_each_outcome(name: str, measured: RerunRecord, claimed: Claimed, outcome: RunOutcome, says: str) -> None:
    judged = judge_claimed(measured, claimed)
    assert judged.outcome is outcome, judged.reasons
    assert judged.reasons
    assert says in " | ".join(judged.reasons)
    assert judged.exit_code == EXIT[outcome]
    if outcome not in (RunOutcome.REPRODUCED, RunOutcome.INCONCLUSIVE):
        assert says in judged.reasons[0]


def test_every_outcome_has_an_exit_code_and_is_in_the_table() -> None:
    assert set(EXIT) == set(RunOutcome)
    assert {row[3] for row in TABLE} == set(RunOutcome)
    assert {EXIT[o] for o in (RunOutcome.OVER_CAP, RunOutcome.OVER_TIME, RunOutcome.NOT_REPRODUCED)} == {1}
    assert EXIT[RunOutcome.REPRODUCED] == 0


def test_precedence_over_all_combinations_of_signs() -> None:
    """All 1,024 sets of signs: the first of the order decides, and another machine never counts against the claim."""
    for size in range(len(Sign) + 1):
        for seen in itertools.combinations(Sign, size):
            outcome = settle(seen)
            unequal = Sign.UNEQUAL in seen
            counted = [s for s, _ in ORDER if s in seen and not (unequal and s in (Sign.OVER_TIME, Sign.WORSE))]
            assert outcome is (dict(ORDER)[counted[0]] if counted else RunOutcome.REPRODUCED)
            assert (outcome is RunOutcome.REPRODUCED) == (not seen)
            if unequal:
                assert outcome not in (RunOutcome.OVER_TIME, RunOutcome.NOT_REPRODUCED, RunOutcome.REPRODUCED)


ENDS = st.sampled_from([e for e in SeedEnd if e is not SeedEnd.FINISHED])
RUNS = st.lists(
    st.one_of(
        st.builds(
            lambda seed, bpb, size, train, ev: finished(
                seed, bpb, artifact_bytes=size, phases=phases(train=train, evaluation=ev)
            ),
            st.sampled_from([42, 7, 99]), st.sampled_from([1.05, 1.06, 1.0605, 1.09, *BAD_BPB]),
            st.sampled_from([15_000_000, 15_970_000, 16_500_000, None, -5]), st.sampled_from([599.0, 700.0, math.nan]),
            st.sampled_from([300.0, 700.0, math.inf]),
        ),
        st.builds(ended, st.sampled_from([42, 7, 99]), ENDS),
    ),
    max_size=4,
)  # fmt: skip
MACHINES = st.sampled_from([EIGHT, TOY, ONE_A100, Hardware()])


@settings(max_examples=200, deadline=None)
@given(RUNS, MACHINES, st.sampled_from([CLAIMED, NOTHING]), st.sampled_from(["", "broken"]))
def test_whatever_the_record_holds(runs: list, machine: Hardware, claimed: Claimed, error: str) -> None:  # type: ignore[type-arg]
    measured = record(*runs, hardware=machine, harness_error=error)
    judged = judge_claimed(measured, claimed)
    assert judged == judge_claimed(measured, claimed)
    assert judged.reasons and all(judged.reasons)
    if error:
        assert judged.outcome is RunOutcome.HARNESS_FAILED
    if judged.outcome is RunOutcome.REPRODUCED:
        assert machine == EIGHT and claimed is CLAIMED and runs
        for run in runs:
            if run.end is SeedEnd.FINISHED:
                assert run.headline is not None and 0 < run.headline.bpb < 20
                assert run.artifact_bytes is not None and 0 < run.artifact_bytes <= 16_000_000
                assert run.eval_seconds is not None and run.eval_seconds <= 601.0
                assert not math.isnan(run.phases[-1].end)
            else:
                assert run.end is SeedEnd.INTERRUPTED
        assert {run.seed for run in runs} == {run.seed for run in runs if run.end is SeedEnd.FINISHED}
    if not machine.equivalent:
        assert judged.outcome not in (RunOutcome.NOT_REPRODUCED, RunOutcome.OVER_TIME, RunOutcome.REPRODUCED)


@pytest.mark.parametrize("bpb", BAD_BPB)
def test_a_score_that_is_no_number_never_bears_a_claim_out(bpb: float) -> None:
    judged = judge_claimed(record(finished(42, 1.0601), finished(7, bpb)), CLAIMED)
    assert judged.outcome is RunOutcome.INCONCLUSIVE
    assert "seed 7: its score is no usable number" in judged.reasons[0]


@pytest.mark.parametrize(
    "changes",
    [{"artifact_bytes": -1}, {"steps": -5}, {"eval_seconds": math.nan}, {"train_seconds": "599"}, {"code_bytes": True},
     {"artifact_bytes": 10**400}, {"steps": 10**30}, {"seconds": math.inf},
     {"phases": phases(train=math.nan)}, {"phases": phases(train=-1.0)}],
)  # fmt: skip
def test_damaged_figures_leave_it_open(changes: dict[str, object]) -> None:
    judged = judge_claimed(record(finished(42, 1.0601, **changes)), CLAIMED)
    assert judged.outcome is RunOutcome.INCONCLUSIVE
    assert "damaged" in " ".join(judged.reasons)
    assert judge_claimed(record(finished(42, 1.9, **changes)), CLAIMED).outcome is RunOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "changes",
    [{"phases": phases()[2:], "seconds": 1010.0}, {"phases": phases()[:-2], "seconds": 1010.0},
     {"phases": (*phases()[:2], *phases()[3:])}, {"phases": phases(train=900.0), "train_seconds": 599.0},
     {"phases": phases(evaluation=900.0), "eval_seconds": 300.0}, {"eval_seconds_strict": 0.0},
     {"phases": phases(), "seconds": 5000.0}],
)  # fmt: skip
def test_phases_that_contradict_the_seconds_leave_it_open(changes: dict[str, object]) -> None:
    """A span cut out, or a sum that is not that of the spans, is no run that was measured."""
    judged = judge_claimed(record(finished(42, 1.0601, **changes)), CLAIMED)
    assert judged.outcome in (RunOutcome.INCONCLUSIVE, RunOutcome.OVER_TIME)
    assert "contradict" in " ".join(judged.reasons)


def test_a_record_cannot_widen_its_own_limits() -> None:
    def wide(**changes: object) -> RerunRecord:
        return replace(one(**changes), cap_bytes=10**9, limit_train=1e9, limit_eval=1e9)

    assert judge_claimed(wide(artifact_bytes=16_500_000), CLAIMED).outcome is RunOutcome.OVER_CAP
    assert judge_claimed(wide(phases=phases(train=700.0)), CLAIMED).outcome is RunOutcome.OVER_TIME


@pytest.mark.parametrize("limit", [math.nan, math.inf, -1.0, 0.0, 1e9])
def test_a_senseless_limit_is_the_usual_one(limit: float) -> None:
    late = replace(one(phases=phases(train=700.0)), limit_train=limit, limit_eval=limit)
    assert judge_claimed(late, CLAIMED).outcome is RunOutcome.OVER_TIME
    assert judge_claimed(replace(one(), limit_train=limit), CLAIMED).outcome is RunOutcome.REPRODUCED
    assert judge_claimed(replace(one(), cap_bytes=-1), CLAIMED).outcome is RunOutcome.REPRODUCED


def test_a_run_without_phases_bears_nothing_out() -> None:
    assert judge_claimed(one(phases=()), CLAIMED).outcome is RunOutcome.INCONCLUSIVE


def test_a_stricter_limit_that_was_asked_for_holds() -> None:
    judged = judge_claimed(record(finished(42), limit_eval=200.0), CLAIMED)
    assert judged.outcome is RunOutcome.OVER_TIME
    assert "more than 200 s" in judged.reasons[0]


def test_all_that_was_seen_is_told_the_decisive_first() -> None:
    runs = (finished(42, 1.1, artifact_bytes=16_500_000), ended(7, SeedEnd.CRASHED, "KeyError: 'x'"))
    judged = judge_claimed(record(*runs), CLAIMED)
    assert judged.outcome is RunOutcome.OVER_CAP
    assert "16,500,000" in judged.reasons[0]
    told = " | ".join(judged.reasons[1:])
    assert "worse" in told and "KeyError" in told and "not finished: seed 7" in told


def test_steps_and_tokens_are_compared_on_another_machine() -> None:
    judged = judge_claimed(record(finished(42, 1.2, steps=1250), hardware=ONE_A100), CLAIMED)
    told = " | ".join(judged.reasons)
    assert "steps: 1,250 of the claimed 5,000 (25%)" in told
    assert "1.20000 measured" in told and "counts for nothing" in told


def test_stated_against_measured() -> None:
    judged = judge_claimed(good(), CLAIMED)
    by_kind = {claim.kind: claim for claim in judged.claims}
    assert by_kind["val_bpb"].stated == 1.06
    assert by_kind["val_bpb"].measured == pytest.approx(1.06003333)
    assert (by_kind["bytes_total"].stated, by_kind["bytes_total"].measured) == (15_900_000, 15_860_000)
    assert (by_kind["val_bpb_seed_42"].stated, by_kind["val_bpb_seed_42"].measured) == (1.0601, 1.0603)
    assert by_kind["train_seconds"].measured == 599.0
    assert by_kind["seeds"].measured == 3
    line = next(line for line in judged.seeds if line.seed == 42)
    assert (line.measured, line.stated, line.within) == (1.0603, 1.0601, True)
    assert line.gap == pytest.approx(0.0002)


def test_a_toy_run_measures_nothing_of_the_claim() -> None:
    judged = judge_claimed(record(finished(42, 5.4), hardware=TOY), CLAIMED)
    assert judged.claims and all(claim.measured is None for claim in judged.claims)


def test_the_score_that_stands_for_the_claim_is_the_headline() -> None:
    other = MeasuredScore("step", 1.3, None, 3, 100.0)
    judged = judge_claimed(record(replace(finished(42, 1.0601), scores=(other,))), CLAIMED)
    assert judged.statistics is not None and judged.statistics.mean == 1.0601
