"""The seeds' own scripts train for a few steps in the sandbox; the reference does the same steps from the same weights.

So grouping, rates, schedule, momentum, clipping, decay, order of the data and averaging are the scripts'.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from reference_model.config import Preset, load_preset, with_settings
from reference_model.data.folder import DataFolder
from reference_model.data.tokens import ByteTable
from reference_model.model.transformer import GPT
from reference_model.model.weights import load_state
from reference_model.training.distributed import Process
from reference_model.training.log import Log
from reference_model.training.loop import Run
from tests.reference_model.edited_scripts import MAIN, MARKS, run_edited
from tests.reference_model.golden import SEEDS, settings
from tests.reference_model.small import ByteFolder

pytestmark = MARKS
STEPS, WARMUP, MICRO, LENGTH, SEQUENCES = 6, 1, 2, 64, 4
"""The toy plan cuts a batch into two micro-steps, where the script has eight."""
FILES = ("golf_begin.pt", "golf_end.pt", "golf_told.json", "golf_train.bin")
LOSSES_CLOSE = 1e-5
WEIGHTS_CLOSE = 2e-3
"""Distance of the last weights from the script's, as a share of the way that they went."""
GIVEN = {
    "ITERATIONS": STEPS + 1, "WARMDOWN_ITERS": 4, "MAX_WALLCLOCK_SECONDS": 0, "WARMUP_STEPS": WARMUP,
    "TRAIN_BATCH_TOKENS": MICRO * LENGTH * SEQUENCES, "TRAIN_SEQ_LEN": LENGTH, "VAL_LOSS_EVERY": 0,
    "MUON_MOMENTUM_WARMUP_STEPS": 4, "QAT_ENABLED": 0,
}  # fmt: skip
"""Variables of the scripts; those that one does not read do nothing there."""

BEFORE = """
import json as _json


class _Enough(BaseException):
    pass


class _Watched(GPT):
    calls, losses = 0, []

    def __init__(self, *positional, **named):
        super().__init__(*positional, **named)
        with torch.no_grad():
            for parameter in self.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.02, generator=torch.Generator().manual_seed(parameter.numel()))
        self._named = named

    def forward(self, inputs, targets, *rest):
        if not self.training:
            return super().forward(inputs, targets, *rest)
        step, micro = divmod(_Watched.calls, MICRO)
        _Watched.calls += 1
        if micro == 0 and step == WARMUP:
            _keep(self, "golf_begin.pt")
        if micro == 0 and step == WARMUP + STEPS:
            _keep(self, "golf_end.pt")
            raise _Enough
        loss = super().forward(inputs, targets, *rest)
        if step >= WARMUP:
            _Watched.losses.append(float(loss.detach()))
        return loss


def _keep(model, name):
    torch.save({key: tensor.detach().float().clone() for key, tensor in model.state_dict().items()}, name)
    _Watched.named = model._named


GPT, _train_all = _Watched, main


def main():
    try:
        _train_all()
    except _Enough:
        pass
    told = {"losses": _Watched.losses, "network": _Watched.named}
    with open("golf_told.json", "w") as file:
        _json.dump(told, file)
    import glob as _glob
    import shutil as _shutil
    _shutil.copy(sorted(_glob.glob(Hyperparameters.train_files))[0], "golf_train.bin")


"""


def edited(given: dict[str, Any]) -> Any:
    """The script with ``given`` in its environment, and its first weights, losses and last weights kept."""
    numbers = BEFORE.replace("MICRO", str(MICRO)).replace("WARMUP", str(WARMUP)).replace("STEPS", str(STEPS))
    variables = {name: str(value) for name, value in given.items()}

    def edit(text: str) -> str:
        head, guard, tail = text.rpartition(MAIN)
        future = "from __future__ import annotations\n"
        begin = f"import os as _os\n_os.environ.update({variables!r})\n"
        head = future + begin + head.replace(future, "", 1) if future in head else begin + head
        return head + numbers + guard + tail

    return edit


def variables_of(preset: Preset) -> dict[str, Any]:
    """What the script must be told so that it optimises as ``preset`` does."""
    optim = preset.optim
    return {
        "MATRIX_LR": optim.matrix_lr, "SCALAR_LR": optim.scalar_lr, "TIED_EMBED_LR": optim.tied_embed_lr,
        "DECODER_LR_MULT": optim.decoder_lr_mult, "MUON_MOMENTUM": optim.muon_momentum,
        "MUON_MOMENTUM_WARMUP_START": optim.muon_momentum_warmup_start, "MUON_WD": optim.muon_wd,
        "ADAM_WD": optim.adam_wd, "BETA1": optim.beta1, "BETA2": optim.beta2,
        "GRAD_CLIP_NORM": optim.grad_clip_norm, "LATE_QAT": int(threshold_of(preset) > 0),
        "LATE_QAT_THRESHOLD": threshold_of(preset), "QAT_THRESHOLD": threshold_of(preset), **SEEDS[preset.name][2],
    }  # fmt: skip


