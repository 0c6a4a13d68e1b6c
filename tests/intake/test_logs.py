from __future__ import annotations

import pytest

from auditor.intake.limits import Limits
from auditor.intake.logs import clean, looks_like_log, read_logs, seed_of
from auditor.intake.walk import Folder
from tests.intake.conftest import Make

LINES = "world_size:8 grad_accum_steps:1\nseed:1337\nstep:1/20 train_loss:6.9\nstep:20/20 val_loss:2.1 val_bpb:1.2\n"


def test_logs_are_told_from_other_texts(make: Make) -> None:
    root = make({
        "train.log": LINES, "logs/run.txt": LINES, "a.out": LINES, "requirements.txt": "torch\n", "notes.txt": "a note",
        "README.txt": LINES, "vocab.txt": "a\nb\n", "empty.log": "", "train_log": LINES, "summary.txt": "nothing here",
    })
    folder = Folder(root)
    assert [log.path for log in read_logs(folder)] == ["a.out", "logs/run.txt", "train.log", "train_log"]
    assert folder.problems == []


@pytest.mark.parametrize(
    "data", [LINES.encode("utf-16"), LINES.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + LINES.encode(),
             ("\x1b[32m" + LINES.replace("\n", "\x1b[0m\n")).encode(), LINES.replace("seed", "\0seed").encode()],
)
def test_encodings_and_terminal_noise(make: Make, data: bytes) -> None:
    (log,) = read_logs(Folder(make({"train.log": data})))
    assert log.lines == tuple(LINES.splitlines()) and log.seed == 1337


def test_an_overwritten_line_keeps_its_last_state() -> None:
    assert clean("10%\r50%\r100% done\nnext\n") == ["100% done", "next", ""]


def test_a_long_log_is_cut_and_said_so(make: Make) -> None:
    folder = Folder(make({"train.log": LINES * 100}), Limits(log_bytes=500))
    (log,) = read_logs(folder)
    assert log.truncated and len(log.lines) < 30
    assert "only the first 500" in folder.problems[0].reason


@pytest.mark.parametrize(
    ("path", "text", "seed"),
    [
        ("train_seed42.log", "", 42),
        ("seed_7/train.log", "", 7),
        ("log_s314.txt", "", 314),
        ("train.log", "seed: 5\n", 5),
        ("train_seed42.log", "seed:9\n", 9),
        ("train.log", "  SEED=11 torchrun\n", 11),
        ("train.log", "no number", None),
        ("train.log", "args {'seed': 3, 'x': 1}", 3),
        ("train.log", "seed:1\nseed:2\n", None),
    ],
)
def test_the_seed(path: str, text: str, seed: int | None) -> None:
    assert seed_of(path, text) == seed


def test_the_seed_is_not_read_from_an_embedded_source(make: Make) -> None:
    source = "import os\n    seed = 99\nseed: 77\n" + "=" * 100 + "\n" + LINES
    assert read_logs(Folder(make({"train.log": source})))[0].seed == 1337


def test_prose_is_no_log() -> None:
    assert not looks_like_log("This folder has a README.\nIt reached val_bpb: 1.2 in the end.\n")
