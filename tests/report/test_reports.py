"""The three reports: everything is in them, and no submission can write into them."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from dataclasses import replace

import jsonschema
import pytest
from markdown_it import MarkdownIt

from auditor.core.types import BehaviourInfo, Claim, Outcome, Place, RecordReady, RuleResult, Verdict, Witness
from auditor.report import behaviour, markdown, terminal
from auditor.report import json as machine
from auditor.report.grouping import gaps_by_reason
from tests.report.sample import HOSTILE, report

READABLE = {"text": terminal.render, "markdown": markdown.render}


def flat(text: str) -> str:
    """Without line breaks and indents: wrapping must not hide a sentence."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", READABLE)
def test_everything_is_in_the_readable_reports(name: str) -> None:
    text = flat(READABLE[name](report()))
    for wanted in (
        "artifact-cap", "16,100,000 bytes", "text.log:7", "Why artifact-cap matters.", "How to mend artifact-cap.",
        "golf-audit explain artifact-cap", "someone on #1", "slot-causal", "disputed", "train_gpt.py:12", "step 1 text",
        "ttt-score-first", "1 finding suppressed", "only data text", "golf-audit.toml", "download",
        "unknown", "train-wallclock", "no log text", "error", "eval-wallclock", "ValueError text",
        "val-coverage", "missing-readme", "no README", "seeds: 1 of 3", "Could stand as a record row: no",
        "The behaviour witness did not run.", "Not read: text", "1.0887", "TTT", "edition 2026-05-02", "99",
    ):  # fmt: skip
        assert wanted in text or wanted in text.replace("\\", "").replace("\u200b", ""), wanted


@pytest.mark.parametrize("name", READABLE)
def test_the_verdict_comes_first_then_the_count_of_the_suppressed_then_the_findings(name: str) -> None:
    text = READABLE[name](report())
    order = [text.index(part) for part in ("NON-COMPLIANT", "suppressed by recorded", "Title of artifact-cap")]
    assert order == sorted(order) and text[:40].count("NON-COMPLIANT") == 1


@pytest.mark.parametrize("name", READABLE)
def test_form_stands_in_a_block_of_its_own_after_the_findings(name: str) -> None:
    text = READABLE[name](report())
    assert text.index("Title of slot-causal") < text.index("ttt-score-first") < text.index("missing-readme")
    assert "missing-readme" not in text[: text.index("Form (")]


@pytest.mark.parametrize("name", READABLE)
def test_what_form_finds_is_said_once(name: str) -> None:
    once = replace(report(), record_ready=RecordReady(False, ("missing-readme: no README text", "seeds: 1 of 3")))
    text = flat(READABLE[name](once)).replace("\\", "")
    assert text.count("no README text") == 1 and "seeds: 1 of 3" in text


@pytest.mark.parametrize("name", READABLE)
def test_claims_say_what_is_not_stated_and_how_it_was_measured(name: str) -> None:
    claims = (Claim("bytes_model", None, Place(field="bytes_model"), 15_410_655, "last logged"),)
    text = flat(READABLE[name](replace(report(), claims=claims))).replace("\\", "")
    assert "15,410,655" in text and "last logged" in text
    assert "None" not in text[text.index("bytes_model") :][:120]


@pytest.mark.parametrize("name", READABLE)
def test_a_packed_script_says_which_lines_are_meant(name: str) -> None:
    packed = report()
    assert "--show-source" in READABLE[name](packed)
    plain = replace(packed, submission=replace(packed.submission, packed=None))
    assert "--show-source" not in READABLE[name](plain)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("verdict", Verdict)
def test_no_verdict_ever_says_legal_or_clean(name: str, verdict: Verdict) -> None:
    text = READABLE[name](report(verdict=verdict)).lower()
    first = text[: text.index("title of")]
    assert "clean" not in text and not re.search(r"\b(?<!il)legal\b", first)


def test_more_findings_than_shown_are_counted() -> None:
    assert "and 4 more of this rule" in flat(terminal.render(report()))
    assert "and 1 more" in flat(markdown.render(report()))


