from __future__ import annotations

import pytest

from auditor.intake.metadata import read_json
from auditor.intake.texts import decode

CLEAN = '{\n  "author": "me",\n  "seeds": {"42": {"val_bpb": 1.1}},\n  "val_bpb": 1.2\n}\n'


def test_a_clean_file_has_no_problems_and_knows_its_lines() -> None:
    doc = read_json("submission.json", CLEAN)
    assert doc.data is not None and doc.data["val_bpb"] == 1.2
    assert doc.problems == ()
    assert doc.lines == {"author": 2, "seeds": 3, "val_bpb": 4}


@pytest.mark.parametrize(
    ("text", "line", "reason", "val_bpb"),
    [
        ('{"val_bpb": 1.5,\n}', 1, "trailing comma", 1.5),
        ('{"val_bpb": 1.5 // final\n}', 1, "comment", 1.5),
        ('{\n# note\n"val_bpb": 1.5}', 2, "comment", 1.5),
        ('{"a": 1,\n"val_bpb": NaN}', 2, "NaN", None),
        ('{"val_bpb": 1,\n"val_bpb": 1.5}', 2, "stands twice", 1.5),
        ('{"val_bpb": 1.5}\nDone in 3 s', 1, "text before or after", 1.5),
        ('Result:\n{"val_bpb": 1.5}', 1, "text before or after", 1.5),
        ('[{"val_bpb": 1.5}]', 1, "a list with one object", 1.5),
        ('{"val_bpb": 1.5\0}', 1, "NUL", 1.5),
    ],
)
def test_defects_are_stepped_over_and_said(text: str, line: int, reason: str, val_bpb: float | None) -> None:
    doc = read_json("submission.json", text)
    assert doc.data is not None, doc.problems
    if val_bpb is not None:
        assert doc.data["val_bpb"] == val_bpb
    assert next(at for at, why in doc.problems if reason in why) == line


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"), ("null", "null, not an object"), ("[1, 2]", "a list"), ('"pending"', "text"), ("3", "a number"),
        ('{"a": ', "not valid JSON"), ("{" * 100_000, "nests deeper"), ('{"a":' * 50_000, "nests deeper"),
        ("{'a': 1}", "not valid JSON"),
    ],
)
def test_what_cannot_be_read_has_no_data(text: str, reason: str) -> None:
    doc = read_json("submission.json", text)
    assert doc.data is None
    assert reason in doc.problems[-1][1]


def test_huge_numbers_do_not_hang() -> None:
    doc = read_json("submission.json", '{"bytes_total": ' + "9" * 100_000 + "}")
    assert doc.data is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xef\xbb\xbf" + CLEAN.encode(), "byte order mark"),
        (CLEAN.encode("utf-16"), "utf-16"),
        (CLEAN.encode("utf-16-le"), "utf-16-le"),
        (CLEAN.replace("me", "J\xf6rg").encode("latin-1"), "not UTF-8 at line 2"),
    ],
)
def test_other_encodings(data: bytes, reason: str) -> None:
    text, problem = decode(data)
    doc = read_json("submission.json", text, problem)
    assert doc.data is not None and doc.data["val_bpb"] == 1.2
    assert reason in doc.problems[0][1]
