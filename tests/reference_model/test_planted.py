"""Planted violations: each is one change of an honest script, and the audit finds it by its rule."""

from __future__ import annotations

import ast
import difflib
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from auditor.core.types import Ruling
from reference_model.cli import main
from reference_model.config import load_preset
from reference_model.export.folder import write_folder
from reference_model.export.text import script_text
from reference_model.planted import PlantedError, names, planted, planted_script
from reference_model.planted.edits import Add, Swap, edited
from rules import load_rules
from tests.reference_model.audited import audit, found

each = pytest.mark.parametrize("name", names())
SCRIPT = """\
class Tally:
    def add(self, x):
        self.sum += x  # a remark
        return self


def run(x):
    for i in range(3):
        x += i
    return f(x) + f( x )
"""


@cache
def honest(preset: str, settings: tuple[str, ...]) -> str:
    return script_text(load_preset(preset, settings))


def test_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["planted", "--format", "names"])
    assert ended.value.code == 0
    assert tuple(capsys.readouterr().out.split()) == names()
    assert len(names()) >= 20


@each
def test_variant_names_a_rule_and_changes_the_script(name: str) -> None:
    variant = planted(name)
    assert variant.rule in load_rules()
    if variant.verdict == "non_compliant":
        assert load_rules()[variant.rule].ruling is Ruling.ILLEGAL
    assert variant.says.endswith(".") and variant.name == name
    _, script = planted_script(name)
    ast.parse(script)
    before = honest(variant.preset, variant.settings)
    changed = [line for line in difflib.unified_diff(before.splitlines(), script.splitlines(), n=0)]
    assert (len(changed) > 0) == bool(variant.edits)
    assert len(changed) < 60, "one fault, not another script"


def test_a_statement_is_swapped_where_it_is_asked_for() -> None:
    script = edited(SCRIPT, (Swap("Tally.add", "self.sum += x", "self.sum += 2 * x\nself.count += 1"),))
    assert "        self.sum += 2 * x\n        self.count += 1\n        return self\n" in script
    script = edited(SCRIPT, (Swap("run", "for i in range(3):\n    x += i", "pass"),))
    assert "def run(x):\n    pass\n    return" in script
    script = edited(SCRIPT, (Add("run", "def g():\n    pass\n"), Swap("run", "range(3)", "range(g())")))
    assert "\n\ndef g():\n    pass\n\n\ndef run(x):\n    for i in range(g()):" in script


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Swap("run", "f(x)", "0"), "2 times"),
        (Swap("run", "self.sum += x", "pass"), "0 times"),
        (Swap("Tally", "return f(x) + f(x)", "pass"), "0 times"),
        (Add("walk", "pass"), "has no walk"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit: Swap | Add, says: str) -> None:
    with pytest.raises(PlantedError, match=says):
        edited(SCRIPT, (edit,))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(PlantedError, match="there are"):
        planted("no-such-thing")


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_audit_finds_it(name: str, tmp_path: Path) -> None:
    variant = planted(name)
    preset, script = planted_script(name)
    folder = write_folder(preset, tmp_path, date(2026, 11, 20), script=script, bytes_total=variant.bytes_total)
    report = audit(folder)
    assert variant.rule in found(report)
    assert report["verdict"] == variant.verdict
