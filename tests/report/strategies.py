"""Odd reports: any text anywhere, any number, places without lines, pictures of nothing."""

from __future__ import annotations

from hypothesis import strategies as st

from auditor.core.exhibits import Block, ByteBar, Curve, Excerpt, Exhibits, Mark, Part, PhaseTime, Picture
from auditor.core.rerun import RerunInfo, RerunSeed
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

RULES = ("artifact-cap", "slot-causal", "ttt-score-first", "missing-readme", "odd--rule-")
ODD = ["</script><script>alert(1)</script>", "::error::x", "%0A", "\r\n::warning::", "{0}", "[a](b)", "\ud800", "\x00",
       "\u202e", "</svg></title>", "{{ 7 * 7 }}", "..//../etc", "C:\\x", "'\"><img src=x onerror=y>"]  # fmt: skip
text = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=()), max_size=12))
count = st.integers(0, 1 << 40)
lines = st.one_of(st.none(), st.integers(1, 60))
real = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)


def _few(of: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, max_size=most).map(tuple)


places = st.one_of(
    st.builds(Place, file=text, line=lines, end_line=lines, column=st.one_of(st.none(), st.integers(0, 9))),
    st.builds(Place, file=st.just("train_gpt.py"), line=lines, end_line=lines),
    st.builds(Place, log=text, line=lines),
    st.builds(Place, field=text),
)
steps = st.builds(PathStep, st.sampled_from(["train_gpt.py", "b.py", ""]), st.integers(1, 60), text)
findings = st.builds(
    Finding, st.sampled_from(Confidence), text.map(lambda said: said or "-"), places, _few(steps, 4),
    st.one_of(st.none(), text), _few(st.tuples(count, real, real), 5),
)  # fmt: skip
suppressions = st.builds(Suppression, st.sampled_from(RULES), text, places)
found = st.builds(
    RuleResult, st.sampled_from(RULES), st.sampled_from(Witness), st.just(Outcome.FOUND), text,
    st.lists(findings, min_size=1, max_size=3).map(tuple), st.one_of(st.none(), suppressions),
)  # fmt: skip
others = st.builds(
    RuleResult, st.sampled_from(RULES), st.sampled_from(Witness),
    st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.FOUND]), text,
)  # fmt: skip
spans = _few(st.tuples(st.integers(0, 50), st.integers(0, 60)))
pictures = st.builds(
    Picture, moments=st.integers(0, 50), tokens=st.integers(0, 60),
    blocks=_few(st.builds(Block, st.sampled_from(Mark), *[st.integers(0, 60)] * 4)),
    events=_few(st.tuples(st.integers(0, 60), text)), counts=_few(st.tuples(st.sampled_from(Mark), count)), run_b=text,
    cut_moment=st.one_of(st.none(), st.integers(0, 60)), changed=spans, compared=count, differing=count,
    differing_at=spans, left_out=text,
)  # fmt: skip
exhibits = st.builds(
    Exhibits,
    curves=_few(st.builds(Curve, text, st.sampled_from(["train_loss", "val_bpb", "ttt_bpb", "other"]),
                          _few(st.tuples(finite, finite), 5))),
    finals=_few(st.tuples(text, text, finite)),
    bytes=st.one_of(st.none(), st.builds(ByteBar, st.integers(1, 1 << 40), *[_few(st.builds(Part, text, count))] * 2,
                                         text)),
    phases=_few(st.builds(PhaseTime, text, text, st.floats(0, 1e12), st.one_of(st.none(), st.floats(1, 1e6)))),
    excerpts=_few(st.builds(Excerpt, st.sampled_from(["train_gpt.py", "b.py", "x.log"]), st.integers(1, 50),
                            st.lists(text, min_size=1, max_size=9).map(tuple))),
)  # fmt: skip
metas = st.fixed_dictionaries({
    rule: st.builds(RuleMeta, st.just(rule), text, st.sampled_from(Ruling), st.sampled_from(Kind), text, text, text,
                    text, text, text)
    for rule in RULES
})  # fmt: skip
behaviours = st.builds(
    BehaviourInfo, not_run=st.one_of(st.just(""), text), level=text, reached=st.booleans(), failure=text,
    headline=text, answers=_few(st.tuples(text, st.sampled_from(Outcome), text)), witness_files=_few(text),
    smoke=st.builds(SmokeInfo, st.one_of(st.none(), st.booleans()), parameters=st.one_of(st.none(), count)),
    picture=st.one_of(st.none(), pictures),
)  # fmt: skip
submissions = st.builds(
    SubmissionInfo, text, st.one_of(st.none(), text), st.one_of(st.none(), text, st.just("train_gpt.py")),
    st.one_of(st.none(), st.just("0" * 64)), st.one_of(st.none(), st.builds(PackedInfo, _few(text), count, count)),
)  # fmt: skip
reruns = st.builds(
    RerunInfo, text, st.lists(text, min_size=1, max_size=2).map(tuple), text, text, st.booleans(),
    _few(st.builds(RerunSeed, st.one_of(st.none(), count), text, *[st.one_of(st.none(), finite)] * 2,
                   st.one_of(st.none(), count), *[st.one_of(st.none(), finite)] * 2, st.one_of(st.none(), count))),
    _few(text),
)  # fmt: skip
values = st.one_of(st.none(), real, count, text)
reports = st.builds(
    AuditReport, tool_version=text, edition=text, submission=submissions, verdict=st.sampled_from(Verdict),
    complete=st.booleans(),
    record_ready=st.builds(RecordReady, st.one_of(st.none(), st.booleans()), _few(text)),
    results=_few(st.one_of(found, others), 6), claims=_few(st.builds(Claim, text, values, places, values,
                                                                     st.one_of(st.none(), text))),
    rules=metas, witnesses_run=_few(st.sampled_from(Witness)), notes=_few(text),
    settings=_few(st.tuples(text, text, text)), verdict_reason=text, behaviour=behaviours, exhibits=exhibits,
    rerun=st.one_of(st.none(), reruns),
)  # fmt: skip
"""Any report: what no engine makes is among them."""
