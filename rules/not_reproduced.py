"""`not-reproduced`: A re-run gives a worse score than the stated one."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Place, Ruling
from auditor.rerun.witness_facts import ENOUGH_STEPS, RerunFacts
from rules._record import folder
from rules._rerun import lines_of


class NotReproduced(Rule):
    """A re-run gives a worse score than the stated one.

    What it does:
    Compares the scores of a re-run on 8 H100 with the stated ones, seed by seed where single seeds are stated, else
    the means. Worse by more than 0.002 bits per byte is found: published re-runs that were held to agree stayed
    within 0.0014, the closest that a maintainer refused was 0.0024. It is high where the difference is above 0.010 and
    the run made at least nine tenths of the claimed steps; otherwise another library or a slower machine may explain
    it, and a person decides.

    Why it is not allowed:
    Results that cannot be reproduced can be disqualified.

    How to fix it:
    Ship the script, the settings and the requirements of the run that gave the score, and the logs of its seeds.

    Known limits:
    It needs a record of a re-run (--rerun-record). Another machine, a toy run, missing seeds or a record that does not
    stand up decide nothing. A better score than the stated one is no fault.

    Authority:
    README, questions and answers: "Any non-reproducible results can be disqualified"; a maintainer's notes of
    2026-05-04 on #86 (1.1502 claimed, 1.1864 measured) and #1334 (1.0897 claimed, 1.0922 measured, not closely enough).
    """

    title = "A re-run gives a worse score than the stated one"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README [M]; cocohearts on #86, #1334 [M]"
    since = "2026-03-18"
    VALID = [Example("without a re-run nothing is said", folder())]

    def check_rerun(self, submission: Submission, facts: RerunFacts) -> Ruled:
        """Compare the measured scores with the stated ones."""
        figures = facts.judgement.statistics
        if not facts.equivalent:
            return Ruled.unknown("the re-run was not on 8 H100 (SXM): its scores neither confirm nor refute the claim")
        if figures is None or figures.gap is None or figures.mean is None:
            return Ruled.unknown(f"the re-run gives nothing to compare: {facts.judgement.reasons[0]}")
        told = f"{figures.mean:.5f} measured over {figures.n} seed{'s' * (figures.n > 1)}"
        told += f", {figures.stated_mean:.5f} stated" if figures.stated_mean is not None else ""
        if facts.worse:
            return self._found(facts, f"{told}: {figures.gap:.5f} worse, the tolerance is {figures.tolerance:.4f}")
        if facts.missing:
            seeds = ", ".join(map(str, facts.missing))
            return Ruled.unknown(f"{told}, within the tolerance, but of seed {seeds} there is no score")
        if not facts.reproduced:
            return Ruled.unknown(f"{told}, but: {facts.judgement.reasons[0]}")
        return Ruled.clear(f"{told}: not worse by more than {figures.tolerance:.4f}")

    def _found(self, facts: RerunFacts, message: str) -> Ruled:
        steps = facts.steps_share
        slower = steps is None or steps < ENOUGH_STEPS
        if steps is not None and slower:
            message += f"; it made {steps:.0%} of the claimed steps"
        high = facts.far and not slower
        if not high:
            message += "; another environment may explain that: compare libraries, kernels and data"
        stated = next((c.where for c in facts.judgement.claims if c.kind == "val_bpb"), Place(field="val_bpb"))
        scored = [m for m in facts.runs if m.finished]
        evidence = Finding(Confidence.HIGH if high else Confidence.MEDIUM, message, stated, lines_of(scored))
        return Ruled.found([evidence], message)
