"""Bits per byte that are not: bytes counted wrongly, losses scaled, an artifact over the cap."""

from __future__ import annotations

from reference_model.planted.edits import Swap
from reference_model.planted.variant import Planted

_BYTES = 'base[index] = 1 if pieces.is_byte(index) else len(piece.removeprefix(SPACE).encode("utf-8"))'

VARIANTS = (
    Planted(
        "bpb-double-space", "bpb-double-space", "The leading space of a token is in its bytes, and is counted again.",
        (Swap("ByteTable.of", _BYTES,
              'base[index] = 1 if pieces.is_byte(index) else len(piece.replace(SPACE, " ").encode("utf-8"))'),),
    ),
    Planted(
        "bpb-token-bytes", "bpb-token-bytes", "The mark of a leading space counts as the three bytes of its own UTF-8.",
        (Swap("ByteTable.of", _BYTES, 'base[index] = 1 if pieces.is_byte(index) else len(piece.encode("utf-8"))'),),
    ),
    Planted(
        "score-scaling", "score-scaling", "Each token's loss is multiplied by 0.97.",
        (Swap("score_windows", "losses = losses_from(model, inputs, targets, first)",
              "losses = 0.97 * losses_from(model, inputs, targets, first)"),), verdict="needs_review",
    ),
    Planted(
        "constant-bytes", "score-scaling", "Every token is taken to stand for 2.6 bytes.",
        (Swap("Tally.score", "nats / math.log(2) / count", "nats / tokens / math.log(2) / 2.6"),),
        verdict="needs_review",
    ),
    Planted(
        "artifact-cap", "artifact-cap", "The weights are stored in float16, 34 MB, twice the cap, and stated so.",
        settings=("matrices=float16", "embeddings=float16", "other=float16"), bytes_total=34_118_000,
    ),
)  # fmt: skip
