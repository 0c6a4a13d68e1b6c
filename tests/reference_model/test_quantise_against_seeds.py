"""From the same float weights, the artifact of every seed's own script and ours: the same tensors, to the bit.

The scripts run in the audit's sandbox (`tests.reference_model.edited_scripts`). Two ways: their quantiser alone, on
large matrices; and whole toy runs, with the threshold of small tensors lowered so that toy matrices are quantised too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_model.artifact.foreign import load, quantised_of, read
from reference_model.config import load_preset
from reference_model.model.names import own_name, own_names
from reference_model.quantisation import Quantised, dequantise, quantise
from reference_model.quantisation.pruning import prune_ones
from reference_model.quantisation.qat import fake_quantise
from tests.reference_model.edited_scripts import MARKS, instead_of_main, run_edited
from tests.reference_model.test_artifact import GOLDEN, GOLDEN_SMALL
from tests.reference_model.test_artifact import state as golden_state

pytestmark = MARKS

LISTS = """
import torch as _torch
_made, _ = quantize_state_dict_int6({k: v.clone() for k, v in _torch.load("weights.pt").items()})
_torch.save({"made": _made, "back": dequantize_state_dict_int6(_made)}, "out.pt")
"""
FLAT = """
import inspect as _inspect
import torch as _torch
_sd = _torch.load("weights.pt")
_more = (_torch.load("hessians.pt"),) if len(_inspect.signature(mixed_quantize_int6).parameters) > 2 else ()
_w, _m = mixed_quantize_int6(_sd, {"mlp", "attn"}, *_more)
_torch.save({"made": {"w": _w, "m": _m}, "back": dequantize_mixed_int6(_w, _m, _sd)}, "out.pt")
"""
BASELINE = LISTS.replace("_int6", "_int8")
QUANTISERS = [
    ("baseline", BASELINE), ("gepa_644", LISTS), ("gepa_598", LISTS), ("int5_861", LISTS), ("muon_ttt_1406", FLAT),
    ("selfgen_1406", FLAT), ("recur_1406", FLAT),
]  # fmt: skip
TOY_FLOAT = 64
"""Elements of a small tensor in toy runs."""


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Tensors of every class and kind: wide, narrow, with outliers, with empty rows, of bfloat16, with three axes."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 0.02) -> Tensor:
        return torch.randn(*shape, generator=g) * std

    outliers = normal(512, 512)
    outliers[torch.rand(512, 512, generator=g) < 0.001] *= 200
    empty = normal(256, 512, std=2.0)
    empty[3] = 0
    return {
        "tok_emb.weight": normal(1024, 128, std=0.6).bfloat16(),
        "bigram_emb.embed.weight": normal(2048, 128, std=1.5),
        "bigram_emb.proj.weight": normal(512, 129),
        "skip_weights": normal(5, 512, std=1.0),
        "resid_mixes": normal(200, 512, std=1.0),
        "smear_gate.gate": normal(512).bfloat16(),
        "blocks.0.attn.c_q.weight": outliers,
        "blocks.0.attn.c_k.weight": empty,
        "blocks.0.attn.c_v.weight": normal(64, 512),
        "blocks.0.attn.proj.weight": normal(512, 512, std=3.0).bfloat16(),
        "blocks.0.attn.q_gain": normal(8),
        "blocks.0.mlp.up_proj.weight": normal(1536, 512, std=1.0),
        "blocks.1.mlp.down_proj.weight": torch.randint(-40, 41, (512, 1536), generator=g) / 31,
        "blocks.1.mlp.cube": normal(3, 200, 200, std=2.0),
        "blocks.1.attn_scale": normal(512, std=1.0),
        "ve_shared.embed.weight": normal(1024, 128),
        "cube": normal(4, 150, 150),
        "lm_head.weight": normal(1024, 100, std=1.0),
        "counts": torch.arange(9),
    }


def hessians(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hessians of correlated inputs for some of the matrices; one has inputs that were always zero."""
    g = torch.Generator().manual_seed(5)
    found = {}
    for name in ("blocks.0.attn.c_q.weight", "blocks.0.attn.c_k.weight", "blocks.0.mlp.up_proj.weight"):
        columns = state[name].shape[1]
        x = torch.randn(2 * columns, columns, generator=g) @ torch.randn(columns, columns, generator=g)
        x[:, 7] *= 0 if name.endswith("c_k.weight") else 1
        found[name] = x.T @ x / len(x)
    return found


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def same(ours: Quantised, theirs: Quantised) -> list[str]:
    """Names whose stored tensors are not the same to the bit."""
    assert set(ours.tensors) == set(theirs.tensors)
    wrong = []
    for name, entry in ours.tensors.items():
        other = theirs.tensors[name]
        pairs = [(entry.values, other.values)]
        if (entry.scale is None) != (other.scale is None):
            wrong.append(name)
            continue
        if entry.scale is not None and other.scale is not None:
            pairs.append((entry.scale, other.scale))
        if any(a.dtype != b.dtype or a.shape != b.shape or not torch.equal(a, b) for a, b in pairs):
            wrong.append(name)
    return wrong


