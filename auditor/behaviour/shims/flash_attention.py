"""The flash-attention packages (2, 3 and 4), computed in float32 by an explicit softmax on the CPU."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported
from auditor.behaviour.shims.modules import make_module, place_module

_PACKAGES_2 = ("flash_attn", "flash_attn.flash_attn_interface")
_PACKAGES_3 = ("flash_attn_interface", "flash_attn_3", "flash_attn_3.flash_attn_interface", "hopper",
               "hopper.flash_attn_interface", "flash_attn.cute", "flash_attn.cute.interface")  # fmt: skip
MAX_AT_ONCE = 640
"""Tokens of packed sequences up to which one masked call is cheaper than a call for each."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, causal: bool = False,
    window: tuple[int | None, int | None] = (-1, -1), softcap: float = 0.0, alibi: Tensor | None = None,
    sums: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Attention of q [b, s, h, d] on k, v [b, t, h_kv, d]; h a multiple of h_kv.

    The last query is aligned with the last key (flash-attention 2.1 and later). Returns the output [b, s, h, d_v] in
    q's dtype and the log-sum-exp [b, h, s] in float32 (natural logarithm; without ``sums`` it may be empty). Rows
    that may attend to nothing give zeros.
    """
    same = q.shape[1] == k.shape[1] or not causal
    if same and _is_plain({"window": window, "softcap": softcap, "alibi": alibi, "sums": sums}):
        return _plain(q, k, v, scale, causal), q.new_zeros(0)
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    groups = q.shape[2] // k.shape[2]
    queries, keys = q.float().transpose(1, 2), k.float().transpose(1, 2).repeat_interleave(groups, 1)
    scores = torch.matmul(queries, keys.transpose(-1, -2)) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    distance = _distance(q.shape[1], k.shape[1], q.device)
    if alibi is not None:
        slopes = alibi.float() if alibi.dim() == 2 else alibi.float()[None]
        scores = scores - slopes[:, :, None, None] * distance.abs().float()
    scores = scores.masked_fill(~_visible(distance, causal, window), float("-inf"))
    lse = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - lse.masked_fill(lse == float("-inf"), 0.0)[..., None])
    values = v.float().transpose(1, 2).repeat_interleave(groups, 1)
    return torch.matmul(weights, values).transpose(1, 2).to(q.dtype), lse


def _distance(queries: int, keys: int, device: torch.device) -> Tensor:
    """How far back key j lies from query i: [queries, keys], negative for the future."""
    rows = torch.arange(queries, device=device)[:, None] + (keys - queries)
    return rows - torch.arange(keys, device=device)[None, :]


def _visible(distance: Tensor, causal: bool, window: tuple[int | None, int | None]) -> Tensor:
    left, right = (-1 if side is None else int(side) for side in window)
    visible = torch.ones_like(distance, dtype=torch.bool)
    if causal:
        right = 0
    if right >= 0:
        visible &= distance >= -right
    if left >= 0:
        visible &= distance <= left
    return visible


def _segments(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Attention of packed sequences q [total, h, d]: each segment by itself, tokens after the last one zero."""
    if q.shape[0] <= MAX_AT_ONCE and q.shape[0] == k.shape[0] and torch.equal(cu_q, cu_k) and _is_plain(options):
        return _packed(q, k, v, cu_q, options), q.new_zeros(0)
    edges_q, edges_k = cu_q.tolist(), cu_k.tolist()
    outputs, sums = [], []
    for index in range(len(edges_q) - 1):
        mine, theirs = slice(edges_q[index], edges_q[index + 1]), slice(edges_k[index], edges_k[index + 1])
        if mine.start == mine.stop:
            continue
        out, lse = attend(q[None, mine], k[None, theirs], v[None, theirs], **options)
        outputs.append(out[0])
        sums.append(lse[0] if lse.numel() else lse.reshape(q.shape[1], 0))
    rest = q.shape[0] - edges_q[-1]
    if rest or not outputs:
        outputs.append(q.new_zeros(rest, q.shape[1], v.shape[-1]))
        sums.append(torch.zeros(q.shape[1], rest))
    return torch.cat(outputs), torch.cat(sums, -1)


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether torch's own attention computes the same: no window, cap, slopes, nor sums asked for."""
    sides = options.get("window", (-1, -1))
    plain = not options.get("softcap") and options.get("alibi") is None and not options.get("sums", True)
    return plain and all(side is None or int(side) < 0 for side in sides)


