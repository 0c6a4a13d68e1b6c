"""The exported script's short training loop against the package's: the same weights, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from reference_model.config import Preset
from reference_model.data.loader import TrainLoader
from reference_model.export import script
from reference_model.model.init import build
from reference_model.training.distributed import Process
from reference_model.training.log import Log
from reference_model.training.loop import train
from tests.reference_model.small import pattern_folder, small

CPU = Process(torch.device("cpu"), 0, 1)


def by_the_package(preset: Preset, root: Path) -> dict[str, Tensor]:
    with Log(None, quiet=True) as log:
        return train(preset, pattern_folder(root), CPU, log).model.state_dict()


def by_the_script(preset: Preset, root: Path) -> dict[str, Tensor]:
    folder = pattern_folder(root)
    model = build(preset.model, preset.train.seed)
    loader = TrainLoader(folder.train, 0, 1, CPU.device)
    script.train(preset, model, loader, folder.val_tokens(), folder.byte_table(), CPU)
    return model.state_dict()


def with_training(name: str, **settings: object) -> Preset:
    preset = small(name, steps=12, micro_steps=2)
    return replace(preset, train=replace(preset.train, **settings))  # type: ignore[arg-type]


CASES = [
    ("gepa_644", {"swa_every": 2, "swa_start_frac": 0.9}),
    ("recur_1406", {"warmup_steps": 2}),
    ("int5_861", {"ema_decay": 0.0, "swa_every": 2, "swa_start_frac": 0.9, "late_qat_threshold": 0.5}),
    ("baseline", {"ema_decay": 0.0}),
]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
def test_both_loops_train_the_same_weights(name: str, settings: dict[str, object], tmp_path: Path) -> None:
    preset = with_training(name, **settings)
    package, exported = by_the_package(preset, tmp_path), by_the_script(preset, tmp_path)
    assert package.keys() == exported.keys()
    assert all(torch.equal(package[key], exported[key]) for key in package)


def test_another_average_would_be_noticed(tmp_path: Path) -> None:
    settings = {"swa_every": 2, "swa_start_frac": 0.9}
    package = by_the_package(with_training("gepa_644", **settings), tmp_path)
    exported = by_the_script(with_training("gepa_644", **settings, ema_decay=0.0), tmp_path)
    assert not all(torch.equal(package[key], exported[key]) for key in package)