@pytest.mark.parametrize("width", [40, 80, 132])
def test_text_fits_its_width_and_has_no_escapes(width: int) -> None:
    text = terminal.render(report(), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


def test_color_is_only_on_request() -> None:
    assert "\x1b[" in terminal.render(report(), color=True)


def test_an_audit_that_is_not_complete_is_never_green() -> None:
    of = replace(report(), verdict=Verdict.NO_VIOLATION_FOUND)
    done, partial = (terminal.render(replace(of, complete=c), color=True).splitlines()[0] for c in (True, False))
    assert "32m" in done.split("NO VIOLATION")[0] and "32m" not in partial and "NO VIOLATION FOUND" in partial


@pytest.mark.parametrize("name", READABLE)
def test_hostile_text_reaches_no_reader(name: str) -> None:
    text = READABLE[name](report(HOSTILE))
    bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\u200b"]
    assert not bad
    assert len(re.findall(r"^(## golf-audit: )?NO VIOLATION FOUND", text, re.M)) == 0


def test_hostile_text_is_no_markup_in_markdown() -> None:
    text = markdown.render(report(HOSTILE))
    tokens = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"]).parse(text)
    inline = [child for token in tokens for child in token.children or []]
    html = "".join(t.content for t in (*tokens, *inline) if t.type in ("html_block", "html_inline"))
    assert set(re.findall(r"<[^>]*>", html)) == {"<details>", "<summary>", "</summary>", "</details>"}
    assert text.count("<details>") == 4
    assert not [t for t in inline if t.type in ("link_open", "image", "s_open")]
    assert not [t for t in tokens if t.type in ("fence", "table_open", "code_block")]
    prose = "".join(t.content for t in inline if t.type == "text")
    assert "://" not in prose and "@everyone" not in prose
    heads = [inner.content for token, inner in itertools.pairwise(tokens) if token.tag == "h2" and token.nesting == 1]
    assert heads == ["golf-audit: NON-COMPLIANT"]


def test_the_markup_test_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "markdown", lambda text, limit=0: str(text))
    with pytest.raises(AssertionError):
        test_hostile_text_is_no_markup_in_markdown()


def test_a_very_long_line_does_not_fill_the_report() -> None:
    for render in READABLE.values():
        assert len(render(report("x" * 1_000_000))) < 70_000


def test_markdown_is_cut_to_what_a_comment_holds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "LIMIT", 3000)
    text = markdown.render(report())
    assert len(text) < 3300 and "Cut here" in text
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("foreign", ["text", HOSTILE, "\udce9\x00", "x" * 10_000])
@pytest.mark.parametrize("verdict", Verdict)
def test_json_satisfies_the_shipped_schema(foreign: str, verdict: Verdict) -> None:
    text = machine.render(report(foreign, verdict=verdict))
    jsonschema.Draft202012Validator(machine.schema()).validate(json.loads(text))
    assert text.isascii()


def test_the_schema_is_itself_valid_and_refuses_planted_faults() -> None:
    jsonschema.Draft202012Validator.check_schema(machine.schema())
    validator = jsonschema.Draft202012Validator(machine.schema())
    for key, value in (("verdict", "legal"), ("schema_version", 2), ("complete", None), ("edition", "spring")):
        document = machine.document(report())
        document[key] = value
        assert not validator.is_valid(document), key
    document = machine.document(report())
    document["results"][0]["findings"] = []
    assert not validator.is_valid(document)
    del document["results"]
    assert not validator.is_valid(document)


def test_json_has_the_fixed_keys_and_no_nan() -> None:
    document = machine.document(report())
    assert set(document) >= {
        "schema_version", "tool", "edition", "submission", "verdict", "complete", "record_ready", "results", "claims",
    }  # fmt: skip
    assert document["results"][0]["findings"][0]["at"] == {"log": "text.log", "line": 7}
    assert document["suppressed_count"] == 1
    assert document["submission"]["packed"] == {"layers": ["lzma", "text"], "bytes_shipped": 10, "bytes_decoded": 99}


