"""Models in which a later token reaches an earlier score."""

from __future__ import annotations

from reference_model.planted.edits import Swap
from reference_model.planted.variant import Planted

VARIANTS = (
    Planted(
        "noncausal-attention", "noncausal-model", "Attention has no causal mask.",
        (Swap("attend", "F.scaled_dot_product_attention(q, k, v, is_causal=True, **named)",
              "F.scaled_dot_product_attention(q, k, v, is_causal=False, **named)"),
         Swap("attend", "FLASH(q.to(v.dtype), k.to(v.dtype), v, causal=True)",
              "FLASH(q.to(v.dtype), k.to(v.dtype), v, causal=False)")),
    ),
    Planted(
        "noncausal-smear", "noncausal-model", "The smear gate blends each token with the one after it.",
        (Swap("SmearGate.forward", "F.pad(x[:, :-1], (0, 0, 1, 0))", "F.pad(x[:, 1:], (0, 0, 0, 1))"),),
        preset="gepa_644",
    ),
    Planted(
        "noncausal-smear-two", "noncausal-model", "The smear gate blends each token with the one two places on.",
        (Swap("SmearGate.forward", "F.pad(x[:, :-1], (0, 0, 1, 0))", "F.pad(x[:, 2:], (0, 0, 0, 2))"),),
        preset="gepa_644",
    ),
    Planted(
        "noncausal-norm", "noncausal-model", "The embeddings are centred by their mean over the whole sequence.",
        (Swap("GPT.embedded", "F.rms_norm(x, (x.size(-1),))",
              "F.rms_norm(x - x.mean(dim=1, keepdim=True), (x.size(-1),))"),),
    ),
)  # fmt: skip
