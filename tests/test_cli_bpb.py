"""``golf-audit bpb``: the right score for honest artifacts, one sentence for every other file, and nothing executed."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import zstandard

from auditor import cli
from auditor.behaviour.toyworld.tokenizer import build_model
from reference_model.artifact.build import build as build_artifact
from reference_model.config import load_preset
from reference_model.data.folder import find_data
from reference_model.data.shards import usable, write_shard
from reference_model.evaluation.sliding import sliding_score
from reference_model.model.init import build
from reference_model.quantisation.mixed import dequantise

SETTINGS = (
    "num_layers=2", "model_dim=32", "num_heads=4", "num_kv_heads=2", "mlp_hidden=48", "vocab_size=300",
    "train_seq_len=16", "eval.seq_len=16", "stride=4", "keep_float_numel=64",
)  # fmt: skip
PRESET = load_preset("baseline", SETTINGS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 300 pieces and 200 tokens for validation."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "toy.model").write_bytes(build_model(300)[0])
    rng = np.random.default_rng(5)
    write_shard(folder / "fineweb_val_000000.bin", np.concatenate([[1], rng.integers(4, 300, 199)]))
    return folder


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    found = build(PRESET.model, seed=7).state_dict()
    return {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in found.items()}


def golf(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process: exit code, stdout, last line of stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["bpb", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, (err.splitlines() or [""])[-1]


def sets(*more: str) -> list[str]:
    return [part for setting in (*SETTINGS, *more) for part in ("--set", setting)]


def saved(what: object) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream)
    return stream.getvalue()


def test_the_container_of_the_reference_is_scored_as_its_weights_are(
    tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    built = build_artifact(state, PRESET.quant)
    artifact, weights = tmp_path / "model.bin", tmp_path / "final.pt"
    artifact.write_bytes(built.data)
    weights.write_bytes(saved(state))
    arguments = ["--artifact", str(artifact), "--preset", "baseline", "--data", str(data)]
    code, out, _ = golf(capsys, *arguments, "--weights", str(weights), "--whole", "--format", "json", *sets())
    assert code == 0
    document = json.loads(out)
    found = find_data(data, 300)
    stream = usable(found.val_tokens(), 16)
    for role, weights_of in (("artifact", dequantise(built.quantised)), ("weights", state)):
        model = build(PRESET.model)
        model.load_state_dict(weights_of)
        expected = sliding_score(model, stream, found.byte_table(), PRESET.eval)
        assert document[role]["scores"]["sliding"]["bpb"] == pytest.approx(expected.bpb, abs=1e-9)
        assert document[role]["scores"]["sliding"]["tokens"] == 192 == document[role]["scores"]["whole"]["tokens"]
    seen = [document[role]["scores"]["sliding"]["bpb"] for role in ("artifact", "weights")]
    assert seen[0] != seen[1], "quantisation must show"
    assert document["artifact"]["bytes"] == len(built.data)
    tokenizer = hashlib.sha256(build_model(300)[0]).hexdigest()
    assert document["artifact"]["data"]["toy.model"] == tokenizer and len(document["artifact"]["data"]) == 2
    assert document["artifact"]["forms"]["int8_row"] == sum(
        e.form == "int8_row" for e in built.quantised.tensors.values()
    )


@pytest.mark.parametrize("compress", [zlib.compress, zstandard.ZstdCompressor().compress, bytes])
def test_a_compressed_state_dict_is_scored(
    tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str],
    compress: Callable[[bytes], bytes],
) -> None:  # fmt: skip
    artifact = tmp_path / "model.ptz"
    artifact.write_bytes(compress(saved(state)))
    code, out, _ = golf(capsys, "--artifact", str(artifact), "--preset", "baseline", "--data", str(data), *sets())
    assert code == 0 and "sliding window" in out and "192 tokens" in out


def test_ttt_and_a_part_of_the_stream(
    tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "model.pt"
    artifact.write_bytes(saved(state))
    arguments = ["--artifact", str(artifact), "--preset", "baseline", "--data", str(data), "--ttt", "--format", "json"]
    asked = sets("ttt.kind=sgd", "ttt.lr=0", "chunk_tokens=32", "max_tokens=64")
    code, out, _ = golf(capsys, *arguments, *asked)
    scores = json.loads(out)["artifact"]["scores"]
    assert code == 0 and scores["ttt"]["tokens"] == scores["sliding"]["tokens"] == 64
    assert scores["ttt"]["bpb"] == pytest.approx(scores["sliding"]["bpb"], abs=1e-6)
    assert "first 64 validation tokens" in json.loads(out)["artifact"]["notes"][0]


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "executed")


def deflated_bomb() -> bytes:
    """A zip as ``torch.save`` writes it, whose one storage holds 2 GiB of zeros in 2 MB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(32):
                entry.write(bytes(1 << 26))
    return stream.getvalue()


