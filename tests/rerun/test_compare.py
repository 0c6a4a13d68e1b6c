"""Measured scores against stated ones: the known answers, what is compared with what, and the tolerance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditor.core.types import Place
from auditor.rerun.claimed import Claimed, claimed_numbers, claimed_of
from auditor.rerun.compare import FAR, TOLERANCE, WIDEST, compare
from auditor.rerun.facts import RunOutcome
from auditor.rerun.outcome import judge_numbers
from rules._record import SEEDS
from tests.rerun.judging import CLAIMED
from tests.support import make_submission

# (claimed, re-run, who says so): the numbers stand on the pull requests.
KNOWN = [
    ([1.1502], [1.1864], RunOutcome.NOT_REPRODUCED),  # 86: a maintainer, 2026-05-04
    ([1.15015359], [1.18637676], RunOutcome.NOT_REPRODUCED),  # the same with all digits
    ([1.1570], [1.2280], RunOutcome.NOT_REPRODUCED),  # 640
    ([1.08971631], [1.09215243], RunOutcome.NOT_REPRODUCED),  # 1334: a maintainer, "not closely enough"
    ([1.08938974], [1.09250239], RunOutcome.NOT_REPRODUCED),  # 1334, seed 42
    ([1.06108], [1.06043], RunOutcome.REPRODUCED),  # 1855 by okezue
    ([1.06128183], [1.06083288], RunOutcome.REPRODUCED),  # 1851 by 1868, seed 42
    ([1.03484145], [1.03459029], RunOutcome.REPRODUCED),  # 1911, seed 1337
    ([1.06766], [1.06907], RunOutcome.REPRODUCED),  # 1874 by 1909, seed 42
    ([1.05845], [1.05879], RunOutcome.REPRODUCED),  # 2101 by 2117
    ([1.06128183, 1.06086831, 1.06220261], [1.06083288, 1.06090748, 1.06248776], RunOutcome.REPRODUCED),  # 1868
]


@pytest.mark.parametrize(("claimed", "measured", "outcome"), KNOWN)
def test_published_reruns(claimed: list[float], measured: list[float], outcome: RunOutcome) -> None:
    judged = judge_numbers(claimed, measured)
    assert judged.outcome is outcome
    assert f"{judged.claims[0].measured:.5f} measured" in judged.reasons[0]


@pytest.mark.parametrize(("gap", "outcome"), [(-0.05, "reproduced"), (0.0, "reproduced"), (0.0019, "reproduced"),
                                             (0.0021, "not_reproduced"), (0.05, "not_reproduced")])  # fmt: skip
def test_one_number_each(gap: float, outcome: str) -> None:
    assert judge_numbers([1.1], [1.1 + gap]).outcome == outcome


def test_numbers_give_the_test_against_a_row_too() -> None:
    judged = judge_numbers([1.05], [1.0500, 1.0504, 1.0508], baseline=[1.06], bytes_per_token=3.73)
    assert judged.statistics is not None and judged.statistics.tests[0].baseline == 1.06
    assert judged.statistics.tests[0].p is not None
    welch = judge_numbers([1.05], [1.0500, 1.0504, 1.0508], baseline=[1.0601, 1.0599, 1.06], bytes_per_token=3.73)
    assert welch.statistics is not None and welch.statistics.tests[0].p != judged.statistics.tests[0].p


@pytest.mark.parametrize("bad", [[], [float("nan")], [0.0], [-1.0], [25.0], [1.1, float("inf")]])
def test_numbers_that_are_no_scores_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="bits per byte"):
        judge_numbers(bad, [1.1])
    with pytest.raises(ValueError, match="bits per byte"):
        judge_numbers([1.1], bad)


def test_seeds_are_matched_one_by_one() -> None:
    """The worst stated seed re-run alone: against its own score it agrees, against the mean it would not."""
    claimed = replace(CLAIMED, by_seed=((7, 1.0570), (42, 1.0601), (99, 1.0629)))
    found = compare(claimed, [(99, 1.0630)])
    assert found.gap == pytest.approx(0.0001) and not found.refuted
    assert "same seeds" in found.how


def test_a_headline_better_than_its_own_seeds_is_not_borne_out_by_them() -> None:
    """The logs' seeds repeat, and the claim is a better figure than any of them."""
    claimed = Claimed(score=1.05, by_seed=((7, 1.0599), (42, 1.0601), (99, 1.06)), n=3)
    found = compare(claimed, [(7, 1.0599), (42, 1.0601), (99, 1.06)])
    assert found.refuted and found.gap == pytest.approx(0.01)
    assert "stated score" in found.how


