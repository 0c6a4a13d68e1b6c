"""Recognised: calibration on text that the model generates."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import logged, script
from rules._examples_calib import HESSIANS, SELFGEN, TRAIN_BATCHES, VAL_BATCHES, mark
from rules._order import distinct, place, recognise

_ID = "gptq-selfgen"
_CALL = "collect_hessians(model, generate_calibration(args, model, 16))"


class GptqSelfgen(Rule):
    """What it does:
    The quantiser is calibrated on sequences that the model generates itself, or on random tokens.

    Why it is allowed:
    No validation or training data are touched; merged in #1019 ("Looks good to me too").

    How to fix it:
    Nothing to fix.

    Known limits:
    A generation that starts from validation tokens is no self-generation, and is not recognised here.

    Authority:
    valerio-oai on #1019, #728 [M*]; merges #1060, #1394, #1493 [M-git].
    """

    title = "Calibration on self-generated or random text"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #1019 [M*]; merges #1060, #1394, #1493 [M-git]"
    since = "2026-03-28"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: calibration statistics come from generated or random tokens only."""
        own = {Origin.GENERATED, Origin.RANDOM}
        findings = [
            Finding(
                Confidence.MEDIUM if update.guard else Confidence.HIGH,
                "statistics of the quantiser are collected here on generated tokens", place(update.site), update.path,
            )
            for update in facts.updates
            if update.kind is StateKind.CALIBRATION and update.origins and update.origins <= own
        ]
        return recognise(
            facts, distinct(findings), "calibration on self-generated text", "no calibration on self-generated text")

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: a log line says so."""
        findings = [
            Finding(Confidence.MEDIUM, f"the log says: {line.text.strip()[:120]}", line.at)
            for run in facts.judged() for line in run.calibrations if line.source in ("generated", "random")
        ]
        if findings:
            return Ruled.found(findings, "the log tells of calibration on generated text")
        return Ruled.not_applicable("no log line tells of calibration on generated text")

    VALID = [
        Example("training tokens", {"train_gpt.py": script(
            mark(HESSIANS + TRAIN_BATCHES), hessians="collect_hessians(model, train_batches(args, stream, 16))")}),
        Example("validation tokens", {"train_gpt.py": script(
            mark(HESSIANS) + VAL_BATCHES, hessians="collect_hessians(model, val_batches(args, val_tokens, 16))")}),
        Example("none", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("autoregressive generation", {"train_gpt.py": script(mark(HESSIANS, _ID) + SELFGEN, hessians=_CALL)}),
        Example("random tokens", {"train_gpt.py": script(
            mark(HESSIANS, _ID),
            hessians="collect_hessians(model, [torch.randint(0, args.vocab_size, (4, 512)) for _ in range(8)])")}),
        Example("the log says so", {
            "train_gpt.py": script(),
            **logged(before="gptq:collecting hessians from autoregressive data...\n")},
            expect=("train_seed42.log:5",)),
    ]
