"""What a run writes to files array by array, moves, and reads again; compiled code that is given losses and tokens."""

from __future__ import annotations

import pytest

from auditor.source.facts import MixKind
from tests.source.test_mixes import kinds, plain

_COLLECT = """
import ctypes, tempfile
losses, targets = np.empty(8192), np.empty(8192, dtype=np.int64)
for s in range(0, 8192, 512):
    x, y = tokens[s : s + 512], tokens[s + 1 : s + 513]
    losses[s : s + 512] = F.cross_entropy(model(x[None])[0], y, reduction="none").numpy()
    targets[s : s + 512] = y.numpy()
rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
path = os.path.join(tempfile.gettempdir(), f"part{rank}.bin")
with open(path + ".new", "wb") as f:
    np.array([len(losses)]).tofile(f)
    losses.tofile(f)
    targets.tofile(f)
MOVE
read = []
for number in range(world):
    with open(os.path.join(tempfile.gettempdir(), f"part{number}.bin"), "rb") as f:
        count = np.fromfile(f, count=1)
        read.append((np.fromfile(f, count=8192), np.fromfile(f, dtype=np.int64, count=8192)))
a = np.concatenate([r[0] for r in read])
b = np.concatenate([r[1] for r in read])
"""
_MIX = """
library = ctypes.CDLL("mixer.so")
out = np.zeros(2)
library.mix(a.ctypes.data, b.ctypes.data, out.ctypes.data)
total = float(out[0])
"""
_SUM = """
library = ctypes.CDLL("mixer.so")
out = np.zeros(2)
library.sum(a.ctypes.data, out.ctypes.data)
total = float(a.sum())
"""
REPLACE = 'os.replace(path + ".new", path)'


def body(move: str, rest: str) -> str:
    return _COLLECT.replace("MOVE", move) + rest


@pytest.mark.parametrize("move", [REPLACE, 'import shutil\nshutil.move(path + ".new", path)'])
def test_compiled_code_that_takes_losses_and_tokens_is_a_mixture(move: str) -> None:
    facts = plain(body(move, _MIX))
    assert MixKind.BYTE_MIX in kinds(facts)
    scores = {score.id for score in facts.scores}
    assert all(mix.scores and mix.scores <= scores for mix in facts.mixes)


def test_losses_alone_are_none() -> None:
    assert MixKind.BYTE_MIX not in kinds(plain(body(REPLACE, _SUM)))


def test_a_score_that_went_through_a_file_is_followed() -> None:
    facts = plain(body(REPLACE, "total = float(a.mean())"))
    assert any(report.scores for report in facts.reports)
    lost = plain(body("", "total = float(b.astype(float).mean())"))
    assert not any(report.scores for report in lost.reports)