def test_gaps_with_one_reason_are_told_once() -> None:
    results = [RuleResult(rule, Witness.SOURCE, Outcome.UNKNOWN, "no script") for rule in ("a", "b")]
    results.append(RuleResult("c", Witness.SOURCE, Outcome.ERROR, "no script"))
    assert gaps_by_reason(results) == [("unknown: a, b (source)", "no script"), ("error: c (source)", "no script")]


class TestBehaviour:
    """The smoke block, the shared finding and the disagreement."""

    @pytest.mark.parametrize("name", READABLE)
    def test_the_smoke_block_and_the_run_are_in_every_readable_report(self, name: str) -> None:
        text = flat(READABLE[name](report())).replace("\\", "")
        for wanted in (
            "imports yes", "full-size model builds yes, 27,030,107 parameters", "forward and backward at toy size yes",
            "code 71,234 bytes", "toy run 2.7 s", "Isolation: bubblewrap", "2 attempts, 17 settings scaled down",
            "val_bpb:1.2345", "prefix-invariance: found: scores moved", "The log states another size", "w/text.json",
        ):  # fmt: skip
            assert wanted in text, wanted

    @pytest.mark.parametrize("name", READABLE)
    def test_without_a_run_the_block_says_why(self, name: str) -> None:
        quiet = replace(report(), behaviour=BehaviourInfo(not_run="torch is not installed"))
        text = flat(READABLE[name](quiet))
        assert "Smoke: not run: torch is not installed; code size not known." in text and "Isolation" not in text

    @pytest.mark.parametrize("name", READABLE)
    def test_a_shared_finding_is_shown_once_with_both_proofs(self, name: str) -> None:
        text = flat(READABLE[name](report())).replace("\\", "")
        assert text.count("Title of ngram-target-key") == 1 and text.count("Why ngram-target-key matters.") == 1
        assert "behaviour and source" in text and "key holds the target" in text and "earlier scores moved" in text
        first = text.index("earlier scores moved")
        assert first < text.index("key holds the target"), "the surer proof comes first"
        assert "token 700: loss 6.250000 against 6.500000" in text and "and 1 more samples" in text
        assert "step 1 text" in text and "--replay w/text.json" in text

    @pytest.mark.parametrize("name", READABLE)
    def test_a_disagreement_is_one_line_before_the_findings(self, name: str) -> None:
        text = flat(READABLE[name](report())).replace("\\", "")
        said = "Source and behaviour disagree on rescore-two-pass: the code looks like it at train_gpt.py:12"
        assert text.count("Source and behaviour disagree") == 1 and said in text
        assert text.index(said) < text.index("Title of artifact-cap")

    def test_the_other_disagreement(self) -> None:
        source, seen = (r for r in report().results if r.rule == "rescore-two-pass")
        turned = (replace(source, outcome=Outcome.CLEAR, findings=()), replace(seen, outcome=Outcome.FOUND))
        [line] = behaviour.disagreements(replace(report(), results=turned))
        assert "the toy run shows it" in line and "was read as free of it" in line
        for outcome in (Outcome.UNKNOWN, Outcome.ERROR, Outcome.NOT_APPLICABLE):
            quiet = (source, replace(seen, outcome=outcome))
            assert not behaviour.disagreements(replace(report(), results=quiet)), "silence is no disagreement"

    def test_json_has_all_of_it(self) -> None:
        document = json.loads(machine.render(report()))
        assert document["smoke"]["parameters"] == 27_030_107 and document["smoke"]["ran"] is True
        assert document["behaviour"]["isolation"] == "bubblewrap" and len(document["disagreements"]) == 1
        [finding] = [
            f for r in document["results"] if (r["rule"], r["witness"]) == ("ngram-target-key", "behaviour")
            for f in r["findings"]
        ]  # fmt: skip
        assert finding["samples"][0] == {"position": 700, "first": 6.25, "second": 6.5}
        quiet = json.loads(machine.render(replace(report(), behaviour=BehaviourInfo(not_run="--no-probe was given"))))
        assert quiet["behaviour"] is None and quiet["smoke"]["not_run"] == "--no-probe was given"
        jsonschema.Draft202012Validator(machine.schema()).validate(quiet)