def of_seed(name: str, code: str, room: Path, state: dict[str, Tensor]) -> tuple[Quantised, dict[str, Tensor]]:
    """What the seed's quantiser makes of ``state``, and what its dequantiser gives back."""
    given = {"weights.pt": saved(state), "hessians.pt": saved(hessians(state))}
    ran = run_edited(name, room, instead_of_main(code), given=given, wanted=("out.pt",), full_size=True)
    assert ran.ended, ran.failure
    out = load(ran.files["out.pt"])
    return quantised_of(out["made"]), out["back"]


@pytest.mark.parametrize(("name", "code"), QUANTISERS, ids=[name for name, _ in QUANTISERS])
def test_the_quantiser_gives_the_same_tensors(name: str, code: str, tmp_path: Path) -> None:
    state, config = weights(), replace(load_preset(name).quant, prune_fraction=0.0)
    theirs, back = of_seed(name, code, tmp_path, state)
    ours = quantise(state, config, hessians(state))
    assert same(ours, theirs) == []
    for key, tensor in dequantise(ours).items():
        assert tensor.dtype == back[key].dtype and torch.equal(tensor, back[key]), key
    for key, tensor in dequantise(theirs).items():
        assert torch.equal(tensor.to(back[key].dtype), back[key]), key
    planted = replace(config, int6_min=-63 - config.int6_min, clip_floor=0.5)
    assert same(quantise(state, planted, hessians(state)), theirs), "a wrong range and floor were not noticed"


def with_small(text: str, elements: int) -> str:
    """A script whose small tensors have at most ``elements``."""
    return re.sub(r"(KEEP_FLOAT_MAX_NUMEL = |numel\(\) (?:<=|>) )\d[\d_]*", rf"\g<1>{elements}", text)


@pytest.mark.parametrize("preset", list(GOLDEN))
def test_the_golden_artifacts_are_those_of_the_seeds(preset: str, tmp_path: Path) -> None:
    given = {"weights.pt": saved(golden_state()), "hessians.pt": saved({})}
    edit = instead_of_main(dict(QUANTISERS)[preset])
    ran = run_edited(preset, tmp_path, lambda text: edit(with_small(text, GOLDEN_SMALL)), given=given,
                     wanted=("out.pt",), full_size=True)  # fmt: skip
    assert ran.ended, ran.failure
    config = replace(load_preset(preset).quant, keep_float_numel=GOLDEN_SMALL, prune_fraction=0.0)
    assert same(quantise(golden_state(), config), quantised_of(load(ran.files["out.pt"])["made"])) == []


