"""Tiny submissions whose script prints the competition's lines and sleeps, one for each way in which a run can end."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from auditor.core.submission import Submission
from auditor.intake import load_submission
from auditor.rerun import series
from auditor.rerun.options import Options, TimeLimits
from auditor.rerun.plan import make_plan
from auditor.rerun.real import RealRunner
from auditor.rerun.series import Done, Stages
from auditor.rerun.view import Silent
from auditor.sandbox import Level, detect

NAME = "2026-04-01_Planted"
ISOLATED = detect().level is Level.BUBBLEWRAP
QUICK = TimeLimits(train=20.0, evaluation=20.0, grace=5.0, other=20.0)

BEGIN = '''
import os, subprocess, sys, time
seed = int(os.environ.get("SEED", "1337"))
print(f"seed:{seed}")
for i in range(1, 3):
    time.sleep(0.02)
    print(f"warmup_step:{i}/2")
start = time.perf_counter()
def ms():
    return 1000 * (time.perf_counter() - start)
print(f"step:0/3 val_loss:6.9311 val_bpb:4.1000 train_time:0ms step_avg:0.00ms")
'''
TRAIN = '''
for i in range(1, 4):
    time.sleep(0.04)
    print(f"step:{i}/3 train_loss:{6 - i} train_time:{ms():.0f}ms step_avg:{ms() / i:.2f}ms")
print("peak memory allocated: 100 MiB reserved: 200 MiB")
'''
WRITE = '''
time.sleep(0.03)
open("final_model.pt", "wb").write(bytes(20_000))
open("final_model.int8.ptz", "wb").write(bytes(range(250)) * 20)
print("Serialized model int8+zlib: 5000 bytes")
print("Total submission size int8+zlib: 6000 bytes")
'''
SCORE = '''
began = time.perf_counter()
time.sleep(0.06)
took = 1000 * (time.perf_counter() - began)
bpb = 1.2276 + seed / 1e6
print(f"final_int8_zlib_roundtrip val_loss:2.0727 val_bpb:{bpb:.4f} eval_time:{took:.0f}ms")
print(f"final_int8_zlib_roundtrip_exact val_loss:2.07269931 val_bpb:{bpb:.8f}")
'''
FINISHES = BEGIN + TRAIN + WRITE + SCORE
HANGS = BEGIN + "i = 0\n" + TRAIN.replace("for i in range(1, 4):", "while True:\n    i += 1").replace("/3 ", "/999999 ")


def plant(folder: Path, script: str, **files: str) -> Path:
    """A submission folder with ``script`` as its ``train_gpt.py``; ``files`` by name with ``_`` for the dot."""
    place = folder / "records" / "track_10min_16mb" / NAME
    place.mkdir(parents=True)
    (place / "train_gpt.py").write_text(textwrap.dedent(script))
    (place / "submission.json").write_text(json.dumps({"name": "x", "val_bpb": 1.2276, "bytes_total": 6000}))
    (place / "README.md").write_text("# A planted submission\n")
    for name, text in files.items():
        (place / name.replace("_txt", ".txt")).write_text(text)
    return place


def options(folder: Path, **changes: object) -> Options:
    """Without a GPU, isolated where that can be had."""
    base = Options(gpus=0, seeds=(42,), keep=folder, limits=QUICK, unsandboxed=not ISOLATED)
    return replace(base, **changes)  # type: ignore[arg-type]


def run(place: Path, asked: Options, submission: Submission | None = None) -> Done:
    """The re-run of a planted submission, as the command does it."""
    stages = Stages()
    submission = submission or load_submission(place)
    assert asked.keep is not None
    planned = make_plan(submission, asked, asked.keep)
    return series.rerun(submission, planned, asked, Silent(), RealRunner, stages)


def commands_with(word: str) -> list[str]:
    """Command lines of living processes that hold ``word``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word in text and state != "Z":
            found.append(text)
    return found


@contextmanager
def nothing_left(word: str) -> Iterator[None]:
    """At the end no process lives whose command holds ``word``."""
    yield
    assert not commands_with(word)
