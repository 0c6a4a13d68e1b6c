"""Sizes, statistics, metric, claims, seeds, data: the deciding functions against known values."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.record import analyse
from auditor.record.data import covers_all
from auditor.record.facts import Over
from auditor.record.frontier import load_edition
from auditor.record.sizes import decide
from auditor.record.stated import as_number, read_claims, seed_of
from auditor.record.stats import Sample, nats_to_bpb, one_sample_p, welch_p
from rules._record import SEEDS, folder, log, metadata
from tests.support import make_submission

CAP = 16_000_000


@pytest.mark.parametrize(
    ("claimed", "logged", "shipped", "packed", "expected"),
    [
        (15_900_000, 15_900_000, 15_900_000, 15_850_000, Over.UNDER),
        (CAP, CAP, CAP, CAP, Over.UNDER),
        (None, CAP + 1, CAP + 1, CAP + 1, Over.OVER),
        (16_024_793, 16_024_793, 16_024_793, 15_991_813, Over.OVER),
        (None, 16_071_321, 15_993_020, 15_993_020, Over.CONTESTED),
        (15_978_121, 16_054_963, 16_054_963, 15_997_856, Over.CONTESTED),
        (15_907_550, 15_907_550, 16_033_980, 15_908_362, Over.NOTED),
        (16_265_723, None, None, None, Over.OVER),
        (None, None, None, None, Over.UNKNOWN),
    ],
)
def test_the_four_readings(
    claimed: int | None, logged: int | None, shipped: int | None, packed: int | None, expected: Over
) -> None:
    assert decide(claimed=claimed, logged=logged, shipped=shipped, packed=packed)[0] is expected


def test_modules_beside_the_script_are_contested_not_over() -> None:
    stated = 15_994_604
    found, _ = decide(claimed=stated, logged=stated, shipped=16_021_634, packed=16_001_428, entry_only=stated)
    assert found is Over.CONTESTED


def test_welch_against_a_worked_example() -> None:
    """Two samples of ten and the textbook's t and degrees of freedom; the tail from a t table (t 1.833, 9 df: 0.05)."""
    new = Sample.of([20.4, 24.2, 15.4, 21.4, 20.2, 18.5, 21.5])
    old = Sample.of([20.2, 16.9, 18.5, 17.3, 20.5])
    t = (old.mean - new.mean) / math.sqrt(new.std_ddof1**2 / 7 + old.std_ddof1**2 / 5)
    p = welch_p(new=new, old=old)
    assert t < 0 and 0.8 < p < 0.95
    assert welch_p(new=old, old=new) == pytest.approx(1 - p)


def test_tails_match_the_t_table() -> None:
    """t = 2.920 with 2 degrees of freedom has the one-sided tail 0.05, t = 6.965 has 0.01."""
    std = 0.001
    for t, tail in ((2.920, 0.05), (6.965, 0.01)):
        mean = 1.1 - t * std / math.sqrt(3)
        assert one_sample_p(new=Sample(mean, std, 3), baseline=1.1) == pytest.approx(tail, rel=2e-3)
    equal = Sample(1.0, 0.01, 3)
    shifted = Sample(1.0 + 2.132 * 0.01 * math.sqrt(2 / 3), 0.01, 3)
    assert welch_p(new=equal, old=shifted) == pytest.approx(0.05, rel=2e-3), "t 2.132 with 4 degrees of freedom"


def test_the_margin_moves_the_gain_and_bad_samples_are_refused() -> None:
    new = Sample(1.0, 0.001, 3)
    assert one_sample_p(new=new, baseline=1.003, margin=0.003) == pytest.approx(0.5)
    assert one_sample_p(new=Sample(1.0, 0.0, 3), baseline=1.1) == 0.0
    for bad in (Sample(1.0, 0.001, 1), Sample(1.0, -1.0, 3), Sample(1.0, math.nan, 3)):
        with pytest.raises(ValueError):
            one_sample_p(new=bad, baseline=1.0)
    with pytest.raises(ValueError):
        Sample.of([1.0])
    assert nats_to_bpb(nats=0.005, bytes_per_token=3.73) == pytest.approx(0.00193, rel=5e-3)


def test_rows_of_the_same_day_are_no_frontier() -> None:
    edition = load_edition()
    first = edition.rows[0].date
    assert edition.frontier(first) is None
    after = edition.frontier("2026-04-10")
    assert after is not None and after.score == pytest.approx(1.0798)
    assert edition.seeds == 3 and edition.margin_nats == 0.005


@pytest.mark.parametrize(
    ("value", "number"),
    [(1.5, 1.5), ("15,999,370 bytes", 15_999_370.0), ("pending", None), (None, None), (True, None), (math.nan, None),
     ([1], None), ("15.9 MB", 15_900_000.0), (math.inf, None), (10**400, None), ("9" * 400, None), (1e308, None)],
)
def test_dirty_numbers(value: object, number: float | None) -> None:
    found = as_number(value)
    assert (found[0] if found else None) == number


@pytest.mark.parametrize(
    ("readme", "score"),
    [("quantisation gap ~0.0001 BPB\n", None), ("gap 0.0001 BPB\nval_bpb: 1.1556\n", 1.1556),
     ("val_bpb before: 1.2172\nval_bpb after: 1.1556\n", 1.1556), ("val_bpb 1.3001, later 1.3002 bpb", 1.3001)],
)
def test_the_readme_states_a_score_not_a_difference(readme: str, score: float | None) -> None:
    files: dict[str, str | bytes] = {**folder(submission=metadata(val_bpb=1.1556)), "README.md": readme}
    found = read_claims(make_submission(files)).readme_score
    assert (found.value if found else None) == score


