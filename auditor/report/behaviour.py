"""What every readable report says of the behaviour witness: smoke, isolation, how far the run got, what was asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.core.text import plain
from auditor.core.types import AuditReport, BehaviourInfo, Confidence, Finding, Outcome, RuleResult, SmokeInfo, Witness

SAMPLES = 3
MIB = 1 << 20
_WORDS = {True: "yes", False: "no", None: "not known"}
_RANK = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


@dataclass(frozen=True, slots=True)
class Shared:
    """A rule that is found, with what each witness found for it, best evidence first."""

    rule: str
    results: tuple[RuleResult, ...]

    @property
    def witnesses(self) -> str:
        """``source witness``, or ``source and behaviour witnesses``."""
        names = list(dict.fromkeys(r.witness.value for r in self.results))
        return f"{' and '.join(names)} witness{'es' if len(names) > 1 else ''}"


def by_rule(results: Iterable[RuleResult]) -> tuple[Shared, ...]:
    """Findings with those that several witnesses share put together, in the order of the first of each rule."""
    together: dict[str, list[RuleResult]] = {}
    for result in results:
        together.setdefault(result.rule, []).append(result)
    return tuple(Shared(rule, tuple(sorted(found, key=_best))) for rule, found in together.items())


def _best(result: RuleResult) -> tuple[int, str]:
    return min((_RANK[f.confidence] for f in result.findings), default=3), result.witness.value


def disagreements(report: AuditReport) -> tuple[str, ...]:
    """One sentence for each rule that source and behaviour answer with found and clear: the most useful line."""
    answers: dict[str, dict[Witness, RuleResult]] = {}
    for result in report.results:
        if result.witness in (Witness.SOURCE, Witness.BEHAVIOUR) and result.suppressed is None:
            answers.setdefault(result.rule, {})[result.witness] = result
    return tuple(
        sentence
        for rule, both in sorted(answers.items())
        if len(both) == 2 and (sentence := _disagreement(rule, both[Witness.SOURCE], both[Witness.BEHAVIOUR]))
    )


def _disagreement(rule: str, source: RuleResult, behaviour: RuleResult) -> str:
    if (source.outcome, behaviour.outcome) == (Outcome.FOUND, Outcome.CLEAR):
        at = f" at {source.findings[0].at}" if source.findings else ""
        return (
            f"Source and behaviour disagree on {rule}: the code looks like it{at}, "
            f"but the toy run did not show it ({behaviour.reason})"
        )
    if (source.outcome, behaviour.outcome) == (Outcome.CLEAR, Outcome.FOUND):
        return (
            f"Source and behaviour disagree on {rule}: the toy run shows it ({behaviour.reason}), "
            f"but the code was read as free of it ({source.reason})"
        )
    return ""


def smoke_line(info: BehaviourInfo) -> str:
    """The smoke block in one sentence; without a run it says why there is none."""
    smoke = info.smoke
    size = "code size not known" if smoke.code_bytes is None else f"code {smoke.code_bytes:,} bytes"
    if info.not_run:
        return f"Smoke: not run: {info.not_run}; {size}."
    parts = [
        f"imports {_WORDS[smoke.imports]}",
        _built(smoke),
        f"forward and backward at toy size {_WORDS[smoke.forward_backward]}",
        size,
    ]
    if smoke.seconds is not None:
        parts.append(f"toy run {smoke.seconds:.1f} s")
    return f"Smoke: {'; '.join(parts)}."


def _built(smoke: SmokeInfo) -> str:
    if smoke.builds is None or smoke.parameters is None:
        return f"full-size model builds {_WORDS[smoke.builds]}"
    return f"full-size model builds {_WORDS[smoke.builds]}, {smoke.parameters:,} parameters"


def lines(info: BehaviourInfo) -> list[str]:
    """The block on the run itself, a sentence each; empty when nothing was executed."""
    if info.not_run:
        return []
    kept = {"none": "none: the code ran with this user's rights"}.get(info.level, info.level or "not known")
    out = [f"Isolation: {kept}."]
    if info.reached:
        printed = f" ({info.headline.strip()})" if info.headline.strip() else ""
        out.append(f"The toy run reached its score{printed}.")
    else:
        out.append(f"The toy run did not reach its score: {info.failure or 'no reason is known'}.")
    times = "1 attempt" if info.attempts == 1 else f"{info.attempts} attempts"
    out.append(
        f"{times}, {info.toy_settings} settings scaled down, {info.passes} passes over the validation data, "
        f"{info.seconds:.1f} s, {info.peak_bytes / MIB:,.0f} MiB."
    )
    out += [f"{name}: {outcome.value}: {reason}" for name, outcome, reason in info.answers]
    out += [f"Witness file: {name}" for name in info.witness_files]
    out += [note[:1].upper() + note[1:] for note in info.smoke.notes]
    return out


def samples(finding: Finding) -> list[str]:
    """The first samples of a behaviour finding, one line each."""
    shown = [
        f"token {position}: loss {first:.6f} against {second:.6f}"
        for position, first, second in finding.samples[:SAMPLES]
    ]
    if len(finding.samples) > SAMPLES:
        shown.append(f"and {len(finding.samples) - SAMPLES} more samples")
    return shown


def replay_hint(finding: Finding) -> str:
    """How to see it again; empty when no file was written."""
    if not finding.witness_file:
        return ""
    return f"golf-audit probe PR_DIR --replay {plain(finding.witness_file, 160)}"
