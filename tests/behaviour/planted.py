"""Planted facts of the behaviour witness: one of everything, made by hand."""

from __future__ import annotations

from auditor.behaviour.facts import (
    Answer,
    Cause,
    Evidence,
    Moment,
    PassInfo,
    Question,
    Sample,
    Smoke,
    Spot,
    TraceFacts,
)
from auditor.core.types import Confidence, Outcome


def found(foreign: str = "") -> Answer:
    """Prefix invariance, found."""
    samples = tuple(Sample(700 + n, 6.25, 6.5 + n) for n in range(6))
    spot = Spot("train_gpt.py", 127, "weights are updated", "ttt_adapt")
    evidence = Evidence(
        Confidence.HIGH, f"412 of 700 earlier scores changed {foreign}", spot, (Spot("train_gpt.py", 40, "read here"),),
        samples, Cause.TRAINED_BEFORE_PASS, "prefix-invariance-1.json", {"stated_bpb": 1.1, "true_bpb": 1.3},
    )  # fmt: skip
    return Answer(
        Question.PREFIX_INVARIANCE, Outcome.FOUND, f"earlier scores noticed later tokens {foreign}", (evidence,)
    )


def answers(prefix: Outcome = Outcome.CLEAR, foreign: str = "") -> dict[Question, Answer]:
    """All questions clear but the first, which is ``prefix``."""
    told = {q: Answer(q, Outcome.CLEAR, "asked and covered") for q in Question}
    first = Question.PREFIX_INVARIANCE
    told[first] = found(foreign) if prefix is Outcome.FOUND else Answer(first, prefix, f"because {foreign}")
    return told


def facts(prefix: Outcome = Outcome.CLEAR, foreign: str = "", *, reached: bool = True) -> TraceFacts:
    """Facts of a run that warmed up, trained on validation tokens, wrote its artifact and scored."""
    moments = (
        Moment(1, 0.0, "loaded", f"fineweb_val_000000.bin {foreign}", split="val"),
        Moment(2, 0.1, "scored", "without gradients", Spot("train_gpt.py", 99), "val", 512, 0, 511),
        Moment(40, 1.5, "trained", f"AdamW {foreign}", Spot("train_gpt.py", 127), "val", 8192, 0, 8191),
        Moment(80, 9.0, "wrote", "final_model.int8.ptz, 136,843 bytes"),
        Moment(90, 9.5, "scored", "64 times", Spot("train_gpt.py", 104), "val", 4096, 4096, 8191),
        Moment(99, 9.9, "printed", f"the judged line: val_bpb:1.23 {foreign}", Spot("train_gpt.py", 158)),
    )
    passes = (
        PassInfo(f"ttt loss:6.8 {foreign}", 6.8, 8192, 8192, 38, 60, False, "added up"),
        PassInfo(f"final val_loss:5.95 {foreign}", 5.95, 4096, 4000, 88, 98, True, "added up"),
    )
    return TraceFacts(
        answers(prefix, foreign) if reached else {}, reached, "" if reached else f"KeyError: 'x' {foreign}",
        None if reached else Spot("train_gpt.py", 12), f"val_bpb:1.23 {foreign}", passes, moments,
        (("ITERATIONS", "20000", "6", "env"), (f"WIDTH{foreign}", "", "64", "rewrite")),
        Smoke(True, True, 27_030_107, True, 71_234, 2.71, ("a note",)), "bubblewrap", ("wandb",), 2, 6.5, 300 << 20,
        (f"a sentence on coverage {foreign}",),
    )  # fmt: skip
