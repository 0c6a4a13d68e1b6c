"""The commands ``describe`` and ``logits``, and what the command line says about wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from reference_model.cli import main
from reference_model.commands.describe import as_table, layers_of
from reference_model.config import load_preset, preset_names
from reference_model.model import build

TOY = ["model_dim=64", "num_layers=5", "num_heads=4", "num_kv_heads=2", "mlp_hidden=192", "rope_dims=8",
       "bigram_buckets=64", "bigram_dim=16", "ve_dim=16", "ve_layers=3,4", "recur_layers=1,2"]  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command prints: on stdout where it succeeds, else on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert ended.value.code == status, err
    return str(err if status else out)


@pytest.mark.parametrize("preset", preset_names())
def test_describe_tells_parts_layers_and_settings(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = json.loads(said(capsys, "describe", "--preset", preset, "--format", "json"))
    assert table == json.loads(json.dumps(as_table(load_preset(preset))))
    assert table["parameters"] == sum(part["parameters"] for part in table["parts"]) == table["float_bytes"] / 4
    assert len(table["layers"]) == table["model"]["num_layers"] + len(table["model"]["recur_layers"])
    text = said(capsys, "describe", "--preset", preset)
    assert f"{table['parameters']:,}" in text and f"{table['artifact_bytes']:,}" in text


@pytest.mark.parametrize(("preset", "payload"), [("gepa_644", 27_530_604), ("gepa_598", 27_522_422)])
def test_bytes_before_compression_are_those_of_the_logs(preset: str, payload: int) -> None:
    assert as_table(load_preset(preset))["artifact_bytes"] == payload


def test_layers_with_what_is_special() -> None:
    rows = layers_of(load_preset("recur_1406"))
    assert [row["layer"] for row in rows] == [*range(11), 4, 5]
    assert [row["skip_from"] for row in rows] == [None] * 5 + [4, 3, 2, 1, 0] + [None] * 3
    assert [row["layer"] for row in rows if row["exclusive_attention"]] == [7, 8, 9, 10]
    assert [row["layer"] for row in rows if row["value_embedding"]] == [9, 10]


def test_every_figure_of_a_preset_has_its_source() -> None:
    folder = Path(__file__).parents[2] / "reference_model" / "presets"
    for path in folder.glob("*.toml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if " = " in line and not line.startswith(("title", "#")) and not line.rstrip().endswith(","):
                assert "  # " in line or " # " in line, f"{path.name}: {line}"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Weights and tokens of a toy model."""
    config = load_preset("recur_1406", TOY).model
    torch.manual_seed(3)
    weights = {name: tensor + 0.2 * torch.randn(tensor.shape) for name, tensor in build(config).state_dict().items()}
    torch.save(weights, tmp_path / "w.pt")
    np.save(tmp_path / "t.npy", np.arange(12).reshape(2, 6))
    np.save(tmp_path / "flat.npy", np.arange(6, dtype=np.uint16))
    np.save(tmp_path / "wrong.npy", np.array([[0, 5000]]))
    np.save(tmp_path / "floats.npy", np.zeros((2, 2)))
    return {
        name: str(tmp_path / f"{name}") for name in ("w.pt", "t.npy", "flat.npy", "wrong.npy", "floats.npy", "o.npy")
    }


def asked(files: dict[str, str], tokens: str = "t.npy", settings: list[str] = TOY, **other: str) -> list[str]:
    found = ["logits", "--preset", other.get("preset", "recur_1406"), "--weights", other.get("weights", files["w.pt"])]
    found += ["--tokens", files.get(tokens, tokens), "--out", files["o.npy"]]
    return found + [text for setting in settings for text in ("--set", setting)]


def test_logits_have_the_shape_of_the_tokens(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, *asked(files))
    rows = np.load(files["o.npy"])
    said(capsys, *asked(files, "flat.npy"))
    flat = np.load(files["o.npy"])
    assert (rows.shape, rows.dtype) == ((2, 6, 1024), np.float32)
    assert (flat.shape, flat.dtype) == ((6, 1024), np.float32)
    assert np.allclose(flat, rows[0], rtol=0.0, atol=1e-4)  # a batch of one may add up in another order


def test_sizes_come_from_the_weights_where_they_are_not_set(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, *asked(files))
    wanted = np.load(files["o.npy"])
    said(capsys, *asked(files, settings=["rope_dims=8", "ve_layers=3,4", "recur_layers=1,2"]))
    assert np.array_equal(np.load(files["o.npy"]), wanted)
    said(capsys, *asked(files, settings=["rope_dims=8", "ve_layers=3,4", "recur_layers=2,1"]))
    assert not np.array_equal(np.load(files["o.npy"]), wanted)


def test_an_artifact_is_taken_too(files: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said(capsys, *asked(files))
    floats = np.load(files["o.npy"])
    settings = [text for setting in TOY for text in ("--set", setting)]
    quantised = str(tmp_path / "artifact")
    said(capsys, "quantize", "--preset", "muon_ttt_1406", "--weights", files["w.pt"], "--out", quantised, *settings)
    said(capsys, *asked(files, weights=quantised))
    assert 0 < np.abs(np.load(files["o.npy"]) - floats).max() < 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"preset": "gepa"}, "no preset is called"),
        ({"weights": "/nowhere.pt"}, "/nowhere.pt"),
        ({"tokens": "/nowhere.npy"}, "/nowhere.npy"),
        ({"tokens": "wrong.npy"}, "below 1024"),
        ({"tokens": "floats.npy"}, "integers"),
        ({"tokens": "w.pt"}, "integers"),
        ({"settings": ["model_dimension=64"]}, "model_dimension"),
        ({"settings": ["model_dim"]}, "key=value"),
        ({"settings": ["model_dim=wide"]}, "model_dim"),
        ({"settings": [*TOY, "num_heads=5"]}, "num_heads 5"),
        ({"settings": [*TOY, "model_dim=128"]}, "by the settings"),
        ({"settings": ["rope_dims=8"]}, "recur_layers names layer 5"),
    ],
)
def test_wrong_input_is_one_sentence(
    change: dict[str, Any], says: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = said(capsys, *asked(files, **change), status=2)
    errors = [line for line in found.splitlines() if not line.startswith("note:")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and says in errors[0]


@pytest.mark.parametrize("arguments", [["describe"], ["describe", "--preset", "gepa_644", "--format", "xml"], ["fly"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, *arguments, status=2)
    assert found.startswith("error: ") and found.count("\n") == 1
