"""Score-first test-time training of the seeds' own scripts and of the reference: same weights, same tokens, same score.

The scripts run in the audit's sandbox until their network is made; then their test-time training is called on weights
that need no training (`recipe.filled`), with rates at which it changes much.
"""

from __future__ import annotations

import io
import json
from inspect import getsource
from pathlib import Path

import numpy as np
import pytest
import torch

from reference_model.config import Preset, load_preset, with_settings
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.ttt import score_first_ttt
from reference_model.model.init import build
from reference_model.model.weights import load_state
from tests.reference_model.edited_scripts import MAIN, run_edited
from tests.reference_model.golden import settings
from tests.reference_model.recipe import filled

pytestmark = pytest.mark.corpus

SEQ, STRIDE, CHUNK, BATCH, TOKENS = 32, 8, 128, 2, 700
CLOSE = 1e-5
TTT = {
    "gepa_644": {"lr": 0.02, "epochs": 2, "freeze_blocks": 1},
    "gepa_598": {"lr": 0.02, "epochs": 2, "freeze_blocks": 1, "qat": True},
    "int5_861": {"lr": 0.004, "epochs": 2, "qat": True},
    "muon_ttt_1406": {"lr": 0.01, "epochs": 3, "freeze_blocks": 1, "qat": True},
}
"""Settings of test-time training in these comparisons, by preset; ``qat``: late QAT was on at the end of training."""

RUN = """
import json as _json
import zlib
import numpy


# the recipe


class _Made(GPT):
    def __init__(self, **named):
        self.golf_named = named
        super().__init__(**named)
        raise _Enough(named)


class _Enough(BaseException):
    pass


_network, GPT = GPT, _Made
try:
    main()
except _Enough as enough:
    named = enough.args[0]
GPT = _network
device = torch.device("cpu")
CastedLinear._qat_enabled = args_qat
args = Hyperparameters()
for key, value in GIVEN.items():
    assert hasattr(args, key), key
    setattr(args, key, value)
tokens = load_validation_tokens(args.val_files, args.train_seq_len)[: args.golf_tokens + 1]
sp = spm.SentencePieceProcessor(model_file=args.tokenizer_path)
luts = build_sentencepiece_luts(sp, args.vocab_size, device)
model = _network(**named).float()
model.load_state_dict({k: torch.from_numpy(filled(k, tuple(t.shape))) for k, t in model.state_dict().items()})
state = {k: t.clone() for k, t in model.state_dict().items()}
rotary = model.blocks[0].attn.rotary
named["rope_train_seq_len"] = getattr(rotary, "train_seq_len", 0)
found = {}
for name in ("golf_lr0", "golf_lr"):
    args.ttt_lr = args.ttt_adamw_lr = getattr(args, name)
    model.load_state_dict(state)
    found[name] = eval_val_sliding_ttt(args, model, 0, 1, device, tokens, *luts, args.golf_stride, batch_seqs=3)
torch.save(state, "golf_state.pt")
torch.save({"tokens": tokens.long(), "base": luts[0].long(), "space": luts[1], "boundary": luts[2]}, "golf_data.pt")
with open("golf_ttt.json", "w") as file:
    _json.dump({"named": named, "found": found}, file)
"""


def given(name: str) -> dict[str, object]:
    """Attributes of the script's settings."""
    chosen = TTT[name]
    values: dict[str, object] = {
        "train_seq_len": SEQ, "ttt_chunk_tokens": CHUNK, "ttt_batch_seqs": BATCH, "ttt_epochs": chosen["epochs"],
        "ttt_freeze_blocks": chosen.get("freeze_blocks", 0), "ttt_grad_clip": 1.0, "ttt_momentum": 0.9,
    }  # fmt: skip
    extra: dict[str, dict[str, object]] = {
        "gepa_644": {"ttt_optimizer": "sgd"}, "gepa_598": {"ttt_optimizer": "sgd"},
        "int5_861": {"ttt_use_adamw": True, "ttt_mlp_only": True},
        "muon_ttt_1406": {"ttt_muon": True, "ttt_entropy_adapt": True, "ttt_entropy_low": 8.25,
                          "ttt_entropy_high": 8.45},
    }  # fmt: skip
    return values | extra[name]


def script(name: str, text: str) -> str:
    """The script's definitions, and `RUN` in place of its last part."""
    code = RUN.replace("# the recipe", getsource(filled))
    fixed = f"Hyperparameters.golf_lr0, Hyperparameters.golf_lr = 0.0, {TTT[name]['lr']}\n"
    fixed += f"Hyperparameters.golf_stride, Hyperparameters.golf_tokens = {STRIDE}, {TOKENS}\n"
    fixed += f"Hyperparameters.ttt_adamw_lr = 0.0\nargs_qat = {bool(TTT[name].get('qat'))}\nGIVEN = {given(name)!r}\n"
    return text.rpartition(MAIN)[0] + fixed + code


def ours(name: str, left: dict[str, bytes], named: dict[str, object], rate: float) -> Score:
    """The reference's score."""
    state = torch.load(io.BytesIO(left["golf_state.pt"]), weights_only=True)
    data = torch.load(io.BytesIO(left["golf_data.pt"]), weights_only=True)
    preset: Preset = with_settings(load_preset(name), [
        *settings(named), f"eval.seq_len={SEQ}", f"eval.stride={STRIDE}", "eval.batch_seqs=3", "eval.repeat_tail=true",
        f"ttt.lr={rate}", f"ttt.epochs={TTT[name]['epochs']}", f"chunk_tokens={CHUNK}", f"ttt.batch_seqs={BATCH}",
        f"freeze_blocks={TTT[name].get('freeze_blocks', 0)}", "entropy_low=8.25", "entropy_high=8.45",
    ])  # fmt: skip
    model = build(preset.model, 0)
    load_state(model, state)
    table = ByteTable(data["base"], data["space"], data["boundary"])
    return score_first_ttt(model.float(), data["tokens"], table, preset.ttt, preset.eval)


@pytest.mark.parametrize("name", TTT)
def test_the_score_is_that_of_the_script(name: str, tmp_path: Path) -> None:
    left = run_edited(
        name, tmp_path, lambda text: script(name, text), wanted=("golf_ttt.json", "golf_state.pt", "golf_data.pt")
    )
    assert left.ended, left.failure
    report = json.loads(left.files["golf_ttt.json"])
    still, trained = (np.array(report["found"][key]) for key in ("golf_lr0", "golf_lr"))
    assert abs(still[1] - trained[1]) > 0.005, "training changes the score by far more than is compared"
    for rate, (loss, bpb) in ((0.0, still), (TTT[name]["lr"], trained)):
        score = ours(name, left.files, report["named"], rate)
        assert score.bpb == pytest.approx(bpb, abs=CLOSE)
        assert score.loss == pytest.approx(loss, abs=CLOSE)
