"""The statistics against printed tables, textbook data, and p-values that submissions published."""

from __future__ import annotations

import math
import os
import re
import subprocess

import pytest

from auditor.record.stats import Sample, nats_to_bpb, one_sample_p, welch_p
from auditor.rerun.statistics import MOST_SEEDS, further_seeds, row_test, same_seed_spread, worse_p

# Upper critical values of Student's t, one-sided: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
T_TABLE = [
    (1, 0.05, 6.314), (2, 0.10, 1.886), (2, 0.05, 2.920), (2, 0.01, 6.965), (2, 0.001, 22.327), (3, 0.01, 4.541),
    (4, 0.01, 3.747), (5, 0.05, 2.015), (5, 0.01, 3.365), (9, 0.01, 2.821), (29, 0.05, 1.699), (29, 0.01, 2.462),
]  # fmt: skip
# Student's own data (Cushny and Peebles), hours of sleep gained; R prints for t.test(extra ~ group, sleep)
# t = -1.8608, df = 17.776, p = 0.07939 two-sided.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


@pytest.mark.parametrize(("freedom", "level", "t"), T_TABLE)
def test_the_one_sample_test_gives_the_table(freedom: int, level: float, t: float) -> None:
    n, std, baseline = freedom + 1, 0.0007, 1.1
    for shift, over in ((-0.002, True), (0.002, False)):
        mean = baseline - (t + shift) * std / math.sqrt(n)
        assert (one_sample_p(new=Sample(mean, std, n), baseline=baseline) > level) is over
    mean = baseline - t * std / math.sqrt(n)
    assert one_sample_p(new=Sample(mean, std, n), baseline=baseline) == pytest.approx(level, rel=2e-3)


def test_welch_gives_the_textbook_p() -> None:
    first, second = Sample.of(DRUG_1), Sample.of(DRUG_2)
    assert welch_p(new=first, old=second) == pytest.approx(0.07939 / 2, abs=5e-6)
    assert worse_p(first, second) == welch_p(new=first, old=second)


@pytest.mark.parametrize(
    ("per_std", "n", "needed"),
    # Smallest n with per_std * sqrt(n) above the table's t for p = 0.01 and n - 1 degrees of freedom.
    [(7.0, 3, 0), (2.0, 3, 2), (2.5, 3, 1), (1.2, 3, 4), (2.0, 5, 0), (4.1, 3, 0)],
)
def test_seeds_still_needed(per_std: float, n: int, needed: int) -> None:
    """By the table: n = 3 needs 6.965 / sqrt 3 = 4.021 deviations, 4 needs 2.271, 5 needs 1.676, 7 needs 1.188."""
    sample = Sample(1.0 - per_std * 0.001, 0.001, n)
    assert further_seeds(sample, 1.0, 0.0, 0.01) == needed


def test_no_number_of_seeds_shows_a_gain_below_the_margin() -> None:
    assert further_seeds(Sample(1.0, 0.001, 3), 1.001, 0.002, 0.01) is None
    assert further_seeds(Sample(1.0, 1.0, 3), 1.0001, 0.0, 0.01) is None
    assert further_seeds(Sample(1.0, 0.0, 2), 1.1, 0.0, 0.01) == 0
    assert MOST_SEEDS >= 100


def test_the_margin_is_nats_per_token_of_the_vocabulary_in_use() -> None:
    test = row_test([1.0500, 1.0504, 1.0508], "row", 1.06, 3.73)
    assert test is not None
    assert test.margin_bpb == pytest.approx(0.005 / (math.log(2) * 3.73))
    assert test.margin_bpb == nats_to_bpb(nats=0.005, bytes_per_token=3.73)
    assert test.gain_nats == pytest.approx(0.0096 * math.log(2) * 3.73)
    assert test.p is not None and test.p_without_margin is not None and test.p > test.p_without_margin
    cautious = row_test([1.0500, 1.0504, 1.0508], "row", 1.06, None)
    assert cautious is not None and cautious.margin_bpb > test.margin_bpb


def test_one_seed_has_no_test() -> None:
    test = row_test([1.05], "row", 1.06, 3.73)
    assert test is not None and test.p is None and test.further_seeds is None
    assert "fewer than two" in test.why
    assert row_test([], "row", 1.06, 3.73) is None


