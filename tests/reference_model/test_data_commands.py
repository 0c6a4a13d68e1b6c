"""The commands ``data``, ``fetch-data`` and ``eval``: what they print, and one sentence with exit 2 for wrong usage."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from auditor.behaviour.toyworld.tokenizer import build_model
from reference_model.artifact.build import build as build_artifact
from reference_model.cli import main
from reference_model.config import load_preset
from reference_model.data import local
from reference_model.data.folder import find_data
from reference_model.data.shards import write_shard
from reference_model.model.init import build

SETTINGS = (
    "num_layers=2", "model_dim=32", "num_heads=4", "num_kv_heads=2", "mlp_hidden=48", "vocab_size=300",
    "train_seq_len=16", "eval.seq_len=16", "stride=4", "keep_float_numel=64",
)  # fmt: skip
SETS = [part for setting in SETTINGS for part in ("--set", setting)]


def golf(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "toy.model").write_bytes(build_model(300)[0])
    write_shard(tmp_path / "x_val_0.bin", np.random.default_rng(5).integers(0, 300, 200))
    return tmp_path


class TestEval:
    def test_weights_and_artifact_are_scored(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        preset = load_preset("baseline", SETTINGS)
        state = build(preset.model, seed=7).state_dict()
        torch.save(state, data / "final.pt")
        (data / "final.bin").write_bytes(build_artifact(state, preset.quant).data)
        seen = []
        for name in ("final.pt", "final.bin"):
            arguments = ["eval", "--preset", "baseline", "--weights", str(data / name), "--data", str(data), *SETS]
            code, out, err = golf(capsys, *arguments, "--whole", "--format", "json")
            assert code == 0, err
            seen.append(json.loads(out))
            assert list(seen[-1]) == ["whole", "sliding"] and seen[-1]["whole"]["tokens"] == 192
            code, out, _ = golf(capsys, *arguments)
            assert f"sliding window: val_loss {seen[-1]['sliding']['loss']:.8f} val_bpb" in out
        assert seen[0]["sliding"]["bpb"] == pytest.approx(seen[1]["sliding"]["bpb"], rel=0.01)

    def test_sizes_come_from_the_weights_and_are_said(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        torch.save(build(load_preset("baseline", SETTINGS).model, seed=7).state_dict(), data / "final.pt")
        arguments = ["eval", "--preset", "baseline", "--weights", str(data / "final.pt"), "--data", str(data)]
        code, _, err = golf(
            capsys, *arguments, "--set", "train_seq_len=16", "--set", "eval.seq_len=16", "--set", "stride=4"
        )
        assert code == 0 and "note: num_layers: 2 by the weights (9)" in err

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (["--ttt"], "has no test-time training"),
            (["--format", "xml"], "text or json"),
            (["--set", "max_tokens=5"], "too few for one sequence"),
            (["--set", "vocab_size=301"], "tok_emb.weight"),
        ],
    )
    def test_wrong_usage(self, data: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str) -> None:
        torch.save(build(load_preset("baseline", SETTINGS).model, seed=7).state_dict(), data / "final.pt")
        arguments = ["eval", "--preset", "baseline", "--weights", str(data / "final.pt"), "--data", str(data), *SETS]
        code, out, err = golf(capsys, *arguments, *more)
        assert code == 2 and out == "" and says in err and err.count("\n") == 1


class TestData:
    def test_local_writes_what_find_data_finds(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "_docstrings", lambda: iter(()))
        code, out, _ = golf(capsys, "data", "--local", "--out", str(tmp_path), "--vocab", "400")
        assert code == 0 and " documents: " in out
        found = find_data(tmp_path, 400)
        assert str(found.tokenizer) in out and found.val_tokens().numel() > 1000

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--out", "x"], "give --local"),
            (["--local", "--out", "x", "--vocab", "100"], "300 to 65,536"),
            (["--local", "--out", "x", "--vocab", "70000"], "300 to 65,536"),
        ],
    )
    def test_wrong_usage(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
        arguments: list[str], says: str,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        code, out, err = golf(capsys, "data", *arguments)
        assert code == 2 and out == "" and says in err
        assert not list(tmp_path.iterdir())


def planted_hub(files: dict[str, bytes]) -> types.ModuleType:
    """A module that answers as ``huggingface_hub`` does."""

    class Refused(Exception):
        pass

    class Api:
        def get_paths_info(self, repository: str, paths: Iterable[str], *, repo_type: str) -> list[Any]:
            assert (repository, repo_type) == ("willdepueoai/parameter-golf", "dataset")
            found = [
                types.SimpleNamespace(path=path, size=len(files[path]), lfs=None) for path in paths if path in files
            ]
            return [*found, types.SimpleNamespace(path="datasets/folder")]

    def download(repository: str, path: str, *, repo_type: str, local_dir: str) -> str:
        if path not in files:
            raise Refused(f"404 for {path}")
        target = Path(local_dir) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files[path])
        return str(target)

    module = types.ModuleType("huggingface_hub")
    module.__dict__.update(HfApi=Api, hf_hub_download=download, errors=types.SimpleNamespace(HfHubHTTPError=Refused))
    return module


class TestFetchData:
    def test_fetches_through_the_library(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shard = tmp_path / "shard"
        write_shard(shard, np.arange(20))
        manifest = {
            "datasets": [
                {"name": "fineweb10B_sp300", "tokenizer_name": "t", "stats": {"files_train": 1, "files_val": 1}}
            ],
            "tokenizers": [{"name": "t", "model_path": "tokenizers/t_300.model"}],
        }
        folder = "datasets/datasets/fineweb10B_sp300/fineweb"
        files = {f"{folder}_{split}_000000.bin": shard.read_bytes() for split in ("train", "val")}
        files |= {"datasets/manifest.json": json.dumps(manifest).encode()}
        files |= {"datasets/tokenizers/t_300.model": build_model(300)[0]}
        monkeypatch.setitem(sys.modules, "huggingface_hub", planted_hub(files))
        out = tmp_path / "out"
        code, printed, err = golf(capsys, "fetch-data", "--out", str(out), "--variant", "sp300")
        assert code == 0, err
        found = find_data(out, 300)
        assert {str(path) for path in (*found.train, *found.val, found.tokenizer)} == set(printed.split())
        del files["datasets/manifest.json"]
        code, _, err = golf(capsys, "fetch-data", "--out", str(out), "--variant", "sp300")
        assert code == 2 and "404 for datasets/manifest.json" in err

    def test_without_the_library_one_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        code, out, err = golf(capsys, "fetch-data", "--out", str(tmp_path / "out"))
        assert code == 2 and out == "" and "pip install 'golf-audit[data]'" in err and err.count("\n") == 1
        assert not (tmp_path / "out").exists()
