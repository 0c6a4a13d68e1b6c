"""flash_attn, flash_attn_interface and flex_attention, against loops over single scores."""

from __future__ import annotations

import importlib
import itertools
import math
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import flash_attention, flex  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402
from auditor.behaviour.shims.errors import GuestUnsupported  # noqa: E402


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> None:
    flash_attention.install(ctx)
    flex.install(ctx)
    torch.manual_seed(0)


def brute(q: Any, k: Any, v: Any, causal: bool, left: int = -1, right: int = -1, softcap: float = 0.0) -> Any:
    """One score at a time: q [s, h, d], k and v [t, h_kv, d]."""
    out = torch.zeros(q.shape[0], q.shape[1], v.shape[-1])
    shift, groups = k.shape[0] - q.shape[0], q.shape[1] // k.shape[1]
    for i in range(q.shape[0]):
        for h in range(q.shape[1]):
            seen = [
                j for j in range(k.shape[0])
                if not (causal and j > i + shift) and (left < 0 or j >= i + shift - left)
                and (right < 0 or j <= i + shift + right)
            ]  # fmt: skip
            scores = [float(q[i, h] @ k[j, h // groups]) / math.sqrt(q.shape[-1]) for j in seen]
            if softcap:
                scores = [softcap * math.tanh(s / softcap) for s in scores]
            total = sum(math.exp(s) for s in scores)
            for j, s in zip(seen, scores, strict=True):
                out[i, h] += math.exp(s) / total * v[j, h // groups]
    return out


def tensors(s: int, t: int, h: int, kv: int, d: int = 8) -> tuple[Any, Any, Any]:
    return torch.randn(1, s, h, d), torch.randn(1, t, kv, d), torch.randn(1, t, kv, d)


CASES: list[dict[str, Any]] = [
    {}, {"causal": True}, {"causal": True, "window_size": (3, 0)}, {"window_size": (2, 1)},
    {"causal": True, "softcap": 2.0}, {"causal": True, "window_size": (-1, -1)},
]  # fmt: skip


@pytest.mark.parametrize("module", ["flash_attn_interface", "flash_attn", "flash_attn.flash_attn_interface", "hopper"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("s", "t", "h", "kv"), [(9, 9, 4, 2), (4, 9, 2, 2), (9, 9, 4, 1)])
def test_dense_attention(module: str, case: dict[str, Any], s: int, t: int, h: int, kv: int) -> None:
    q, k, v = tensors(s, t, h, kv)
    out = importlib.import_module(module).flash_attn_func(q, k, v, **case)
    left, right = case.get("window_size", (-1, -1))
    expected = brute(q[0], k[0], v[0], case.get("causal", False), left, right, case.get("softcap", 0.0))
    assert out.shape == q.shape and torch.allclose(out[0], expected, atol=1e-5)


@pytest.mark.parametrize("repo", ["someone/flash-attention-3", "kernels-community/flash-attn3", "x/flash-attn2"])
def test_kernels_of_the_hub(repo: str) -> None:
    kernel = importlib.import_module("kernels").get_kernel(repo)
    q, k, v = tensors(5, 5, 2, 2)
    expected = importlib.import_module("flash_attn_interface").flash_attn_func(q, k, v, causal=True)
    for function in (kernel.flash_attn_func, kernel.flash_attn_interface.flash_attn_func):
        assert torch.equal(function(q, k, v, causal=True), expected)


def test_planted_another_kernel_of_the_hub_stops_the_run() -> None:
    with pytest.raises(GuestUnsupported, match="get_kernel"):
        importlib.import_module("kernels").get_kernel("someone/activation")


def test_scale_dtype_and_what_is_returned() -> None:
    two, three = importlib.import_module("flash_attn"), importlib.import_module("flash_attn_interface")
    q, k, v = (x.bfloat16() for x in tensors(5, 5, 2, 2))
    assert three.flash_attn_func(q, k, v, causal=True).dtype == torch.bfloat16
    out, lse = three.flash_attn_func(q, k, v, causal=True, return_attn_probs=True)
    assert out.dtype == torch.bfloat16 and lse.shape == (1, 2, 5) and lse.dtype == torch.float32
    assert len(two.flash_attn_func(q, k, v, return_attn_probs=True)) == 3
    flat = three.flash_attn_func(q, k, v, softmax_scale=0.0).float()
    assert torch.allclose(flat[0, 0, 0], v.float()[0, :, 0].mean(0), atol=2e-2)
    positional = two.flash_attn_func(q, k, v, 0.0, None, True)
    assert torch.equal(positional, two.flash_attn_func(q, k, v, causal=True))


def test_a_row_without_keys_gives_zeros() -> None:
    q, k, v = tensors(6, 2, 2, 2)
    out = importlib.import_module("flash_attn").flash_attn_func(q, k, v, causal=True)
    assert torch.equal(out[0, :4], torch.zeros(4, 2, 8)) and not out.isnan().any()


@pytest.mark.parametrize("edges", [[0, 4, 9], [0, 0, 5, 9], [0, 3, 7]])
def test_packed_sequences_do_not_see_each_other(edges: list[int]) -> None:
    function = importlib.import_module("flash_attn_interface").flash_attn_varlen_func
    q, k, v = (x[0] for x in tensors(9, 9, 4, 2))
    q.requires_grad_()
    cu = torch.tensor(edges, dtype=torch.int32)
    out = function(q, k, v, cu_seqlens_q=cu, cu_seqlens_k=cu, max_seqlen_q=9, max_seqlen_k=9, causal=True,
                   window_size=(-1, -1))  # fmt: skip
    for start, end in itertools.pairwise(edges):
        assert torch.allclose(out[start:end], brute(q[start:end], k[start:end], v[start:end], True), atol=1e-5)
    assert not out[edges[-1] :].any()
    out.sum().backward()
    assert q.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["flash", "varlen", "sdpa", "sdpa_mask", "flex"])
def test_later_tokens_and_other_rows_change_no_bit(kind: str, dtype: Any) -> None:
    s, cut = 300, 170
    q, k, v = (x.repeat(2, 1, 1, 1).to(dtype) for x in tensors(s, s, 4, 2, 16))
    base = run(kind, q, k, v)
    changed = [x.clone() for x in (q, k, v)]
    for x in changed:
        x[:, cut:] = torch.randn_like(x[:, cut:]) * 50
    other = run(kind, *changed)
    assert torch.equal(base[:, :cut], other[:, :cut]) and not torch.equal(base[:, cut:], other[:, cut:])
    changed = [x.clone() for x in (q, k, v)]
    for x in changed:
        x[1] = torch.randn_like(x[1])
    assert torch.equal(base[0], run(kind, *changed)[0])


def run(kind: str, q: Any, k: Any, v: Any) -> Any:
    if kind == "flash":
        return importlib.import_module("flash_attn_interface").flash_attn_func(q, k, v, causal=True)
    if kind == "varlen":
        cu = torch.tensor([0, 100, q.shape[1], q.shape[1] * 2], dtype=torch.int32)
        flat = [x.reshape(-1, *x.shape[2:]) for x in (q, k, v)]
        function = importlib.import_module("flash_attn_interface").flash_attn_varlen_func
        return function(*flat, cu, cu, q.shape[1], q.shape[1], causal=True).view_as(q)
    heads = [x.transpose(1, 2) for x in (q, k, v)]
    if kind == "flex":
        module: Any = importlib.import_module("torch.nn.attention.flex_attention")
        mask = module.create_block_mask(lambda b, h, i, j: i >= j, None, None, q.shape[1], q.shape[1], device="cuda")
        result: Any = module.flex_attention(*heads, block_mask=mask, enable_gqa=True)
        return result.transpose(1, 2)
    size = q.shape[1]
    options = {"is_causal": True} if kind == "sdpa" else {"attn_mask": torch.ones(size, size, dtype=torch.bool).tril()}
    return torch.nn.functional.scaled_dot_product_attention(*heads, enable_gqa=True, **options).transpose(1, 2)


def test_flex_attention_with_a_score_function_and_documents() -> None:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    q, k, v = (x.transpose(1, 2) for x in tensors(8, 8, 2, 2))
    documents = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2])
    mask = create_block_mask(
        lambda b, h, i, j: (i >= j) & (documents[i] == documents[j]), B=None, H=None, Q_LEN=8, KV_LEN=8
    )
    out: Any = flex_attention(q, k, v, block_mask=mask)
    for part in (slice(0, 3), slice(3, 7), slice(7, 8)):
        rows = [x[0].transpose(0, 1)[part] for x in (q, k, v)]
        assert torch.allclose(out[0].transpose(0, 1)[part], brute(rows[0], rows[1], rows[2], True), atol=1e-5)
    biased: Any = flex_attention(q, k, v, score_mod=lambda score, b, h, i, j: torch.where(j > i, -torch.inf, score))
    rows = [x[0].transpose(0, 1) for x in (q, k, v)]
    assert torch.allclose(biased[0].transpose(0, 1), brute(rows[0], rows[1], rows[2], True), atol=1e-5)


def test_flex_attention_agrees_with_the_real_one(ctx: ShimContext) -> None:
    import torch.nn.attention.flex_attention as module

    q, k, v = (x.transpose(1, 2) for x in tensors(16, 16, 2, 2, 16))
    ours = flex.flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s - (i - j).abs() * 0.1, return_lse=True)
    ctx.restore()
    real: Any = module.flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s - (i - j).abs() * 0.1)
    assert torch.allclose(ours[0], real, atol=1e-5)


def test_the_packages_are_found_and_taken_away(ctx: ShimContext) -> None:
    import importlib.util
    import sys

    assert importlib.util.find_spec("flash_attn_interface") is not None
    ctx.restore()
    assert "flash_attn_interface" not in sys.modules
