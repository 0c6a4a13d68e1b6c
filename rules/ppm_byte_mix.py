"""A byte-level model is mixed into token scores."""

from __future__ import annotations

import re

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import MixKind, SourceFacts
from rules._examples import PLAIN_RUN, logged, script
from rules._examples_mixes import PPM, PPM_NUMPY
from rules._lookups import mix_findings
from rules._order import conclude
from rules._trace import ruled, unnormalised

_AFTER = '''\
pieces = [bytes([i % 256]) for i in range(args.vocab_size)]
val_bpb = eval_ppm(args, model, val_tokens, pieces)
log0(f"ppm_mixer val_bpb:{val_bpb:.8f}")
'''
_FLAG = 'ppm_enabled = bool(int(os.environ.get("PPM_ENABLED", "0")))\n'
_PLAIN = (
    "val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)\n"
    'log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")\n'
)
_OPTIONAL = _PLAIN + "if args.ppm_enabled:\n" + "".join(f"    {line}" for line in _AFTER.splitlines(True))


class PpmByteMix(Rule):
    """What it does:
    A byte-level context model (PPM) predicts each byte of the realised text; its probability is mixed with the token
    model's, whose loss is spread over the bytes of the token.

    Why it is not allowed:
    It "scores the realized byte sequence rather than providing a full normalized distribution at the official scoring
    point".

    How to fix it:
    Build a distribution over the token vocabulary before the token is known, and mix distributions.

    Known limits:
    A byte mixture in a C side file is seen by its name in the log only.

    Authority:
    cocohearts on #2103 (2 May) [M]; the same on #1991, #2076, #2080, #2083, #2098 [M*]; valerio-oai on #1835 [M*].
    """

    title = "A byte-level model is mixed into token scores"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "cocohearts on #2103 [M]; #1991, #2076, #2080, #2083, #2098 [M*]"
    since = "2026-05-02"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a byte mixture reaches a reported score."""
        message = "a byte model's probability of the realised bytes is mixed in here"
        return conclude(
            facts, mix_findings(facts, MixKind.BYTE_MIX, message), "a byte-level model is mixed into token scores",
            "no byte-level probability is mixed into token scores",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found, suggestive only: the headline is logged under a label of a byte mixer."""
        findings = [
            Finding(Confidence.LOW, f"the headline is logged as {label!r}", at)
            for label, at in facts.metric.logged_as if re.search(r"ppm", label, re.I)
        ]
        if findings:
            return Ruled.found(findings, "the headline's label names a byte mixer")
        return Ruled.not_applicable("no label of the headline names a byte mixer")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a mixture with byte probabilities beats the generator of the toy stream."""
        return ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission))

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("mixer off by default", {"train_gpt.py": script(
            PPM.replace("  # [ppm-byte-mix]", ""), flags=_FLAG, after=_OPTIONAL), "README.md": PLAIN_RUN}),
        Example("byte counts are no mixture", {"train_gpt.py": script(after=_PLAIN)}),
    ]
    INVALID = [
        Example("PPM class, byte by byte", {"train_gpt.py": script(PPM, after=_AFTER)}),
        Example("numpy, spread over the bytes", {"train_gpt.py": script(PPM_NUMPY, after=_AFTER)}),
        Example("turned on by the run script", {
            "train_gpt.py": script(PPM, flags=_FLAG, after=_OPTIONAL),
            "run.sh": "PPM_ENABLED=1 torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("headline labelled as a byte mixer", {
            "train_gpt.py": script(), **logged("ppm_mixer")}, expect=("train_seed42.log:6",)),
    ]
