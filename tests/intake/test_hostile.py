"""One folder for each way to be hostile: a clear problem, no error, no hang, nothing written."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest

from auditor.core.submission import Submission
from auditor.intake import load_submission
from auditor.intake.find import find_submission
from auditor.intake.limits import Limits
from auditor.intake.load import load_found
from auditor.intake.walk import Folder
from tests.intake.conftest import Make

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hostile"
TRAIN = "import torch\nloss.backward()\noptimizer.step()\n"


def _reason(submission: Submission, file: str) -> str:
    return " | ".join(p.reason for p in submission.problems if p.file == file)


def _load(root: Path, **limits: float) -> Submission:
    return load_found(find_submission(root, base="origin/main", name=None), Limits(**limits))  # type: ignore[arg-type]


def test_links_are_not_followed(make: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("SECRET = 1\n")
    root = make({"train_gpt.py": TRAIN})
    (root / "stolen.py").symlink_to(secret)
    (root / "README.md").symlink_to("/etc/passwd")
    (root / "up").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")
    submission = load_submission(root)
    assert [f.path for f in submission.files] == ["train_gpt.py"]
    assert submission.readme is None and submission.modules == ()
    for name in ("stolen.py", "README.md", "up", "loop"):
        assert "links are not followed" in _reason(submission, name)


def test_an_entry_that_is_a_link_is_not_read(make: Make, tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text(TRAIN)
    root = make({"submission.json": "{}"})
    (root / "train_gpt.py").symlink_to(tmp_path / "real.py")
    assert load_submission(root).entry is None


def test_pipes_and_sockets_are_not_opened(make: Make) -> None:
    root = make({"train_gpt.py": "exec(open('pipe.bin').read())\n" + TRAIN})
    for name in ("pipe.bin", "train.log", "submission.json"):
        os.mkfifo(root / name)
    start = time.monotonic()
    submission = load_submission(root)
    assert time.monotonic() - start < 5
    assert "not a regular file" in _reason(submission, "train.log")
    assert submission.metadata is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_said(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN, "helper.py": "x = 1\n"})
    (root / "helper.py").chmod(0)
    assert "Permission denied" in _reason(load_submission(root), "helper.py")


def test_huge_files_are_not_read(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN, "submission.json": "{}"})
    for name in ("helper.py", "submission.json", "final_model.ptz", "README.md"):
        with open(root / name, "wb") as stream:
            stream.truncate(3 << 30)
    submission = load_submission(root)
    assert "3,221,225,472 bytes, over the limit" in _reason(submission, "helper.py")
    assert submission.metadata is None and submission.readme is None
    assert {f.path: f.size for f in submission.files}["final_model.ptz"] == 3 << 30
    assert _reason(submission, "final_model.ptz") == ""


def test_many_files_deep_folders_and_the_budget(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN, **{f"f{i}.py": "x = 1\n" for i in range(40)}, "a/b/c/d/e.py": "x = 1\n"})
    assert "only the first 20 files" in _reason(_load(root, files=20), ".")
    assert "deeper than 2 levels" in _reason(_load(root, depth=2), "a/b/c")
    assert any("exceed 60 bytes in all" in p.reason for p in _load(root, total_bytes=60).problems)
    assert any("more than 5 source files" in p.reason for p in _load(root, sources=5).problems)


def test_the_time_limit(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN})
    ticks = iter(range(0, 10_000, 100))
    folder = Folder(root, Limits(seconds=150), clock=lambda: next(ticks))
    assert folder.read("train_gpt.py", 1_000) is not None
    assert folder.read("train_gpt.py", 1_000) is None
    assert "took longer than 150 s" in folder.problems[0].reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x = 1\n\0\n", "NUL"), (b"\xef\xbb\xbfx = 1\n", "byte order mark"), ("x = 1\n".encode("utf-16"), "utf-16"),
        (b"# caf\xe9\nx = 1\n", "not UTF-8 at line 1"), (b"def f(:\n", "cannot be parsed at line 1"),
        (b"x = " + b"(" * 9_000, "cannot be parsed"), (b"x = " + b"not " * 90_000 + b"1", "cannot be parsed"),
        (b"\x7fELF\x02" + bytes(range(256)) * 20, "cannot be parsed"), ("x = 'é'\n".encode("utf-32"), "utf-32"),
    ],
)
def test_bad_scripts(make: Make, data: bytes, reason: str) -> None:
    submission = load_submission(make({"train_gpt.py": data}))
    assert submission.entry is not None
    assert reason in _reason(submission, "train_gpt.py")


def test_a_declared_encoding_is_honoured(make: Make) -> None:
    submission = load_submission(make({"train_gpt.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n"}))
    assert submission.entry is not None and "é" in submission.entry.text and submission.problems == ()


def test_a_wide_and_deep_chain_of_shims_ends(make: Make) -> None:
    files: dict[str, str | bytes] = {f"s{i}.py": f"exec(open('s{i + 1}.py').read())" for i in range(30)}
    submission = load_submission(make({"train_gpt.py": "exec(open('s0.py').read())", **files}))
    assert submission.entry is not None and submission.entry.path == "s4.py"


def test_names_that_are_not_utf8_or_strange(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN, "two\nlines.log": "x\n", " a b.py": "x = 1\n", "-rf.py": "x = 1\n"})
    with open(os.fsencode(root) + b"/\xff\xfe.py", "wb") as stream:
        stream.write(b"x = 1\n")
    submission = load_submission(root)
    assert any("not valid UTF-8" in p.reason for p in submission.problems)
    assert {"two\nlines.log", " a b.py", "-rf.py"} <= {f.path for f in submission.files}


def test_the_fixtures(make: Make) -> None:
    root = make(
        {
            "train_gpt.py": (FIXTURES / "broken_script.py").read_bytes(),
            "tool.py": (FIXTURES / "code_object.py").read_bytes(),
            "submission.json": (FIXTURES / "dirty_submission.json").read_bytes(),
        }
    )
    submission = load_submission(root)
    assert "cannot be parsed at line 4" in _reason(submission, "train_gpt.py")
    assert "code objects, not text" in _reason(submission, "tool.py")
    assert submission.metadata is not None and submission.metadata.data is not None
    assert [reason for _, reason in submission.metadata.problems] == [
        "NaN is not a JSON number",
        "the key 'val_bpb' stands twice",
        "a comment",
        "a trailing comma",
        "a trailing comma",
    ]


def test_nothing_is_executed_or_written(make: Make, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = f"open({str(mark)!r}, 'w').write('x')\n__import__('os').system('touch {mark}')\n"
    root = make(
        {
            "train_gpt.py": f"import base64\nopen({str(mark)!r},'w').write('1')\n"
            f"exec(base64.b64decode({base64.b64encode(evil.encode())!r}))\n",
            "conftest.py": evil,
            "sitecustomize.py": evil,
            "run.sh": f"touch {mark}\npython train_gpt.py $(touch {mark})\n",
            "setup.py": evil,
            "evil.json": "{}",
            "submission.json": '{"a": "$(touch x)"}',
        }
    )
    before = sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*"))
    load_submission(root)
    assert not mark.exists()
    assert sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*")) == before
