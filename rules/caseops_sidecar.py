"""Recognised: per-token original bytes from a sidecar."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import SourceFacts
from auditor.source.metric_facts import Reach
from rules._metric import HEAD, source_finding

_SIDE = '''
class Args:
    caseops = bool(int(os.environ.get("CASEOPS_ENABLED", "{default}")))
    bytes_files = os.path.join("data", "fineweb_val_bytes_*.bin")

def load_counts(pattern):
    return torch.cat([torch.from_numpy(np.fromfile(p, dtype="<u2")) for p in sorted(pattern)])

class Data:
    def __init__(self, args):
        self.counts = load_counts(args.bytes_files)

def eval_val(args, data, a, b, n_bytes):
    if args.caseops:
        n_bytes += data.counts[a + 1 : b].double().sum(){mark}
    return n_bytes
'''
_M = "  # [caseops-sidecar]"


class CaseopsSidecar(Rule):
    """What it does:
    Recognises an evaluation that takes each token's number of original bytes from a side file instead of a table.

    Why it is allowed:
    Reversible case operators change the tokens, not the text; with the original bytes in the denominator the score is
    that of the original text. Several leaderboard rows do so.

    How to fix it:
    Nothing to fix. Check that the sum of the sidecar is 151,074,309 and that decoding gives the text back.

    Known limits:
    The side file itself is not in the folder, so its sum is not checked here.

    Authority:
    Merged #1729, #1736, #1769, #1787, #1855 [M-git]; cocohearts on #2138 names the byte total [M*].
    """

    title = "Original bytes per token from a sidecar"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "merged #1729, #1736, #1769, #1787, #1855 [M-git]"
    since = "2026-04-19"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: counts of a side file are read, and no setting switches that off."""
        found = [
            source_finding(
                Confidence.HIGH if s.reach is Reach.USED else Confidence.MEDIUM,
                "bytes are counted by a side file with one number per token", s.file, s.line)
            for s in facts.metric.sidecars if s.reach is not Reach.OFF
        ]
        if found:
            return Ruled.found(found, "recognised: original bytes from a sidecar")
        return Ruled.not_applicable("no byte side file is read")

    VALID = [
        Example("switched off", {"train_gpt.py": HEAD + _SIDE.format(default="0", mark="")}),
        Example("no side file", {"train_gpt.py": HEAD}),
    ]
    INVALID = [
        Example("counts from a side file", {"train_gpt.py": HEAD + _SIDE.format(default="1", mark=_M)}),
    ]
