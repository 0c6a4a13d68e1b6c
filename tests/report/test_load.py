"""A report goes to JSON and back, and what comes back draws the same page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from auditor.core.types import AuditReport, BehaviourInfo
from auditor.report import github, html, markdown, sarif, terminal
from auditor.report import json as machine
from auditor.report.load import NotAReport, load
from tests.report.sample import HOSTILE, report
from tests.report.strategies import reports
from tests.report.test_html import full

RENDERERS = {"html": html.render, "sarif": sarif.render, "github": github.render, "markdown": markdown.render,
             "text": terminal.render, "json": machine.render}  # fmt: skip
QUIET = replace(report(), behaviour=BehaviourInfo(not_run="torch is not installed"))


def back(of: AuditReport) -> AuditReport:
    """Through JSON text and back."""
    return load(json.loads(machine.render(of)), of.rules)


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("of", [full(), full(HOSTILE), full("\ud800"), report(), QUIET])
def test_every_format_is_the_same_after_the_way_through_json(name: str, of: AuditReport) -> None:
    assert RENDERERS[name](back(of)) == RENDERERS[name](of)


def test_json_with_pictures_and_lines_satisfies_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(machine.schema())
    document = json.loads(machine.render(full()))
    validator.validate(document)
    assert document["behaviour"]["picture"]["counts"]["trained_before"] == 8192
    planted: list[tuple[str, Any]] = [
        ("curves", [{"name": "x"}]), ("excerpts", [{"file": "a", "first": 0, "lines": []}]), ("bytes", {"cap": 0}),
        ("phases", [{"run": "a"}]),
    ]  # fmt: skip
    for key, value in planted:
        bad = {**document, "exhibits": {**document["exhibits"], key: value}}
        assert not validator.is_valid(bad), key
    document["behaviour"]["picture"]["blocks"][0][0] = "unheard of"
    assert not validator.is_valid(document)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(reports)
def test_any_report_comes_back_as_the_document_that_it_was(of: AuditReport) -> None:
    document = machine.document(of)
    again = machine.document(load(json.loads(json.dumps(document)), of.rules))
    assert json.dumps(again) == json.dumps(document)


@pytest.mark.parametrize("fault", ["version", "rule", "key", "verdict", "place"])
def test_what_is_no_report_of_this_version_is_refused_in_one_sentence(fault: str) -> None:
    document = json.loads(machine.render(full()))
    if fault == "version":
        document["schema_version"] = 2
    elif fault == "rule":
        document["results"][0]["rule"] = "no-such-rule"
    elif fault == "key":
        del document["exhibits"]
    elif fault == "verdict":
        document["verdict"] = "legal"
    else:
        document["claims"][0]["where"] = {"nowhere": 1}
    with pytest.raises(NotAReport, match=r"schema version 2|no-such-rule|KeyError|ValueError|TypeError"):
        load(document, full().rules)
