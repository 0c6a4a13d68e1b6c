"""GPTQ's calibration in #1406's scripts and ours: the text that a model writes itself, and the Hessians."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reference_model.artifact.foreign import load
from reference_model.config import load_preset
from reference_model.model.names import own_names
from reference_model.model.transformer import GPT
from reference_model.model.weights import load_state
from reference_model.quantisation.hessians import calibration_model, collect, self_generated
from tests.reference_model.edited_scripts import MARKS, run_edited
from tests.reference_model.golden import settings

pytestmark = [*MARKS, pytest.mark.slow]
NETWORK = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_mult", "tie_embeddings",
           "tied_embed_init_std", "logit_softcap", "rope_base", "qk_gain_init", "rope_dims", "ln_scale", "xsa_last_n",
           "ve_enabled", "ve_dim", "ve_layers", "bigram_vocab_size", "bigram_dim", "recur_enabled",
           "recur_layers")  # fmt: skip


def leaving_its_calibration(text: str) -> str:
    """A script that leaves what its calibrated model read, its Hessians and the arguments of its network."""
    read, call = "            hessian_model(x, y)", "    quant_result, quant_meta = mixed_quantize_int6("
    assert text.count(read) and text.count(call) == 1
    rope = "blocks[0].attn.rotary.train_seq_len"
    keep = f"""    torch.save({{"read": _read, "hessians": hessians, "seed": args.seed,
        "rope": [_rope[0], base_model.{rope}],
        "network": {{k: getattr(args, k) for k in {NETWORK!r} if hasattr(args, k)}}}}, "calibration.pt")
"""
    seen = f"            _read.append(x.cpu().clone()); _rope.append(hessian_model.{rope})\n{read}"
    text = text.replace(read, seen).replace(call, keep + call)
    return text.replace("\ndef collect_hessians", "\n_read, _rope = [], []\n\ndef collect_hessians", 1)


@pytest.mark.parametrize("name", ["selfgen_1406", "recur_1406"])
def test_hessians_and_generated_text(name: str, tmp_path: Path) -> None:
    ran = run_edited(name, tmp_path, leaving_its_calibration, wanted=("calibration.pt", "final_model.pt"))
    assert "calibration.pt" in ran.files, ran.failure
    theirs = load(ran.files["calibration.pt"])
    assert theirs["rope"][0] == theirs["rope"][1]
    network = {**theirs["network"], "rope_train_seq_len": theirs["rope"][0]}
    preset = load_preset(name, settings(network))
    model = GPT(preset.model)
    load_state(model, own_names({key: tensor.float() for key, tensor in load(ran.files["final_model.pt"]).items()}))
    read: list[Tensor] = theirs["read"]
    ours = collect(calibration_model(model, preset.quant.calibration_recurrence), read, preset.quant.gptq_damp)
    expected = own_names(theirs["hessians"])
    assert set(expected) <= set(ours)
    for key, hessian in expected.items():
        assert torch.allclose(ours[key], hessian, rtol=1e-3, atol=1e-4 * float(hessian.diagonal().mean())), key
    if preset.quant.calibration == "self_generated" and name == "selfgen_1406":
        quant = replace(preset.quant, calibration_sequences=len(read), calibration_length=read[0].shape[1] + 1)
        written = self_generated(model, quant, theirs["seed"])
        assert torch.equal(torch.cat(written)[:, :-1], torch.cat(read))