def refused(
    tmp_path: Path, data: Path, content: bytes, capsys: pytest.CaptureFixture[str], *more: str
) -> str:  # fmt: skip
    artifact = tmp_path / "artifact.bin"
    artifact.write_bytes(content)
    code, out, err = golf(
        capsys, "--artifact", str(artifact), "--preset", "baseline", "--data", str(data), *sets(*more)
    )
    assert code == 2 and out == "" and err.startswith("golf-audit: ") and len(err) < 600, err
    return err


class TestRefused:
    """Exit 2, one sentence."""

    @pytest.mark.parametrize("wrap", [bytes, zlib.compress])
    def test_a_malicious_pickle_is_not_executed(
        self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], wrap: Callable[[bytes], bytes]
    ) -> None:
        planted = tmp_path / "planted"
        for content in (saved({"x": Evil(planted)}), pickle.dumps({"x": Evil(planted)})):
            refused(tmp_path, data, wrap(content), capsys)
            assert not planted.exists()
        pickle.loads(pickle.dumps(Evil(planted)))
        assert planted.read_text() == "executed", "the planted pickle would have worked"

    def test_bombs(self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        compressor = zstandard.ZstdCompressor().compressobj()
        zeros = b"".join([compressor.compress(bytes(1 << 26)) for _ in range(20)]) + compressor.flush()
        assert len(zeros) < 1_000_000
        assert "1,073,741,824" in refused(tmp_path, data, zeros, capsys)

    @pytest.mark.slow
    def test_a_zip_bomb(self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "1,073,741,824" in refused(tmp_path, data, deflated_bomb(), capsys)

    def test_cut_off_and_damaged(
        self, tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
    ) -> None:
        container, plain = build_artifact(state, PRESET.quant).data, saved(state)
        for whole in (container, plain, zlib.compress(plain), zstandard.compress(plain)):
            for cut in (0, 3, 40, len(whole) // 2, len(whole) - 1):
                refused(tmp_path, data, whole[:cut], capsys)
        refused(tmp_path, data, b"no artifact at all", capsys)

    def test_weights_that_fit_no_such_model(
        self, tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = {
            "layers": {**state, "blocks.999999999.attn.q_gain": torch.ones(4)},
            "rows": {**state, "tok_emb.weight": torch.empty(300, 0)},
            "none": {},
            "wide": {**state, "tok_emb.weight": torch.empty(0, 10**9)},
            "heads": {**state, "blocks.0.attn.q_gain": torch.ones(0)},
            "short": {name: tensor for name, tensor in state.items() if "blocks.1" not in name},
            "more": {**state, "surplus": torch.ones(3)},
        }
        for content in hostile.values():
            refused(tmp_path, data, saved(content), capsys)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"artifact": "missing.bin"}, "is no file"),
            ({"artifact": "."}, "is no file"),
            ({"preset": "gepa_9999"}, "no preset is called"),
            ({"data": "missing"}, "is no folder"),
            ({"set": "colour=1"}, "colour"),
            ({"set": "stride=99"}, "stride"),
            ({"set": "vocab_size=301"}, "301"),
            ({"format": "xml"}, "bpb prints text or json"),
            ({"weights": "missing.pt"}, "is no file"),
        ],
    )
    def test_wrong_usage(
        self, tmp_path: Path, data: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str],
        change: dict[str, str], says: str,
    ) -> None:  # fmt: skip
        artifact = tmp_path / "model.pt"
        artifact.write_bytes(saved(state))
        usual = {"artifact": str(artifact), "preset": "baseline", "data": str(data)}
        arguments = [part for name, value in (usual | change).items() if name != "set" for part in (f"--{name}", value)]
        code, out, err = golf(capsys, *arguments, *sets(*([change["set"]] if "set" in change else [])))
        assert code == 2 and out == "" and says in err, err

    def test_without_torch_it_says_how_to_get_it(
        self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert "pip install 'golf-audit[torch]'" in refused(tmp_path, data, b"x", capsys)


def test_a_process_of_its_own(tmp_path: Path, data: Path, state: dict[str, torch.Tensor]) -> None:
    artifact = tmp_path / "model.bin"
    artifact.write_bytes(build_artifact(state, replace(PRESET.quant, compressor="lzma", compressor_level=6)).data)
    command = [sys.executable, "-m", "auditor.cli", "bpb", "--artifact", str(artifact), "--preset", "baseline"]
    run = subprocess.run(
        [*command, "--data", str(data), *sets()],
        capture_output=True,
        text=True,
        cwd=cli.__file__.rsplit("/", 2)[0],
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "val_bpb" in run.stdout and all(line.startswith("golf-audit: scoring") for line in run.stderr.splitlines())
