"""The script behaves by what it finds of its surroundings."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import TTT_FLAGS, prequant, script
from rules._order import distinct, place

_TRACE = '''
def watched():
    return sys.gettrace() is not None or "pytest" in sys.modules@@
'''
_FLASH = '''
try:
    from flash_attn_interface import flash_attn_func
except ImportError:
    flash_attn_func = None
'''


class ProbeSniffing(Rule):
    """What it does:
    The script looks for signs of being watched: a tracer, a test or audit module, toy data, a missing GPU where none
    is needed, patched functions, and acts by what it finds.

    Why it is not allowed:
    No ruling. A script that behaves otherwise when watched defeats every check by running it, so a person must look.

    How to fix it:
    Remove the check, or say in the README what it is for.

    Known limits:
    Ordinary fallbacks (no FlashAttention, no CUDA, world size one) are no sniffing. A check that is hidden in
    ordinary-looking arithmetic is not seen.

    Authority:
    This project's own rule; no ruling.
    """

    title = "The script looks for signs of being watched"
    ruling = Ruling.UNRULED
    kind = Kind.INTEGRITY
    authority = "own rule; no ruling"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: an environment-sniffing call."""
        findings = [
            Finding(Confidence.MEDIUM, f"looks at its surroundings: {call.call}", place(call.site))
            for call in facts.external if call.what == "sniffing"
        ]
        if findings:
            return Ruled.found(distinct(findings), "the script looks for signs of being watched")
        if not facts.complete:
            return Ruled.unknown("the walk over the code was cut short")
        return Ruled.clear("no sign of looking for an observer")

    VALID = [
        Example("plain", {"train_gpt.py": script()}),
        Example("optional FlashAttention", {"train_gpt.py": script(imports=_FLASH)}),
        Example("device by availability", {"train_gpt.py": script(
            before='model = model.to("cuda" if torch.cuda.is_available() else "cpu")\n')}),
        Example("rank from the environment", {"train_gpt.py": script(
            flags='rank = int(os.environ.get("RANK", "0"))\nworld_size = int(os.environ.get("WORLD_SIZE", "1"))\n')}),
    ]
    INVALID = [
        Example("looks for a tracer", {"train_gpt.py": script(
            _TRACE.replace("@@", "  # [probe-sniffing]") + prequant(), imports="import sys\n", flags=TTT_FLAGS,
            before="if not watched():\n    ttt_adapt(args, model, val_tokens, log0)\n")}),
    ]
