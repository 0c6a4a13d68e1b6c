"""Witness files: deterministic, free of the host, and strict when they are read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.behaviour.facts import Cause, Evidence, Question, Sample, Spot
from auditor.behaviour.scale.plan import plan
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.witness import Variation, WitnessError, WitnessFile, make, mask, ranges, read, write
from auditor.core.types import Confidence
from tests.support import make_submission

SCRIPT = 'import os\nITERATIONS = int(os.environ.get("ITERATIONS", 20000))\n'
SPEC = WorldSpec(val_tokens=600, train_tokens=600, train_shards=1)
EVIDENCE = Evidence(
    Confidence.HIGH, "2 of 300 scores changed", Spot("train_gpt.py", 2, "weights are updated", "adapt"),
    (Spot("train_gpt.py", 1),), (Sample(5, 0.1, 1 / 3), Sample(7, 2.5, float("inf"))),
    Cause.TRAINED_BEFORE_PASS, figures={"share": 0.1},
)  # fmt: skip


def example(**changes: Any) -> WitnessFile:
    submission = make_submission({"train_gpt.py": SCRIPT})
    keep = np.zeros(600, np.bool_)
    keep[:300] = True
    keep[400] = True
    arguments: dict[str, Any] = {
        "variation": Variation(300, "in the middle", keep, 1), "stated": ("val_bpb: 1.1",), "torch": "2.13.0",
        "compared": 300,
    }  # fmt: skip
    world = make_world(SPEC)
    return make(submission, plan(submission), world, Question.PREFIX_INVARIANCE, EVIDENCE, **arguments | changes)


def test_two_times_the_same_bytes_and_nothing_of_the_host(tmp_path: Path) -> None:
    one, two = (write([example()], tmp_path / name)[0].read_bytes() for name in "ab")
    assert one == two
    text = one.decode("ascii")
    assert list(json.loads(text)) == sorted(json.loads(text))
    for secret in (str(tmp_path), os.getcwd(), os.uname().nodename, "2026-", "time_stamp"):
        assert secret not in text, secret


def test_everything_that_a_replay_needs_is_in_it() -> None:
    document = example().document
    assert document["question"] == "prefix-invariance" and document["torch"] == "2.13.0"
    assert document["script"]["path"] == "train_gpt.py" and len(document["script"]["sha256"]) == 64
    assert document["plan"]["env"]["ITERATIONS"] != "20000" and document["plan"]["changes"][0]["from"] == "20000"
    assert document["variation"]["keep"] == [[0, 300], [400, 401]] and document["variation"]["salt"] == 1
    assert document["world"]["val_tokens"] == 600 and document["seed"] == 1234
    assert document["update_between"]["function"] == "adapt" and document["cause"] == "trained_before_pass"
    sample = document["samples"][0]
    assert (float.fromhex(sample["first"]), float.fromhex(sample["second"])) == (0.1, 1 / 3), "losses are exact"
    assert sample["piece"], "the token's text helps the reader"


def test_a_changed_loss_changes_the_file() -> None:
    moved = Evidence(Confidence.HIGH, EVIDENCE.message, samples=(Sample(5, 0.1, np.nextafter(1 / 3, 1)),))
    submission = make_submission({"train_gpt.py": SCRIPT})
    texts = {
        make(submission, plan(submission), make_world(SPEC), Question.COVERAGE, e).text
        for e in (moved, Evidence(Confidence.HIGH, EVIDENCE.message, samples=(Sample(5, 0.1, 1 / 3),)))
    }
    assert len(texts) == 2


def test_what_is_written_is_read(tmp_path: Path) -> None:
    [path] = write([example(number=3)], tmp_path / "new" / "folder")
    assert path.name == "prefix-invariance-3.json"
    assert read(path).text == example().text


@given(st.lists(st.booleans(), max_size=80))
def test_ranges_and_mask_are_inverse(bits: list[bool]) -> None:
    keep = np.asarray(bits, np.bool_)
    assert (mask(ranges(keep), keep.size) == keep).all()


def broken(change: dict[str, Any]) -> str:
    document = json.loads(example().text)
    for dotted, value in change.items():
        place, *rest = reversed(dotted.split("."))
        inner = document
        for key in reversed(rest):
            inner = inner[int(key)] if isinstance(inner, list) else inner[key]
        inner[place] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "is no JSON"),
        ("[]", "it holds no object"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "its version is None"),
        (broken({"schema_version": 9}), "its version is 9, this tool reads 1"),
        (broken({"question": "is-it-nice"}), "no question is called 'is-it-nice'"),
        (broken({"plan": None}), "plan is missing"),
        (broken({"plan.env": {"A": 1}}), "plan.env holds something that is no text"),
        (broken({"plan.argv": [1]}), "a list of texts holds something else"),
        (broken({"plan.tweaks": {"a": "b"}}), "plan.tweaks"),
        (broken({"plan.level": True}), "plan.level is missing"),
        (broken({"script": {}}), "script.sha256 is missing"),
        (broken({"variation.keep": [["a"]]}), "variation.keep holds something"),
        (broken({"variation.tokens": 1 << 40}), "variation.tokens is out of range"),
        (broken({"variation.salt": None}), "variation.salt is missing"),
        (broken({"samples": [1]}), "samples.an object"),
        (broken({"samples": "x"}), "samples is missing"),
        (broken({"samples.0.first": "much"}), "a sample holds something that is no number"),
    ],
)
def test_what_is_no_witness_is_refused_in_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(WitnessError) as error:
        read(path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_long_or_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WitnessError, match="cannot be read"):
        read(tmp_path / "none.json")
    (tmp_path / "long.json").write_bytes(b" " * ((8 << 20) + 1))
    with pytest.raises(WitnessError, match="longer than"):
        read(tmp_path / "long.json")


def test_ranges_that_do_not_fit_are_refused() -> None:
    for spans in ([[0, 11]], [[-1, 3]], [[3, 3]], [[1]]):
        with pytest.raises(WitnessError, match="do not fit"):
            mask(spans, 10)