def test_a_headline_that_is_one_seed_is_held_against_that_seed() -> None:
    claimed = Claimed(score=1.0590, by_seed=((7, 1.0590), (42, 1.0640), (99, 1.0650)), n=3)
    assert not compare(claimed, [(7, 1.0592), (42, 1.0641), (99, 1.0650)]).refuted
    assert compare(claimed, [(7, 1.0640), (42, 1.0641), (99, 1.0650)]).refuted


def test_seeds_without_a_stated_score_go_against_the_headline_with_more_room() -> None:
    found = compare(CLAIMED, [(1, 1.0610), (2, 1.0620), (3, 1.0630)])
    assert TOLERANCE < found.tolerance <= WIDEST
    assert found.gap == pytest.approx(0.002)
    assert not found.refuted


def test_a_stated_spread_cannot_buy_room() -> None:
    """A huge stated deviation counts at most as an ordinary one."""
    honest, bloated = replace(CLAIMED, by_seed=(), std=0.001), replace(CLAIMED, by_seed=(), std=0.5)
    assert compare(bloated, [(1, 1.07)]).tolerance == compare(honest, [(1, 1.07)]).tolerance < FAR
    assert compare(replace(CLAIMED, by_seed=(), std=float("nan")), [(1, 1.07)]).refuted


def test_repeats_of_one_seed_widen_the_tolerance_but_never_far() -> None:
    usual = compare(CLAIMED, [(42, 1.0601), (42, 1.0602)])
    assert usual.tolerance == TOLERANCE
    noisy = compare(CLAIMED, [(42, 1.0601), (42, 1.0616)])
    assert TOLERANCE < noisy.tolerance <= WIDEST
    assert noisy.statistics.same_seed_std == pytest.approx(0.0010607, abs=1e-6)
    assert compare(CLAIMED, [(42, 1.06), (42, 1.09)]).tolerance == WIDEST


def test_the_means_are_tested_where_both_have_several_seeds() -> None:
    worse = compare(CLAIMED, [(42, 1.0651), (7, 1.0650), (99, 1.0649)]).statistics.gap_p
    same = compare(CLAIMED, [(42, 1.0601), (7, 1.0599), (99, 1.06)]).statistics.gap_p
    assert worse is not None and same is not None
    assert worse < 0.001 and same == pytest.approx(0.5)
    assert compare(CLAIMED, [(42, 1.0651)]).statistics.gap_p is None


def test_what_a_submission_states() -> None:
    from auditor.record import analyse

    submission = make_submission(dict(SEEDS))
    claimed = claimed_of(submission, analyse(submission))
    assert claimed.score == 1.06 and claimed.is_mean and claimed.n == 3
    assert dict(claimed.by_seed) == {42: 1.0601, 7: 1.0599, 99: 1.06}
    assert claimed.steps == 12_000 and claimed.entry_bytes
    assert claimed.score_at == Place(field="val_bpb")
    assert any("leaderboard row" in test.baseline_name for test in claimed.tests)
    tested = compare(claimed, [(42, 1.0601), (7, 1.0599), (99, 1.06)]).statistics.tests
    assert [t.row for t in tested] == [t.baseline_name for t in claimed.tests]
    assert tested[0].p is not None and tested[0].p < 0.01 and tested[0].further_seeds == 0


def test_bare_numbers_as_a_claim() -> None:
    assert claimed_numbers([1.1, 1.2]).score == pytest.approx(1.15)
    assert claimed_numbers([1.1], 0.0005).std == 0.0005
