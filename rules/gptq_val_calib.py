"""The quantiser is calibrated on validation tokens."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import SourceFacts, StateKind
from rules._examples import logged, script
from rules._examples_calib import AWQ, HESSIANS, SELFGEN, TRAIN_BATCHES, VAL_BATCHES, mark
from rules._order import conclude, pair_findings, pairs
from rules._trace import order_ruled

_ID = "gptq-val-calib"
_VAL = "collect_hessians(model, val_batches(args, val_tokens, 16))"
_FLAG = 'gptq_enabled = bool(int(os.environ.get("GPTQ_ENABLED", "0")))\n'
_SOURCE = 'calib_source = os.environ.get("GPTQ_CALIB_SOURCE", "val")\n'
_CHOICE = (
    'if args.calib_source == "val":\n'
    "    batches = val_batches(args, val_tokens, 16)\n"
    "else:\n"
    "    batches = generate_calibration(args, model, 16)\n"
)
_AWQ_USE = '{"lm_head.weight": torch.diag(activation_scales(model, val_tokens, args.seq_len))}'


class GptqValCalib(Rule):
    """What it does:
    Statistics that the quantiser uses (GPTQ Hessians, activation scales) are collected on validation tokens that have
    not been scored.

    Why it is not allowed:
    "You are not allowed to calibrate on eval tokens you haven't already scored: this breaks autoregressivity."

    How to fix it:
    Calibrate on text that the model generates itself, or on training tokens inside the training clock.

    Known limits:
    Folder and function names prove nothing either way; the data's origin decides.

    Authority:
    valerio-oai on #728 (28 March) [M*].
    """

    title = "The quantiser is calibrated on validation tokens"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #728 [M*]"
    since = "2026-03-28"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: calibration statistics from validation tokens reach a score."""
        findings = pair_findings(
            pairs(facts, StateKind.CALIBRATION), "statistics of the quantiser are collected here on validation tokens")
        return conclude(
            facts, findings, "the quantiser is calibrated on validation tokens",
            "no statistics of the quantiser come from validation tokens",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: a log line says that calibration used validation tokens."""
        told = [line for run in facts.judged() for line in run.calibrations]
        findings = [
            Finding(Confidence.MEDIUM, f"the log says: {line.text.strip()[:120]}", line.at)
            for line in told if line.source == "val"
        ]
        if findings:
            return Ruled.found(findings, "the log says that calibration used validation tokens")
        return Ruled.not_applicable("no log line says that calibration used validation tokens")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: the model ran over validation tokens before they were scored."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("no calibration", {"train_gpt.py": script()}),
        Example("self-generated", {"train_gpt.py": script(
            mark(HESSIANS) + SELFGEN, hessians="collect_hessians(model, generate_calibration(args, model, 16))")}),
        Example("training tokens", {"train_gpt.py": script(
            mark(HESSIANS + TRAIN_BATCHES), hessians="collect_hessians(model, train_batches(args, stream, 16))")}),
        Example("off by default", {"train_gpt.py": script(
            mark(HESSIANS) + VAL_BATCHES, flags=_FLAG, hessians=f"{_VAL} if args.gptq_enabled else None")}),
        Example("source switched by the run script", {
            "train_gpt.py": script(mark(HESSIANS) + VAL_BATCHES + SELFGEN, flags=_SOURCE, before=_CHOICE,
                                   hessians="collect_hessians(model, batches)"),
            "run.sh": "GPTQ_CALIB_SOURCE=self torchrun --nproc_per_node=8 train_gpt.py\n"}),
    ]
    INVALID = [
        Example("Hessians by forward hooks", {"train_gpt.py": script(
            mark(HESSIANS, _ID) + VAL_BATCHES, hessians=_VAL)}),
        Example("validation by default", {"train_gpt.py": script(
            mark(HESSIANS, _ID) + VAL_BATCHES + SELFGEN, flags=_SOURCE, before=_CHOICE,
            hessians="collect_hessians(model, batches)")}),
        Example("activation scales", {"train_gpt.py": script(mark(AWQ, _ID), hessians=_AWQ_USE)}),
        Example("on in the run script", {
            "train_gpt.py": script(mark(HESSIANS, _ID) + VAL_BATCHES, flags=_FLAG,
                                   hessians=f"{_VAL} if args.gptq_enabled else None"),
            "run.sh": "GPTQ_ENABLED=1 torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("the log says so", {
            "train_gpt.py": script(),
            **logged(before="gptq:collecting hessians from validation data (16 sequences)...\n")},
            expect=("train_seed42.log:5",)),
    ]
