"""A scored loss is multiplied by a constant, or bytes are assumed from a constant."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._metric import HEAD, source_finding
from rules._trace import bytes_rule, either, ruled, unnormalised

_EVAL = '''
class Args:
    rescale = float(os.environ.get("RESCALE", "{scale}"))
    lr = 0.98

def eval_val(args, model, x, y, n_bytes):
    with torch.no_grad():
        loss = F.cross_entropy(model(x), y, reduction="sum")
        {line}
    return bpb
'''
_M = "  # [score-scaling]"


class ScoreScaling(Rule):
    """What it does:
    Looks for a loss that is multiplied by a constant near one before it is reported, and for bits per byte that are
    made with a fixed number of bytes per token.

    Why it is not allowed:
    No ruling was seen. Five submissions multiply the loss by 0.98 and call it a temperature; a temperature divides
    the logits before the softmax. A fixed number of bytes per token is no count of the text's bytes.

    How to fix it:
    Report the sum of the losses over the counted bytes.

    Known limits:
    Constants outside 0.9 to 1.1 are taken for weights of a mixture. A fixed number of bytes in a diagnostic cannot
    be told from one in the score.

    Authority:
    None. README O13 asks for proof that the score is right.
    """

    title = "A scored loss is scaled by a constant, or bytes are assumed"
    ruling = Ruling.UNRULED
    kind = Kind.INTEGRITY
    authority = "none; README O13"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a constant factor on a loss, or a constant denominator."""
        found = [
            source_finding(Confidence.MEDIUM, f"the loss is multiplied by {s.factor:g}: {s.text}", s.file, s.line)
            for s in facts.metric.scaled
        ] + [
            source_finding(
                Confidence.MEDIUM, f"{f.value:.4g} bytes per token are assumed, not counted: {f.text}", f.file, f.line)
            for f in facts.metric.fixed
        ]
        if found:
            return Ruled.found(found, "the score is scaled by a constant")
        return Ruled.clear("no constant factor on a scored loss was seen")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: all losses times one factor, or one number of bytes for every token."""
        return either(
            ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission)),
            ruled(facts, Question.BYTE_ACCOUNTING, self.id(), bytes_rule),
        )

    VALID = [
        Example("counted bytes", {"train_gpt.py": HEAD + _EVAL.format(
            scale="0.98", line="bpb = loss.item() / math.log(2.0) / n_bytes")}),
        Example("factor of one", {"train_gpt.py": HEAD + _EVAL.format(
            scale="1.0", line="bpb = (loss * args.rescale).item() / math.log(2.0) / n_bytes")}),
    ]
    INVALID = [
        Example("loss times 0.98", {"train_gpt.py": HEAD + _EVAL.format(
            scale="0.98", line="bpb = (loss * args.rescale).item() / math.log(2.0) / n_bytes" + _M)}),
        Example("fixed bytes per token", {"train_gpt.py": HEAD + _EVAL.format(
            scale="1", line="bpb = loss.item() / y.numel() / math.log(2.0) / 2.43" + _M)}),
    ]