def _packed(q: Tensor, k: Tensor, v: Tensor, edges: Tensor, options: dict[str, Any]) -> Tensor:
    """All segments in one call, by a mask: same segment, and not later where causal."""
    place = torch.arange(q.shape[0], device=q.device)
    segment = torch.searchsorted(edges.to(torch.int64), place, right=True)
    mask = segment[:, None] == segment[None, :]
    if options.get("causal"):
        mask &= place[:, None] >= place[None, :]
    out = _plain(q[None], k[None], v[None], options.get("scale"), mask=mask)[0]
    rest = (place >= edges[-1])[:, None, None]
    return out.masked_fill(rest, 0.0) if bool(rest.any()) else out


def _plain(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    """Torch's attention in float32 on [b, s, h, d]."""
    groups = q.shape[2] // k.shape[2]
    queries, keys, values = (t.float().transpose(1, 2) for t in (q, k, v))
    if groups > 1:
        keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal, scale=scale)
    return out.transpose(1, 2).to(q.dtype)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `attend` among flash-attention's keyword arguments."""
    return {
        "scale": given.get("softmax_scale"), "causal": bool(given.get("causal", False)),
        "window": tuple(given.get("window_size") or (-1, -1)), "softcap": float(given.get("softcap") or 0.0),
        "alibi": given.get("alibi_slopes"),
        "sums": bool(given.get("return_attn_probs") or given.get("return_softmax_lse")),
    }  # fmt: skip


def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, softmax_scale: float | None = None,
                    causal: bool = False, **rest: Any) -> Any:  # fmt: skip
    """Flash-attention 2: a tensor, or (tensor, lse, None) with ``return_attn_probs``."""
    out, lse = attend(q, k, v, **_options({"softmax_scale": softmax_scale, "causal": causal, **rest}))
    return (out, lse, None) if rest.get("return_attn_probs") else out


def flash_attn_3_func(q: Tensor, k: Tensor, v: Tensor, softmax_scale: float | None = None, causal: bool = False,
                      *args: Any, **rest: Any) -> Any:  # fmt: skip
    """Flash-attention 3: a tensor, or (tensor, lse) with ``return_attn_probs`` or ``return_softmax_lse``."""
    out, lse = attend(q, k, v, **_options({"softmax_scale": softmax_scale, "causal": causal, **rest}))
    return (out, lse) if rest.get("return_attn_probs") or rest.get("return_softmax_lse") else out


def flash_attn_varlen_func(q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor,
                           max_seqlen_q: int = 0, max_seqlen_k: int = 0, *args: Any, **rest: Any) -> Any:  # fmt: skip
    """Packed sequences [total, h, d] with edges ``cu_seqlens_*`` (int32, one more than there are sequences)."""
    out, lse = _segments(q, k, v, cu_seqlens_q, cu_seqlens_k, **_options(rest))
    if rest.get("return_attn_probs") or rest.get("return_softmax_lse"):
        return out, lse
    return out


def flash_attn_qkvpacked_func(qkv: Tensor, *args: Any, **rest: Any) -> Any:
    """Queries, keys and values stacked: [b, s, 3, h, d]."""
    q, k, v = qkv.unbind(2)
    return flash_attn_func(q, k, v, *args, **rest)


def flash_attn_kvpacked_func(q: Tensor, kv: Tensor, *args: Any, **rest: Any) -> Any:
    """Keys and values stacked: [b, t, 2, h, d]."""
    k, v = kv.unbind(2)
    return flash_attn_func(q, k, v, *args, **rest)


def install(ctx: ShimContext) -> None:
    """Place the packages; they shadow real ones, whose kernels need CUDA."""
    shared = {"flash_attn_varlen_func": flash_attn_varlen_func, "flash_attn_kvpacked_func": flash_attn_kvpacked_func,
              "flash_attn_qkvpacked_func": flash_attn_qkvpacked_func, "__version__": "2.8.3"}  # fmt: skip
    for names, function in ((_PACKAGES_2, flash_attn_func), (_PACKAGES_3, flash_attn_3_func)):
        for name in names:
            place_module(ctx, make_module(name, shared | {"flash_attn_func": function}))
    place_module(ctx, make_module("kernels", {"get_kernel": _kernel_of(shared)}))


def _kernel_of(shared: dict[str, Any]) -> Any:
    """``kernels.get_kernel``: the flash-attention kernels of the hub; any other raises `GuestUnsupported`."""

    def get_kernel(repo_id: str, *args: Any, **rest: Any) -> Any:
        name = repo_id.rpartition("/")[2].replace("_", "-")
        if not name.startswith(("flash-attn", "flash-attention")):
            raise GuestUnsupported(f"kernels.get_kernel({repo_id!r})")
        function = flash_attn_3_func if "3" in name else flash_attn_func
        contents = shared | {"flash_attn_func": function}
        interface = make_module(f"{name}.flash_attn_interface", contents)
        return make_module(name, contents | {"flash_attn_interface": interface})

    return get_kernel
