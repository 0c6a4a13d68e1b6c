from __future__ import annotations

import pytest

from auditor.core.submission import Role
from auditor.intake import load_submission
from tests.intake.conftest import Make

TRAIN = "import torch\n\nloss = model(x)\nloss.backward()\noptimizer.step()\nprint('val_bpb', 1)\n"


@pytest.mark.parametrize(
    ("files", "entry"),
    [
        ({"train_gpt.py": TRAIN, "train_gpt_v2.py": TRAIN}, "train_gpt.py"),
        ({"train_gpt_mlx.py": TRAIN, "eval.py": TRAIN}, "train_gpt_mlx.py"),
        ({"train_gpt.py": "", "train_gpt_v1.py": TRAIN}, "train_gpt_v1.py"),
        (
            {"train_gpt_a.py": TRAIN, "train_gpt_b.py": TRAIN * 9, "README.md": "`torchrun train_gpt_a.py`"},
            "train_gpt_a.py",
        ),
        ({"one.py": TRAIN, "two.py": TRAIN, "run.sh": "A=1 torchrun --nproc 8 \\\n two.py\n"}, "two.py"),
        ({"one.py": TRAIN, "two.py": TRAIN, "submission.json": '{"script": "two.py"}'}, "two.py"),
        ({"prepare_data.py": TRAIN * 9, "solver.py": TRAIN}, "solver.py"),
        ({"src/train_gpt.py": TRAIN, "tool.py": "x = 1\n"}, "src/train_gpt.py"),
        ({"submission.py": "x = 1\n", "other.py": "y = 2\n"}, "submission.py"),
        ({"anything.py": "x = 1\n"}, "anything.py"),
        ({"train_gpt.py": "exec(open('real.py').read())", "real.py": TRAIN}, "real.py"),
        ({"train_gpt.py": "from pack.real import main\nmain()\n", "pack/real.py": TRAIN}, "pack/real.py"),
        ({"train_gpt.py": "import real\nif __name__ == '__main__':\n    real.main()\n", "real.py": TRAIN}, "real.py"),
        ({"train_gpt.py": "from real import *\nmain()\n", "real.py": TRAIN}, "real.py"),
        (
            {
                "train_gpt.py": "import runpy\nrunpy.run_path('b.py')",
                "b.py": "exec(open('c.py').read())",
                "c.py": TRAIN,
            },
            "c.py",
        ),
        ({"train_gpt.py": "exec(open('b.py').read())", "b.py": "exec(open('train_gpt.py').read())"}, "b.py"),
    ],
)
def test_the_entry(make: Make, files: dict[str, str | bytes], entry: str) -> None:
    submission = load_submission(make(files))
    assert submission.entry is not None and submission.entry.path == entry
    assert submission.entry.role is Role.ENTRY


def test_an_empty_script_alone_is_said(make: Make) -> None:
    submission = load_submission(make({"train_gpt.py": "", "submission.json": "{}"}))
    assert submission.entry is not None and submission.entry.text == ""
    assert "empty" in submission.problems[0].reason


def test_no_script_at_all_is_said(make: Make) -> None:
    submission = load_submission(make({"submission.json": "{}"}))
    assert submission.entry is None and "no training script" in submission.problems[0].reason


def test_roles(make: Make) -> None:
    submission = load_submission(
        make(
            {
                "train_gpt.py": TRAIN
                + "import helper\nfrom pack import part\nimport importlib\nimportlib.import_module('named')\n"
                "import ctypes\nctypes.CDLL('./fast.so')\nload(sources=['kernel.cu'])\n",
                "helper.py": "import deeper\n",
                "deeper.py": "x = 1\n",
                "pack/__init__.py": "",
                "pack/part.py": "from . import near\n",
                "pack/near.py": "",
                "named.py": "",
                "kernel.cu": '#include "kernel.h"\n',
                "kernel.h": "",
                "lonely.cpp": "",
                "prepare_shards.py": "x = 1\n",
                "plots.py": "import helper\n",
            }
        )
    )
    roles = {s.path: s.role.value for s in submission.modules}
    assert roles == {
        "helper.py": "module",
        "deeper.py": "module",
        "pack/__init__.py": "module",
        "pack/part.py": "module",
        "pack/near.py": "module",
        "named.py": "module",
        "kernel.cu": "native",
        "kernel.h": "native",
        "lonely.cpp": "other",
        "prepare_shards.py": "data_prep",
        "plots.py": "other",
    }


def test_imports_of_a_script_that_does_not_parse(make: Make) -> None:
    submission = load_submission(make({"train_gpt.py": "import helper\nx = (\n", "helper.py": "x = 1\n"}))
    assert submission.modules[0].role is Role.MODULE
    assert "cannot be parsed at line 2" in submission.problems[0].reason


def test_track_from_the_metadata(make: Make) -> None:
    root = make({"train_gpt.py": TRAIN, "submission.json": '{"track": "non-record"}'})
    plain = root.rename(root.parents[2] / "loose")
    assert load_submission(plain).track == "track_non_record_16mb"


def test_another_json_with_the_fields_is_taken(make: Make) -> None:
    submission = load_submission(
        make({"train_gpt.py": TRAIN, "submission_v2.json": '{"val_bpb": 1}', "config.json": "{}"})
    )
    assert submission.metadata is not None and submission.metadata.path == "submission_v2.json"
