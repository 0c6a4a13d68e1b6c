"""``golf-audit rerun --claimed X --measured Y``: published numbers judged without a run; and ``--print-sky``."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass

import pytest

from auditor.cli import main
from auditor.rerun import published
from tests.rerun.on_disk import BASELINE


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def rerun(*words: str) -> Done:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(["rerun", *words])
    return Done(int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("claimed", "measured", "code", "outcome"),
    [("1.1502", "1.1864", 1, "not_reproduced"), ("1.1570", "1.2280", 1, "not_reproduced"),
     ("1.06145", "1.06083288,1.06090748,1.06248776", 0, "reproduced")],
)  # fmt: skip
def test_the_command_judges_two_numbers(claimed: str, measured: str, code: int, outcome: str) -> None:
    done = rerun("--claimed", claimed, "--measured", measured)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[0].split() == ["outcome", outcome]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_has_the_keys_of_a_rerun() -> None:
    done = rerun("--claimed", "1.1502", "--measured", "1.1864", "--format", "json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert {"outcome", "reasons", "seconds_total", "phases", "claims", "statistics"} <= set(document)
    assert document["outcome"] == "not_reproduced"
    assert (document["claims"][0]["stated"], document["claims"][0]["measured"]) == (1.1502, 1.1864)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("--claimed", "1.1"), "go together"), (("--measured", "1.1"), "go together"),
     (("--claimed", "1.1", "--measured", "x"), "--measured takes scores"),
     (("--claimed", "nan", "--measured", "1.1"), "--claimed takes scores"),
     (("--claimed", "1.1", "--measured", "1.1", "--against", ","), "--against takes scores"),
     (("--claimed", "1.1", "--measured", "1.1", "--claimed-std", "-1"), "--claimed-std"),
     (("--claimed", "1.1", "--measured", "1.1", "--bytes-per-token", "1000"), "--bytes-per-token"),
     (("--claimed", "1.1", "--measured", "1.1", "--format", "yaml"), "text or json"),
     ((str(BASELINE), "--print-sky", "--toy"), "--print-sky"), (("nowhere", "--print-sky"), "nowhere")],
)  # fmt: skip
def test_wrong_usage_is_one_sentence(words: tuple[str, ...], says: str) -> None:
    done = rerun(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


def test_statistics_are_told() -> None:
    judged = published.judged("1.0500,1.0503,1.0506", "1.0500,1.0504,1.0508", against="1.06", bytes_per_token=3.73)
    told = dict(published.rows(judged)[::-1])
    text = " | ".join(text for _, text in published.rows(judged))
    assert told["measured"] == "mean 1.05040 of 3, deviation 0.00040"
    assert "Welch" in text and "with the margin of 0.005 nats" in text and "enough for p < 0.01" in text
    few = published.judged("1.05", "1.05", against="1.06")
    assert "fewer than two seeds" in " ".join(text for _, text in published.rows(few))
    near = published.judged("1.05", "1.0500,1.0530", against="1.06", bytes_per_token=3.73)
    assert "more seeds at this spread" in " ".join(text for _, text in published.rows(near))
    none = published.judged("1.05", "1.0500,1.0530", against="1.04", bytes_per_token=3.73)
    assert "would not bring p below" in " ".join(text for _, text in published.rows(none))


def test_sky_prints_a_task_and_looks_at_nothing_of_this_machine() -> None:
    done = rerun(str(BASELINE), "--print-sky", "--seeds", "1,2", "--gpus", "8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# The re-run") and "--seeds 1,2" in done.stdout and done.stderr == ""
