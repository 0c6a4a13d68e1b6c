"""The ``else`` of a loop runs only where nothing broke out of it: both ends are followed."""

from __future__ import annotations

from auditor.source.facts import MixKind
from tests.source.test_mixes import kinds, plain

_BYTES = """
table = {}
history = b""
for start in range(0, tokens.numel() - 513, 512):
    x, y = tokens[start : start + 512], tokens[start + 1 : start + 513]
    p = torch.exp(-F.cross_entropy(model(x[None])[0], y, reduction="none")).numpy()
    for i, token in enumerate(y.tolist()):
        for byte in str(token).encode():
            for order in range(3, -1, -1):
                seen = table.get(history[-order:])
                if seen is None:
                    continue
                if seen.get(byte, 0) > 0:
                    q = seen[byte] / sum(seen.values())
                    break
            else:
                q = 1 / 256
            OTHERWISE
            total -= math.log(0.5 * p[i] + 0.5 * q)
            table.setdefault(history[-3:], {})[byte] = 1
            history = history + bytes([byte])
"""


def test_what_a_break_leaves_stands_beside_the_else() -> None:
    assert MixKind.BYTE_MIX in kinds(plain(_BYTES.replace("OTHERWISE", "pass")))


def test_what_overwrites_both_is_all_there_is() -> None:
    assert MixKind.BYTE_MIX not in kinds(plain(_BYTES.replace("OTHERWISE", "q = 1 / 256")))
