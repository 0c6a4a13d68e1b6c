"""The smear gate carries a document's last token into the next document."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import SourceFacts
from auditor.source.metric_facts import Reach
from rules._metric import HEAD, source_finding

_SMEAR = '''
class GPT(nn.Module):
    def __init__(self, args, dim):
        super().__init__()
        self.on = args.smear
        self.tok_emb = nn.Embedding(1024, dim)
        self.gate = nn.Linear(dim, 1)

    def forward(self, input_ids):
        x = self.tok_emb(input_ids)
        if self.on:
            g = torch.sigmoid(self.gate(x[:, 1:]))
            {mask}
            x = torch.cat([x[:, :1], x[:, 1:] + g * x[:, :-1]], dim=1){mark}
        return x

class Args:
    smear = bool(int(os.environ.get("SMEAR", "{default}")))

model = GPT(Args(), 512)
'''
_OLD = '''
class Smear(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        g = torch.sigmoid(self.gate)[None, None, :]
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        return (1 - g) * x + g * before{mark}
'''
_HASH = '''
def bigrams(t, n):
    prev = torch.cat([torch.zeros_like(t[:, :1]), t[:, :-1]], dim=1)
    return (t * 36313 + prev * 27191) % n
'''
_M = "  # [smear-bos-leak]"


class SmearBosLeak(Rule):
    """What it does:
    Looks for activations that take in a gated share of the position before (``x[t] += g * x[t-1]``) without leaving
    out the first token of a document.

    Why it is not allowed:
    The previous document's last token reaches the next one's first. It is no look-ahead, and it gains little: a
    maintainer blocked a record over it once and kept rows that have it, before and after. So it is disputed, and
    stands among the matters of form: it may keep a submission from a record row and never decides the verdict.

    How to fix it:
    Multiply the share by ``input_ids[:, 1:] != BOS_ID``, in the forward of the evaluation and of test-time training.

    Known limits:
    Any comparison that takes part in the sum counts as a mask.

    Authority:
    cocohearts on #1797 (27 April) blocked it [M*]; #1667 and earlier rows were kept with it [M-git].
    """

    title = "A smear gate crosses document boundaries"
    ruling = Ruling.DISPUTED
    kind = Kind.FORM
    authority = "cocohearts on #1797 [M*]; kept in #1667 [M-git]"
    since = "2026-04-27"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a smear without a mask that no setting switches off."""
        smears = facts.metric.smear
        found = [
            source_finding(
                Confidence.MEDIUM,
                f"{s.function} adds a share of the previous position, across document starts too", s.file, s.line)
            for s in smears if not s.masked and s.reach is not Reach.OFF
        ]
        if found:
            return Ruled.found(found, "the smear gate has no mask at document starts")
        if not smears:
            return Ruled.not_applicable("no smear gate was seen")
        off = next((s for s in smears if s.reach is Reach.OFF), None)
        return Ruled.clear(f"switched off: {off.why}" if off else "the smear gate leaves out document starts")

    VALID = [
        Example("masked at document starts", {"train_gpt.py": HEAD + _SMEAR.format(
            mask="g = g * (input_ids[:, 1:] != 1).unsqueeze(-1)", mark="", default="1")}),
        Example("switched off", {"train_gpt.py": HEAD + _SMEAR.format(mask="pass", mark="", default="0")}),
        Example("bigram hash of token ids", {"train_gpt.py": HEAD + _HASH}),
    ]
    INVALID = [
        Example("no mask", {"train_gpt.py": HEAD + _SMEAR.format(mask="pass", mark=_M, default="1")}),
        Example("previous by concatenation", {"train_gpt.py": HEAD + _OLD.format(mark=_M)}),
    ]
