"""Which files beside the script are read: all that it reaches, and the rest while that is little."""

from __future__ import annotations

from pathlib import Path

from auditor.core.submission import SPARE_CHARS, near_sources
from auditor.intake import load_submission
from auditor.source import analyse

SCRIPT = "import helper\nprint(helper.x)\n"


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"train_gpt.py": SCRIPT, "helper.py": "x = 1\n", "submission.json": "{}", **files}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_unreached_files_are_read_while_they_are_few(tmp_path: Path) -> None:
    submission = load_submission(lay_out(tmp_path, {"old/train_1.py": "y = 2\n"}))
    assert {f.path for f in near_sources(submission)} == {"helper.py", "old/train_1.py"}


def test_many_old_copies_are_left_alone_and_reached_ones_never(tmp_path: Path) -> None:
    copies = {f"old/train_{n}.py": "# " + "y" * (SPARE_CHARS // 4) + "\n" for n in range(5)}
    submission = load_submission(lay_out(tmp_path, copies))
    assert [f.path for f in near_sources(submission)] == ["helper.py"]
    assert any("5 files that nothing was seen to reach" in sentence for sentence in analyse(submission).unresolved)