def test_a_row_with_known_seeds_gets_welch() -> None:
    row = Sample.of([1.0600, 1.0606, 1.0612])
    known, fixed = row_test([1.05, 1.051, 1.052], "r", row, 3.73), row_test([1.05, 1.051, 1.052], "r", row.mean, 3.73)
    assert known is not None and fixed is not None and known.p is not None and fixed.p is not None
    assert known.p == pytest.approx(
        welch_p(new=Sample.of([1.05, 1.051, 1.052]), old=row, margin=known.margin_bpb)
    )
    assert known.p != fixed.p


def test_same_seed_spread_is_pooled_over_seeds() -> None:
    assert same_seed_spread([(42, 1.0), (7, 1.1), (None, 1.2), (None, 1.3)]) is None
    spread = same_seed_spread([(42, 1.000), (42, 1.002), (7, 1.1), (7, 1.1)])
    assert spread is not None
    assert spread[0] == pytest.approx(0.001) and spread[1] == 2


GIT = os.environ.get("GOLF_CORPUS_GIT", "")


def readmes(pr: int) -> str:
    """The READMEs that the pull request adds or holds under records/, one after the other."""
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", GIT, *words], capture_output=True, text=True, errors="replace", check=True, timeout=60
        ).stdout  # fmt: skip

    head = f"refs/pull/{pr}/head"
    base = git("merge-base", "main", head).strip()
    names = git("diff", "--name-only", base, head, "--", "records").split("\n")
    return "\n".join(git("show", f"{head}:{name}") for name in names if name.endswith("README.md"))


# (pull request, row to beat, margin in bits per byte, seeds to read, column pattern of a seed's score, published p)
PUBLISHED = [
    (252, 1.1698, 0.0, 3, r"\| `runpod[^|]*\| \d+ \| (1\.\d{8}) ", r"one-sided `p`: `(0\.\d+)`"),
    (1915, 1.0810, 0.0, 3, r"^\| \d+ \| [\d.]+ \| \*\*(1\.\d{8})\*\*", r"`p=(0\.\d+)`"),
    (483, 1.1428, 0.0, 3, r"^\| \d+ +\| [\d.]+ \| (1\.\d{8}) ", r"\*\*p = (0\.\d+)\*\*"),
    (1145, 1.1194, 0.005 / math.log(2), 4, r"^\| \d+ \|(?:[^|]*\|){4} \*\*(1\.\d{8})\*\*", r"\*\*p = (0\.\d+)\*\*"),
]


@pytest.mark.corpus
@pytest.mark.skipif(not GIT, reason="GOLF_CORPUS_GIT names no repository")
@pytest.mark.parametrize(("pr", "baseline", "margin", "n", "score", "published"), PUBLISHED)
def test_published_p_values(pr: int, baseline: float, margin: float, n: int, score: str, published: str) -> None:
    text = readmes(pr)
    values = [float(value) for value in re.findall(score, text, re.M)]
    stated = re.search(published, text)
    assert len(values) == n and stated is not None
    digits = len(stated.group(1).partition(".")[2])
    p = one_sample_p(new=Sample.of(values), baseline=baseline, margin=margin)
    assert p == pytest.approx(float(stated.group(1)), abs=0.51 * 10.0**-digits, rel=1e-12)


@pytest.mark.corpus
@pytest.mark.skipif(not GIT, reason="GOLF_CORPUS_GIT names no repository")
def test_a_published_welch_test_from_two_rows_of_a_table() -> None:
    """Mean, deviation and size of both rows stand in a table, the p-value below it."""
    text = readmes(1967)
    rows = re.findall(r"^\| .*?\| (\d+) \| (1\.\d{8}) \| (0\.\d{6}) \|", text, re.M)
    published = re.search(r"one-sided p ≈ (0\.\d+)", text)
    assert len(rows) == 2 and published is not None
    new, old = (Sample(float(mean), float(std), int(n)) for n, mean, std in rows)
    assert welch_p(new=new, old=old) == pytest.approx(float(published.group(1)), abs=5e-5)
