"""Texts made to send a pattern into quadratic or exponential time: each must be read within a few seconds."""

from __future__ import annotations

import time

import pytest

from auditor.core.syntax import parse_python
from auditor.intake import load_submission
from tests.intake.conftest import Make

SCRIPT = "import os\nclass H:\n    ttt = os.environ.get('TTT', '0')\nloss.backward(); optimizer.step()\n"
N = 300_000
CASES: dict[str, dict[str, str]] = {
    "long words in a broken script": {"train_gpt.py": "x = (\n" + "a" * 1_500_000},
    "launch words": {"README.md": "python " * N + "\n" + "python" * N},
    "elses": {"train_gpt.py": "x = f'{'a'}' " + "a if b else " * 79 + "1 1\n"},
    "lambdas": {"train_gpt.py": "x = f'{'a'}' " + "lambda x: " * 39 + "1 1\n"},
    "quotes in json": {"submission.json": '{"a": ' + '\\"' * N},
    "comments in json": {"submission.json": '{"a": 1' + "/*" * N},
    "twins in json": {"submission.json": "{" + ",".join(f'"k{i % 9}": NaN' for i in range(60_000)) + "}"},
    "digits in a log": {"train.log": "1" * N + "\nstep " + "1" * N},
    "blanks in a log": {"train.log": "\n" * N + "\nHyperparameters:\n  a: " + " " * N + "x\n"},
    "commas in a log": {"train.log": "\n".join("ttt: " + "a=b,,,,,,,,,,," * 20 + "!" for _ in range(200))},
    "escapes in a log": {"train.log": "\x1b]" * N},
    "assignments": {"run.sh": "\n".join(f"export A{i}=1\npython train_gpt.py" for i in range(9_000))},
    "backslashes": {"run.sh": "A=1 \\\n" * 19_000 + "python train_gpt.py"},
    "backticks and bars": {"README.md": "`" * N + "\n" + "|" * N + "\n" + "`A_B = " * 50_000},
    "prints": {"train_gpt.py": SCRIPT + "if H.ttt:\n" + "\n".join(f"    print('same head {i}')" for i in range(9_000))},
    "a loader that counts": {
        "train_gpt.py": "x = 0\nfor i in range(190_000):\n    for j in range(190_000):\n        x = x + 1\n"
    },
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_ends_soon(make: Make, case: str) -> None:
    start = time.process_time()
    parse_python.cache_clear()
    load_submission(make({"train_gpt.py": SCRIPT, **CASES[case]}))
    assert time.process_time() - start < 6