def threshold_of(preset: Preset) -> float:
    """Late fake quantisation, where the preset has it, for the last three steps."""
    return 0.8 if preset.train.late_qat_threshold > 0 else 0.0


class Shard(ByteFolder):
    """One training shard of the toy world as all data; bytes are not counted here."""

    __slots__ = ()

    def byte_table(self) -> ByteTable:
        none = torch.zeros(self.vocab_size, dtype=torch.bool)
        return ByteTable(torch.ones(self.vocab_size, dtype=torch.int64), none, none)


@dataclass(frozen=True, slots=True)
class Trained:
    """What the script's few steps left."""

    network: dict[str, Any]
    losses: Tensor
    """Mean of each step, [steps]."""
    begin: dict[str, Tensor]
    end: dict[str, Tensor]
    data: DataFolder


def trained(preset: Preset, theirs: Trained) -> Run:
    """The reference after the same steps from the same weights."""
    preset = with_settings(preset, settings(theirs.network))
    train = replace(
        preset.train, iterations=STEPS + 1, warmdown_iters=4, max_wallclock_seconds=0.0, warmup_steps=0,
        train_batch_tokens=MICRO * LENGTH * SEQUENCES, train_seq_len=LENGTH, micro_steps=MICRO,
        late_qat_threshold=threshold_of(preset),
    )  # fmt: skip
    optim = replace(preset.optim, muon_momentum_warmup_steps=4)
    ev = replace(preset.eval, max_tokens=LENGTH)
    with Log(None, quiet=True) as log:
        whole = replace(preset, train=train, optim=optim, eval=ev)
        run = Run(whole, theirs.data, Process(torch.device("cpu")), log, None)
        load_state(run.model, theirs.begin)
        for _ in range(STEPS):
            run.one_step()
    return run


@cache
def ran(name: str, room: Path) -> Trained:
    """The script's steps, once for all tests."""
    left = run_edited(name, room / name, edited({**GIVEN, **variables_of(load_preset(name))}), wanted=FILES)
    assert set(left.files) == set(FILES), left.failure
    told = json.loads(left.files["golf_told.json"])
    begin, end = (torch.load(io.BytesIO(left.files[file]), weights_only=True) for file in FILES[:2])
    shard = room / f"{name}.bin"
    shard.write_bytes(left.files["golf_train.bin"])
    losses = torch.tensor(told["losses"]).view(STEPS, MICRO).mean(1)
    data = Shard(room, (shard,), (shard,), shard, told["network"]["vocab_size"])
    return Trained(told["network"], losses, begin, end, data)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("trained")


@pytest.mark.parametrize("name", SEEDS)
def test_six_steps_are_the_scripts(name: str, room: Path) -> None:
    theirs = ran(name, room)
    run = trained(load_preset(name), theirs)
    assert float(theirs.losses.max() - theirs.losses.min()) > 0.05, "the steps make a difference"
    torch.testing.assert_close(torch.stack(run.losses), theirs.losses, atol=LOSSES_CLOSE, rtol=0)
    ours, first, last = run.model.state_dict(), own_state(run, theirs.begin), own_state(run, theirs.end)
    way = {key: (last[key] - first[key]).norm().clamp_min(1e-12) for key in ours}
    far = {key: float((ours[key] - last[key]).norm() / way[key]) for key in ours}
    worst = max(far, key=lambda key: far[key])
    assert far[worst] < WEIGHTS_CLOSE, worst


@pytest.mark.parametrize(
    ("name", "section", "changed"),
    [
        ("gepa_598", "train", {"late_qat_threshold": 0.0}),
        ("gepa_598", "optim", {"bigram_scale_trained": True}),
        ("gepa_644", "optim", {"muon_bigram_proj": False}),
        ("gepa_644", "optim", {"aux_embed_lr": "token"}),
        ("int5_861", "train", {"qat_bits": 6}),
        ("recur_1406", "optim", {"muon_row_norm": True}),
        ("recur_1406", "train", {"qat_banks": True}),
        ("baseline", "optim", {"adam_wd": 0.01}),
    ],
)
def test_another_setting_is_noticed(name: str, section: str, changed: dict[str, Any], room: Path) -> None:
    preset, theirs = load_preset(name), ran(name, room)
    wrong = replace(preset, **{section: replace(getattr(preset, section), **changed)})
    far = (torch.stack(trained(wrong, theirs).losses) - theirs.losses).abs().max()
    assert far > 5 * LOSSES_CLOSE


def own_state(run: Run, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The script's weights under the names that the reference has."""
    model = GPT(run.model.config)
    load_state(model, state)
    return model.state_dict()
