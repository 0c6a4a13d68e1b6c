"""The planted cheats and honest twins of the behaviour witness: complete, as built, and what they say of themselves."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.intake import load_submission

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "behaviour"
QUESTIONS = (
    "prefix-invariance",
    "score-before-update",
    "coverage",
    "normalisation",
    "byte-accounting",
    "data-access",
    "round-trip",
)
FOLDERS = sorted(p.parent for p in FIXTURES.glob("*/*/expected.json"))
IDS = [f"{p.parent.name}/{p.name}" for p in FOLDERS]


def _expected(folder: Path) -> dict[str, Any]:
    data = json.loads((folder / "expected.json").read_text())
    assert isinstance(data, dict)
    return data


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("behaviour_fixtures_build", FIXTURES / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_the_committed_folders_are_what_the_builder_makes() -> None:
    build = _builder()
    files = dict(build.wanted())
    differs = [str(p.relative_to(FIXTURES)) for p, text in files.items() if not p.exists() or p.read_text() != text]
    assert differs == []
    assert build.present() == set(files)


def test_a_changed_folder_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = _builder()
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    script = next(tmp_path.glob("*/*/train_gpt.py"))
    script.write_text(script.read_text() + "# changed\n")
    assert build.main(["--check"]) == 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_three_cheats_and_three_twins(question: str) -> None:
    kinds = [folder.name.partition("_")[0] for folder in FOLDERS if folder.parent.name == question]
    assert kinds.count("cheat") >= 3
    assert kinds.count("twin") >= 3


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_a_folder_is_complete(folder: Path) -> None:
    submission = load_submission(folder)
    assert {"DATA_PATH", "TOKENIZER_PATH"} <= set(submission.launch.env)
    assert submission.launch.world_size == 8
    assert submission.entry is not None and submission.entry.path == "train_gpt.py"
    assert submission.problems == ()
    ast.parse((folder / "train_gpt.py").read_text())
    assert isinstance(json.loads((folder / "submission.json").read_text())["val_bpb"], float)


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_what_is_expected_is_well_formed(folder: Path) -> None:
    expected = _expected(folder)
    assert set(expected) == {"question", "outcome", "rules", "other_questions", "note"}
    assert expected["question"] == folder.parent.name
    cheat = folder.name.startswith("cheat_")
    assert cheat or folder.name.startswith("twin_")
    assert expected["outcome"] == ("found" if cheat else "clear")
    assert bool(expected["rules"]) == cheat
    assert set(expected["other_questions"]) <= set(QUESTIONS) - {expected["question"]}
    assert set(expected["other_questions"].values()) <= {"found"}
    for rule in expected["rules"]:
        assert (ROOT / "rules" / f"{rule.replace('-', '_')}.py").is_file()
    assert len(expected["note"]) > 20
