"""What ``golf-audit probe`` prints: everything, in 80 columns, and nothing that a submission wrote as markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from auditor.behaviour import view
from auditor.behaviour.audit import Heard, info
from auditor.behaviour.facts import Question, TraceFacts
from auditor.cli_probe import as_json
from auditor.core.types import Outcome
from auditor.report.behaviour import smoke_line
from tests.behaviour.planted import facts
from tests.support import make_submission

SUBMISSION = make_submission({"train_gpt.py": "x = 1\n"})
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202e txt.exe [bold red]FOUND[/]"


def shown(told: TraceFacts, files: tuple[str, ...] = (), **more: bool) -> str:
    block = info(SUBMISSION, Heard(told, files))
    return view.render(told, block, smoke_line(block), **more)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_everything_is_said() -> None:
    text = flat(shown(facts(Outcome.FOUND), ("w/prefix-invariance-1.json",)))
    for wanted in (
        "FOUND: prefix-invariance", "The toy run reached its score: val_bpb:1.23", "Isolation: bubblewrap. 2 attempts",
        "peak 300 MiB", "27,030,107 parameters", "a note", "a sentence on coverage", "stand-ins: wandb",
        "ITERATIONS 20000 -> 6 env", "WIDTH not set -> 64 rewrite", "JUDGED: 4,096 val tokens",
        "8,192 val tokens; AdamW train_gpt.py:127", "final_model.int8.ptz, 136,843 bytes", "-> JUDGED 4,096 scores",
        "(4,000 of them distinct)", "earlier, diagnostic", "prefix-invariance found earlier scores noticed",
        "coverage clear asked and covered", "train_gpt.py:127 [high] 412 of 700", "-> train_gpt.py:40 read here",
        "stated bpb 1.1; true bpb 1.3", "700 6.2500000 6.5000000 +2.50e-01", "and 2 more samples",
        "w/prefix-invariance-1.json", "--replay FILE",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert text.count("412 of 700") == 1


def test_a_warm_up_is_called_one() -> None:
    lines = [line for line in shown(facts()).splitlines() if "512 val tokens" in line]
    assert len(lines) == 1 and "warm-up or check: 512 val tokens" in lines[0]


def test_the_bar_shows_where_in_the_stream() -> None:
    assert view.bar(0, 8191, 8191) == "|" + "#" * view.BAR + "|"
    assert view.bar(4096, 8191, 8191) == "|" + "." * (view.BAR // 2) + "#" * (view.BAR // 2) + "|"
    assert view.bar(8191, 8191, 8191).endswith(".#|") and view.bar(-1, -1, 8191) == "" and view.bar(0, 0, 0) == ""


@pytest.mark.parametrize("prefix", [Outcome.FOUND, Outcome.CLEAR, Outcome.UNKNOWN])
def test_80_columns_without_escapes(prefix: Outcome) -> None:
    text = shown(facts(prefix, "word " * 40))
    assert max(map(len, text.splitlines())) <= 80 and "\x1b" not in text
    assert "\x1b[" in shown(facts(prefix), color=True)


def test_hostile_text_stays_text() -> None:
    for text in (shown(facts(Outcome.FOUND, HOSTILE)), shown(facts(reached=False, foreign=HOSTILE))):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
        assert "[bold red]" in text or "[/]" in flat(text)


def test_the_timeline_can_be_left_out() -> None:
    assert "Timeline" in shown(facts()) and "Timeline" not in shown(facts(), timeline=False)


def test_a_run_that_did_not_get_there_says_where_it_stopped() -> None:
    text = flat(shown(facts(reached=False)))
    assert text.startswith("NOT DECIDED: prefix-invariance,")
    assert "did not reach its score: KeyError: 'x' (train_gpt.py:12)" in text
    assert text.count("unknown") >= len(Question)


def test_nothing_found_is_not_called_clean() -> None:
    text = shown(facts())
    assert text.startswith("NOTHING FOUND by the questions asked of this run")
    assert not re.search(r"\b(legal|clean|compliant)\b", text, re.I)


def test_no_files_written_is_said() -> None:
    assert "None written; --witness-dir DIR writes them" in flat(shown(facts(Outcome.FOUND)))
    assert "Witness files" not in shown(facts())


def test_json_has_it_all_and_no_nan() -> None:
    told = replace(facts(Outcome.FOUND), seconds=float("nan"))
    document = json.loads(as_json(view.document(told, info(SUBMISSION, Heard(told, ("w.json",))))))
    assert document["seconds"] == "nan" and document["witness_files"] == ["w.json"]
    assert len(document["answers"]) == len(Question) and len(document["timeline"]) == 6
    assert document["answers"][0]["evidence"][0]["samples"][0] == {"position": 700, "first": 6.25, "second": 6.5}
