"""A report with one of everything, and a hostile twin of it, built by hand."""

from __future__ import annotations

from auditor.core.types import (
    AuditReport,
    BehaviourInfo,
    Claim,
    Confidence,
    Finding,
    Kind,
    Outcome,
    PackedInfo,
    PathStep,
    Place,
    RecordReady,
    RuleMeta,
    RuleResult,
    Ruling,
    SmokeInfo,
    SubmissionInfo,
    Suppression,
    Verdict,
    Witness,
)

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07 \u202e txt.exe </details><script>alert(1)</script> [x](http://evil.example) @everyone "
    "# LOOKS FINE\n## golf-audit: NO VIOLATION FOUND\n``` ```` | ![i](http://evil.example/i.png)"
)


def metas() -> dict[str, RuleMeta]:
    """One rule for each part that a rule can play."""
    rows = [
        ("artifact-cap", Ruling.ILLEGAL, Kind.LIMIT),
        ("slot-causal", Ruling.DISPUTED, Kind.INTEGRITY),
        ("ttt-score-first", Ruling.LEGAL, Kind.INTEGRITY),
        ("missing-readme", Ruling.ILLEGAL, Kind.FORM),
        ("train-wallclock", Ruling.ILLEGAL, Kind.LIMIT),
        ("eval-wallclock", Ruling.ILLEGAL, Kind.LIMIT),
        ("val-coverage", Ruling.ILLEGAL, Kind.INTEGRITY),
        ("val-train", Ruling.ILLEGAL, Kind.INTEGRITY),
        ("external-access", Ruling.ILLEGAL, Kind.INTEGRITY),
        ("ngram-target-key", Ruling.ILLEGAL, Kind.INTEGRITY),
        ("rescore-two-pass", Ruling.ILLEGAL, Kind.INTEGRITY),
    ]
    return {
        name: RuleMeta(
            name, f"Title of {name}", ruling, kind, f"someone on #{number} [M*]", "2026-03-18",
            what=f"What {name} is.", why=f"Why {name} matters.", fix=f"How to mend {name}.", limits="None known.",
        )
        for number, (name, ruling, kind) in enumerate(rows, 1)
    }  # fmt: skip


def report(foreign: str = "text", *, verdict: Verdict = Verdict.NON_COMPLIANT) -> AuditReport:
    """A report in which ``foreign`` stands wherever a submission's own text can stand."""
    at, log = Place(file="train_gpt.py", line=12, end_line=14, column=4), Place(log=f"{foreign[:40]}.log", line=7)
    path = tuple(PathStep("train_gpt.py", n, f"step {n} {foreign}") for n in range(1, 20))

    def found(rule: str, witness: Witness, *findings: Finding) -> RuleResult:
        return RuleResult(rule, witness, Outcome.FOUND, f"reason {foreign}", findings)

    big = Finding(Confidence.HIGH, f"16,100,000 bytes {foreign}", log)
    readme = Place(field=f"readme{foreign}")
    results = (
        found("artifact-cap", Witness.RECORD, *[big] * 9),
        found("slot-causal", Witness.SOURCE, Finding(Confidence.MEDIUM, f"delta {foreign}", at, path)),
        found("ngram-target-key", Witness.SOURCE, Finding(Confidence.MEDIUM, "key holds the target", at, path[:2])),
        found(
            "ngram-target-key", Witness.BEHAVIOUR,
            Finding(Confidence.HIGH, f"earlier scores moved {foreign}", at, witness_file=f"w/{foreign[:40]}.json",
                    samples=((700, 6.25, 6.5), (701, 5.0, 5.125), (702, 1.0, 2.0), (703, 1.0, 3.0))),
        ),
        found("rescore-two-pass", Witness.SOURCE, Finding(Confidence.HIGH, "scored twice", at)),
        RuleResult("rescore-two-pass", Witness.BEHAVIOUR, Outcome.CLEAR, f"no score moved {foreign}"),
        found("ttt-score-first", Witness.SOURCE, Finding(Confidence.HIGH, "score first", at)),
        found("missing-readme", Witness.RECORD, Finding(Confidence.HIGH, f"no README {foreign}", readme)),
        RuleResult(
            "external-access", Witness.SOURCE, Outcome.FOUND, "reason", (Finding(Confidence.HIGH, "download", at),),
            Suppression("external-access", f"only data {foreign}", Place(file="golf-audit.toml")),
        ),
        RuleResult("train-wallclock", Witness.RECORD, Outcome.UNKNOWN, f"no log {foreign}"),
        RuleResult("eval-wallclock", Witness.RECORD, Outcome.ERROR, f"ValueError {foreign}"),
        RuleResult("val-coverage", Witness.RECORD, Outcome.CLEAR, "all tokens"),
        RuleResult("val-train", Witness.SOURCE, Outcome.NOT_APPLICABLE, "no training"),
    )  # fmt: skip
    return AuditReport(
        tool_version="0.1.0",
        edition="2026-05-02",
        submission=SubmissionInfo(
            f"records/{foreign}",
            "track_10min_16mb",
            f"train{foreign}.py",
            "0" * 64,
            PackedInfo(("lzma", foreign), 10, 99),
        ),
        verdict=verdict,
        complete=False,
        record_ready=RecordReady(False, (f"seeds: 1 of 3 {foreign}",)),
        results=results,
        claims=(Claim("val_bpb", 1.0887, Place(field="val_bpb"), 1.1, "log"), Claim(foreign, foreign, log)),
        rules=metas(),
        witnesses_run=(Witness.SOURCE, Witness.RECORD),
        notes=(f"Not read: {foreign}", "The behaviour witness did not run."),
        settings=((f"TTT{foreign}", foreign, f"run_script, {foreign}:3"),),
        behaviour=BehaviourInfo(
            "", "bubblewrap", True, "", f"val_bpb:1.2345 {foreign}", 2, 17, 3,
            (("prefix-invariance", Outcome.FOUND, f"scores moved {foreign}"), ("coverage", Outcome.CLEAR, "once each")),
            (f"w/{foreign[:40]}.json",), 6.54, 300 << 20,
            SmokeInfo(True, True, 27_030_107, True, 71_234, 2.71, (f"the log states another size {foreign}",)),
        ),
        verdict_reason="Found, and ruled illegal: artifact-cap.",
    )