def toy(text: str) -> str:
    """A script whose small tensors are really small, and which leaves its Hessians behind."""
    text = with_small(text, TOY_FLOAT)
    call = "quant_result, quant_meta = mixed_quantize_int6("
    keep = 'torch.save(hessians, "hessians.pt")\n    ' if "hessians=hessians" in text else ""
    return text.replace(f"    {call}", f"    {keep}{call}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in QUANTISERS])
def test_a_toy_run_leaves_the_artifact_that_we_make(name: str, tmp_path: Path) -> None:
    artifact = "final_model.int8.ptz" if name == "baseline" else "final_model.int6.ptz"
    wanted = ("final_model.pt", artifact, "hessians.pt")
    ran = run_edited(name, tmp_path, toy, wanted=wanted)
    assert set(wanted[:2]) <= set(ran.files), ran.failure
    theirs = Quantised({own_name(k): entry for k, entry in read(ran.files[artifact]).tensors.items()})
    config = replace(load_preset(name).quant, keep_float_numel=TOY_FLOAT)
    found = own_names(load(ran.files["hessians.pt"])) if "hessians.pt" in ran.files else {}
    assert bool(found) == config.gptq
    ours = quantise(own_names(load(ran.files["final_model.pt"])), config, found)
    assert sum(entry.scale is not None for entry in ours.tensors.values()) > 10
    assert same(ours, theirs) == []


def halfway(text: str) -> str:
    """A toy script whose artifact must shrink half as much as pruning all values of +-1 can."""
    line = "        target_bytes = int(target_mb * 1024 * 1024)\n"
    assert text.count(line) == 1
    return toy(text).replace(line, "        target_bytes = (no_sz + _try_prune(len(ones_info))[0]) // 2\n")


def nonzero(quantised: Quantised) -> int:
    return sum(int(entry.values.count_nonzero()) for entry in quantised.tensors.values() if entry.scale is not None)


@pytest.mark.slow
def test_selective_pruning_takes_the_same_values(tmp_path: Path) -> None:
    wanted = ("final_model.pt", "final_model.int6.ptz", "hessians.pt")
    ran = run_edited("selfgen_1406", tmp_path, halfway, wanted=wanted)
    assert set(wanted) <= set(ran.files), ran.failure
    theirs = Quantised({own_name(k): entry for k, entry in read(ran.files[wanted[1]]).tensors.items()})
    config = replace(load_preset("selfgen_1406").quant, keep_float_numel=TOY_FLOAT)
    ours = quantise(own_names(load(ran.files[wanted[0]])), config, own_names(load(ran.files[wanted[2]])))
    left = nonzero(theirs)
    assert left < nonzero(ours) - 100
    assert same(ours, theirs)
    assert same(prune_ones(ours, nonzero, left).quantised, theirs) == []


FAKE = """
import torch as _torch
_w, _x = (_torch.load("weights.pt")[k] for k in ("w", "x"))
_layer = CastedLinear(_w.shape[1], _w.shape[0], bias=False)
_layer.weight.data = _w.clone()
CastedLinear._qat_enabled = True
_out = {}
for _dtype in (_torch.float32, _torch.bfloat16):
    _layer.train()
    _layer.weight.grad = None
    _y = _layer(_x.to(_dtype))
    _y.float().square().sum().backward()
    _out[str(_dtype)] = [_y.detach(), _layer.weight.grad.clone()]
_torch.save(_out, "out.pt")
"""


@pytest.mark.parametrize("name", ["gepa_644", "int5_861", "recur_1406"])
def test_fake_quantisation_in_training_is_the_same(name: str, tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(3)
    weight, x = torch.randn(24, 40, generator=g) * torch.linspace(0.01, 3, 24)[:, None], torch.randn(9, 40, generator=g)
    given = {"weights.pt": saved({"w": weight, "x": x})}
    ran = run_edited(name, tmp_path, instead_of_main(FAKE), given=given, wanted=("out.pt",), full_size=True)
    assert ran.ended, ran.failure
    for dtype, (output, gradient) in load(ran.files["out.pt"]).items():
        ours = weight.clone().requires_grad_()
        seen = fake_quantise(ours, load_preset(name).train.qat_bits, output.dtype)
        made = functional.linear(x.to(output.dtype), seen)
        [found] = torch.autograd.grad(made.float().square().sum(), ours)
        assert torch.equal(made, output) and torch.equal(found, gradient), dtype
        plain = functional.linear(x.to(output.dtype), weight.to(output.dtype))
        assert not torch.allclose(plain.float(), output.float(), rtol=1e-2, atol=1e-2), "no quantisation was seen"
