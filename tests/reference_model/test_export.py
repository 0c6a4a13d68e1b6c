"""The exported script: one file that stands alone, computes what the package computes, and runs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import fields
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType

import libcst as cst
import numpy as np
import pytest
import torch

from reference_model.config import SECTIONS, Preset, load_preset, preset_names, with_settings
from reference_model.data.shards import write_shard
from reference_model.export.bundle import ExportError, final_names, ordered, read_module
from reference_model.export.folder import write_folder
from reference_model.export.hyperparameters import FIXED, attribute
from reference_model.export.shake import Statement, import_lines, reached, taken_apart
from reference_model.export.text import script_text
from reference_model.model.init import build

ALLOWED = {*sys.stdlib_module_names, "torch", "numpy", "sentencepiece", "zstandard", "brotli", "flash_attn_interface"}
"""Of these the last is used where it is there."""
SMALL = ("num_layers=2", "model_dim=32", "num_heads=2", "num_kv_heads=1", "mlp_hidden=48", "vocab_size=64")
each_preset = pytest.mark.parametrize("name", preset_names())


@cache
def script(name: str) -> str:
    return script_text(load_preset(name))


@cache
def loaded(name: str) -> ModuleType:
    """The exported script as a module; its ``main`` is not called."""
    module = ModuleType("train_gpt")
    module.__file__ = "train_gpt.py"
    sys.modules["train_gpt"] = module
    try:
        exec(compile(script(name), "train_gpt.py", "exec"), module.__dict__)
    finally:
        del sys.modules["train_gpt"]
    return module


@each_preset
def test_script_stands_alone(name: str) -> None:
    tree = ast.parse(script(name))
    imported = {
        part.split(".")[0]
        for node in ast.walk(tree)
        for part in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert imported <= ALLOWED
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


def test_no_name_is_missing_and_none_is_defined_twice() -> None:
    text = script("gepa_644")
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"], input=text,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout
    broken = text.replace("def sliding_windows(", "def sliding_windows_of(", 1)
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"], input=broken,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1


@each_preset
def test_settings_are_those_of_the_preset(name: str) -> None:
    module, preset = loaded(name), load_preset(name)
    made = module.preset_of(module.Hyperparameters)
    for section in SECTIONS:
        part = getattr(preset, section)
        given = {f.name: getattr(getattr(made, section), f.name) for f in fields(part)}
        assert given == {f.name: getattr(part, f.name) for f in fields(part)}


def test_settings_are_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUM_LAYERS", "3")
    monkeypatch.setenv("TTT_LR", "0.5")
    monkeypatch.setenv("VE_LAYERS", "1,2")
    monkeypatch.setenv("TIE_EMBEDDINGS", "0")
    loaded.cache_clear()
    args = loaded("gepa_644").Hyperparameters
    loaded.cache_clear()
    assert (args.num_layers, args.ttt_lr, args.ve_layers, args.tie_embeddings) == (3, 0.5, (1, 2), False)
    names = [attribute(s, f.name) for s in SECTIONS for f in fields(getattr(load_preset("gepa_644"), s))]
    assert len(names) == len(set(names)), "two settings have one variable"
    assert not [n for n in names if n not in FIXED and n != "quant_keep_names" and not hasattr(args, n)]


@pytest.mark.parametrize("name", ["baseline", "recur_1406"])
def test_model_is_that_of_the_package(name: str) -> None:
    module = loaded(name)
    preset = with_settings(
        load_preset(name), (*SMALL, *(() if name == "baseline" else ("ve_layers=1", "recur_layers=0")))
    )
    ours = build(preset.model, seed=3)
    theirs = module.GPT(preset.model)
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randint(0, 64, (2, 24), generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(tokens), theirs(tokens))


def test_only_what_is_reached_is_kept() -> None:
    statements = [
        Statement("a", "A = 1\n", ("A",), frozenset({"A"})),
        Statement("a", "def f():\n    return A\n", ("f",), frozenset({"A"})),
        Statement("b", "def g():\n    return f()\n", ("g",), frozenset({"f"})),
        Statement("b", "def h():\n    pass\n", ("h",), frozenset()),
    ]
    assert [s.defines for s in reached(statements, ["g"])] == [("A",), ("f",), ("g",)]
    text = script("baseline")
    assert "def load_preset" not in text and "def write_shard" not in text


def test_names_taken_twice_are_told_apart() -> None:
    modules = ordered(["artifact.container", "data.shards"])
    final = final_names(modules)
    assert sorted(n for (_, name), n in final.items() if name == "MAGIC") == ["MAGIC", "MAGIC_shards"]
    text = "".join(s.text for s in taken_apart(modules, final).statements)
    assert "int(header[0]) != MAGIC_shards" in text and "data.startswith(MAGIC)" in text


def test_imports_are_gathered() -> None:
    lines = import_lines({"F": "import torch.nn.functional as F", "nn": "from torch import nn", "os": "import os",
                          "Tensor": "from torch import Tensor"}, ["F", "nn", "Tensor", "os"])  # fmt: skip
    assert lines == "import os\n\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n"


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no module"):
        read_module("no.such")
    on_data = with_settings(load_preset("recur_1406"), ["calibration=train"])
    with pytest.raises(ExportError, match="text of its own"):
        script_text(on_data)
    baseline = load_preset("baseline")
    write_folder(baseline, tmp_path, date(2026, 1, 2), script="")
    with pytest.raises(ExportError, match="there already"):
        write_folder(baseline, tmp_path, date(2026, 1, 2), script="")


def test_folder_has_what_the_competition_asks_for(tmp_path: Path) -> None:
    preset = load_preset("baseline")
    folder = write_folder(preset, tmp_path, date(2026, 1, 2))
    assert folder == tmp_path / "records/track_10min_16mb/2026-01-02_Baseline"
    assert {path.name for path in folder.iterdir()} == {"train_gpt.py", "README.md", "submission.json"}
    assert "torchrun --standalone --nproc_per_node=8 train_gpt.py" in (folder / "README.md").read_text()
    stated = json.loads((folder / "submission.json").read_text())
    assert stated["bytes_code"] == len((folder / "train_gpt.py").read_bytes())
    assert cst.parse_module((folder / "train_gpt.py").read_text())


def toy_data(folder: Path, vocab: int) -> dict[str, str]:
    """Random shards, a tokenizer of ``vocab`` pieces, and the variables that name them."""
    import sentencepiece

    words = np.random.default_rng(0).integers(0, 26, (3000, 5))
    text = folder / "text.txt"
    text.write_text("\n".join(" ".join(chr(97 + c) * 2 + "x" for c in row) for row in words))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "toy"), vocab_size=vocab, hard_vocab_limit=False, minloglevel=2,
        model_type="bpe",
    )  # fmt: skip
    data = folder / "data"
    data.mkdir()
    for part, size in (("train", 20_000), ("val", 2_000)):
        tokens = np.random.default_rng(1).integers(3, 40, size)
        write_shard(data / f"fineweb_{part}_000000.bin", tokens)
    return {"DATA_PATH": str(data), "TOKENIZER_PATH": str(folder / "toy.model")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gepa_644", "selfgen_1406"])
def test_script_runs(name: str, tmp_path: Path) -> None:
    env = toy_data(tmp_path, 64)
    settings = {
        "VOCAB_SIZE": 64, "NUM_LAYERS": 3, "MODEL_DIM": 32, "NUM_HEADS": 2, "NUM_KV_HEADS": 1, "MLP_HIDDEN": 48,
        "VE_LAYERS": 2, "VE_DIM": 16, "BIGRAM_BUCKETS": 64, "BIGRAM_DIM": 16, "ROPE_DIMS": 8, "XSA_LAST_N": 2,
        "ITERATIONS": 4, "WARMUP_STEPS": 1, "WARMDOWN_ITERS": 2, "TRAIN_BATCH_TOKENS": 512, "TRAIN_SEQ_LEN": 64,
        "EVAL_SEQ_LEN": 64, "EVAL_STRIDE": 16, "TTT_CHUNK_TOKENS": 256, "TTT_EPOCHS": 1, "VAL_LOSS_EVERY": 2,
        "QUANT_CALIBRATION_SEQUENCES": 2, "QUANT_CALIBRATION_LENGTH": 32, "QUANT_KEEP_FLOAT_NUMEL": 64,
    }  # fmt: skip
    (tmp_path / "train_gpt.py").write_text(script(name))
    done = subprocess.run(
        [sys.executable, "train_gpt.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env, **{key: str(value) for key, value in settings.items()}},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    last = "legal_ttt_exact" if load_preset(name).ttt.kind != "none" else "final_sliding_window_exact"
    assert done.stdout.splitlines()[-1].startswith(f"{last} val_loss:")
    assert (tmp_path / "final_model.golf").stat().st_size > 1000


@pytest.mark.slow
@each_preset
def test_the_audit_finds_nothing_in_an_honest_export(name: str, tmp_path: Path) -> None:
    from tests.reference_model.audited import audit

    preset: Preset = load_preset(name)
    report = audit(write_folder(preset, tmp_path, date(2026, 1, 2)))
    assert (report["verdict"], report["complete"]) == ("no_violation_found", True)