def test_figures_that_no_run_has_do_not_crash() -> None:
    odd = {"val_bpb": math.nan, "bytes_total": math.inf, "seeds": [1e400, -1], "notes": [math.nan, 1e308]}
    analyse(make_submission(dict(folder(submission=json.dumps(odd)))))


def test_seed_names() -> None:
    assert [seed_of(x) for x in (42, "42", "seed_42", "seed 7", True, None, "x")] == [42, 42, 42, 7, None, None, None]


KEYS = st.sampled_from(["val_bpb", "seeds", "seed_results", "bytes_total", "vocab_size", "42", "date", "mean"])
ATOMS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.recursive(ATOMS, lambda x: st.lists(x, max_size=4) | st.dictionaries(KEYS, x, max_size=5), max_leaves=12))
def test_no_metadata_crashes_the_witness(data: object) -> None:
    files = folder(submission=json.dumps({"val_bpb": data, "seeds": data, "seed_results": data, "bytes_total": data}))
    submission = make_submission(dict(files))
    read_claims(submission)
    assert analyse(submission).ready.ready in (True, False, None)


def test_a_seed_over_the_cap_is_read_from_its_own_figure() -> None:
    text = metadata(bytes_total=15_000_000, seed_results={"42": {"val_bpb": 1.1, "artifact_bytes": 16_000_001}})
    claims = read_claims(make_submission(dict(folder(submission=text))))
    assert claims.total is not None and claims.total.value == 16_000_001


@pytest.mark.parametrize("tokens", [62_021_632, 62_021_845, 40_540_160, 40_548_352, 47_851_520, 47_853_343])
def test_known_counts_cover_all(tokens: int) -> None:
    assert covers_all(tokens)


@pytest.mark.parametrize("tokens", [9_662_464, 65_536, 36_562_944])
def test_partial_counts_do_not(tokens: int) -> None:
    assert not covers_all(tokens)


def test_a_headline_is_found_as_one_log_as_mean_or_not_at_all() -> None:
    one = analyse(make_submission(dict(folder()))).metric
    mean = analyse(make_submission(dict(SEEDS))).metric
    none = analyse(make_submission(dict(folder(submission=metadata(val_bpb=1.0431))))).metric
    assert (one.how, mean.how, none.how) == ("one log", "mean of seeds", "not logged")
    assert mean.std == pytest.approx(1e-4, rel=1e-6) and none.nearest == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("stated", "headline"),
    [({"val_loss": 1.1}, 1.1), ({"val_loss": 1.8573}, None), ({"val_loss": 1.2}, None),
     ({"val_loss": 1.1, "val_bpb": 1.3}, 1.3)],
)  # fmt: skip
def test_bits_per_byte_under_the_name_of_the_loss(stated: dict[str, float], headline: float | None) -> None:
    said = json.dumps({"name": "x", **stated})
    files: dict[str, str | bytes] = {**folder(), "submission.json": said, "README.md": "# A model\n"}
    metric = analyse(make_submission(files)).metric
    assert metric.headline == headline and bool(metric.logged_as) is (headline == 1.1)
    assert (metric.headline_loss is None) is (headline == 1.1)


def test_the_clock_and_the_evaluation_are_read() -> None:
    (run,) = analyse(make_submission(dict(folder(train_log=log(train_ms=599_123, eval_ms=95_500))))).runs
    assert run.times is not None
    assert run.times.train == pytest.approx(599.123) and run.times.eval_needed == pytest.approx(95.5)


def test_three_seeds_are_counted_and_a_changed_setting_is_seen() -> None:
    facts = analyse(make_submission(dict(SEEDS)))
    assert facts.seeds.count == 3 and facts.ready.ready is True, facts.ready
    other = {**SEEDS, "train_seed7.log": "num_layers: 11\n" + SEEDS["train_seed7.log"],
             "train.log": "num_layers: 9\n" + SEEDS["train.log"]}
    differs = analyse(make_submission(dict(other)))
    assert [name for name, _, _ in differs.seeds.config_differs] == ["num_layers"]
    assert differs.ready.ready is False


def test_a_log_that_holds_two_runs_is_split() -> None:
    text = log(seed=1).replace("step:100/", "step:0/").replace("step:100/", "step:1/")
    facts = analyse(make_submission(dict(folder(train_log=text + text.replace("seed:1", "seed:2")))))
    assert [run.name for run in facts.runs] == ["train.log", "train.log#2"]
    assert [run.seed for run in facts.runs] == [1, 2]


def test_an_empty_folder_is_not_ready_and_nothing_crashes() -> None:
    facts = analyse(make_submission({}))
    assert facts.ready.ready is False and facts.sizes is not None and facts.sizes.decision is Over.UNKNOWN


BUILD = "The 80 training shards match the val_docs=10000 build byte for byte."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (BUILD, True),
        ("We changed `--val-docs=10000` to `--val-docs=50000` so the training data hold no such text.", False),
        ("The training shards do not come from val_docs=10000.", False),
        ("Run prepare_data.py --val-docs 10000 for a smoke test.", False),
    ],
)
def test_only_the_authors_own_words_accuse_the_build(text: str, found: bool) -> None:
    facts = analyse(make_submission(dict(folder(readme_md=f"# Example\n\nval_bpb 1.1000\n\n{text}\n"))))
    assert [issue.rule for issue in facts.data] == (["train-val-overlap"] if found else [])
