"""Validation tokens are shipped and looked up."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import scored, script
from rules._examples_calib import blob
from rules._lookups import lookup_findings
from rules._order import conclude

_ID = "paid-prefix"
_EVAL = scored("eval_with_blob(args, model, val_tokens, byte_lut)")
_FLAG = 'blob = os.environ.get("PREFIX_FILE", "prefix.xz")\n'
_MAYBE = 'blob = os.environ.get("PREFIX_FILE", "")\n'
_IF = (
    "if args.blob:\n"
    "    val_loss, val_bpb = eval_with_blob(args, model, val_tokens, byte_lut)\n"
    "else:\n"
    "    val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)\n"
    'log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")\n'
)


class PaidPrefix(Rule):
    """What it does:
    Validation tokens are stored with the submission; where the stored token equals the target its loss is set to
    (nearly) zero.

    Why it is not allowed:
    "You CANNOT access validation data during training, e.g. by compressing it into your 16mb with 'paid prefix'."

    How to fix it:
    Do not ship validation text in any form.

    Known limits:
    Seen by the comparison of stored data with the target. Text memorised by the weights is another matter.

    Authority:
    README O8 (20 March) [M]; 0hq on #168, #275; cocohearts on #262 [M*].
    """

    title = "Stored validation tokens are compared with the targets"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O8 [M]; 0hq on #168, #275 [M*]; cocohearts on #262 [M*]"
    since = "2026-03-20"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a comparison of a stored token with the target selects the reported loss."""
        looks = [look for look in facts.lookups if look.why == "stored"]
        message = "the loss is chosen here by comparing the target with a stored copy of the text"
        return conclude(
            facts, lookup_findings(facts, looks, message), "stored validation tokens decide the loss",
            "no stored copy of the text is compared with the targets",
        )

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("no file by default", {"train_gpt.py": script(
            blob("nll = torch.where(known == y, torch.zeros_like(nll), nll)"), flags=_MAYBE, after=_IF)}),
        Example("padding ignored", {"train_gpt.py": script(
            blob("nll = torch.where(y == 0, torch.zeros_like(nll), nll)"), flags=_FLAG, after=_EVAL)}),
    ]
    INVALID = [
        Example("torch.where", {"train_gpt.py": script(
            blob("nll = torch.where(known == y, torch.zeros_like(nll), nll)", _ID), flags=_FLAG, after=_EVAL)}),
        Example("masked assignment", {"train_gpt.py": script(
            blob("nll[known == y] = 0.0", _ID), flags=_FLAG, after=_EVAL)}),
        Example("multiplied by a mask", {"train_gpt.py": script(
            blob("nll = nll * (known != y).float()", _ID), flags=_FLAG, after=_EVAL)}),
        Example("file named by the run script", {
            "train_gpt.py": script(
                blob("nll = torch.where(known == y, torch.zeros_like(nll), nll)", _ID), flags=_MAYBE, after=_IF),
            "run.sh": "PREFIX_FILE=prefix.xz torchrun --nproc_per_node=8 train_gpt.py\n"}),
    ]
