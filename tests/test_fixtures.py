"""The shipped submissions and their expected results.

``expected.json`` gives the verdict, ``found``: the rules found that have a say in it, and, where that is the point,
``form``: the form rules found.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor.core.types import Kind, Outcome, Witness
from auditor.core.verdict import decides
from auditor.engine import Options, audit, usual_witnesses

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "submissions"


def fixtures() -> list[Path]:
    """Every shipped fixture."""
    return sorted(path.parent for path in FIXTURES.glob("*/expected.json"))


def target(fixture: Path) -> Path:
    """The folder to audit: the record folder below the fixture where there is one, else the fixture itself."""
    inner = [p for p in fixture.glob("records/*/*") if p.is_dir()]
    return inner[0] if len(inner) == 1 else fixture


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda path: str(path.name))
def test_fixture(fixture: Path) -> None:
    expected = json.loads((fixture / "expected.json").read_text(encoding="utf-8"))
    report = audit(target(fixture), Options())
    found = {r.rule for r in report.results if r.outcome is Outcome.FOUND and not r.suppressed}
    said = [
        (r.rule, r.witness.value, r.reason) for r in report.results if r.outcome in (Outcome.FOUND, Outcome.UNKNOWN)
    ]
    assert not [r for r in report.results if r.outcome is Outcome.ERROR], report.results
    assert report.verdict.value == expected["verdict"], said
    assert {rule for rule in found if decides(report.rules[rule])} == set(expected["found"]), said
    form = {rule for rule in found if report.rules[rule].kind is Kind.FORM}
    assert form == set(expected.get("form", form)), said


@pytest.mark.slow
@pytest.mark.parametrize("fixture", fixtures(), ids=lambda path: str(path.name))
def test_fixture_with_all_witnesses(fixture: Path) -> None:
    witnesses, missing = usual_witnesses()
    if missing:
        pytest.skip(missing)
    expected = json.loads((fixture / "expected.json").read_text(encoding="utf-8"))
    report = audit(target(fixture), Options(witnesses=witnesses))
    assert report.behaviour.reached, report.behaviour.failure
    assert not [r for r in report.results if r.outcome is Outcome.ERROR], report.results
    assert report.verdict.value == expected["verdict"]
    found = {r for r in report.results if r.outcome is Outcome.FOUND and decides(report.rules[r.rule])}
    assert {r.rule for r in found if not r.suppressed} == set(expected["found"])
    seen = {r.rule for r in found if r.witness is Witness.BEHAVIOUR}
    assert seen <= set(expected["found"])
    if not expected["found"]:
        assert all(outcome is Outcome.CLEAR for _, outcome, _ in report.behaviour.answers), report.behaviour.answers


def test_there_are_fixtures() -> None:
    assert fixtures()
