"""Training data are read for calibration after the training clock."""

from __future__ import annotations

import re

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Outcome, Ruling
from auditor.record.facts import Calibration, RecordFacts, Run
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import script
from rules._examples_calib import HESSIANS, SELFGEN, TRAIN_BATCHES, mark
from rules._order import conclude, distinct, place
from rules._trace import data_rule, ruled

_ID = "gptq-train-after-cap"
_CALL = "collect_hessians(model, train_batches(args, stream, 16))"
_RESERVE = re.compile(r"reserve", re.I)
_KEPT = re.compile(r"^[^#\n]*?\b\w*reserve(?!d)\w*[ \t]*(?::[^=\n]+)?=(?!=)", re.I | re.M)
"""A value that is named a reserve; the memory that a print calls reserved is none."""
_ASSIGNED = re.compile(r"^[^#\n]*?\b\w*reserve(?!d)\w*[ \t]*(?::[^=\n]+)?=(?!=)([^#\n]*)", re.I | re.M)
_VARIABLE = re.compile(r"[\"'](\w*RESERVE\w*)[\"']")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?(?![\w.])")
_LIMIT = re.compile(r"wallclock|budget|time_limit|max_.{0,12}(ms|seconds)", re.I)

BUDGET_S = 600.0
"""The training clock of the record track (O4)."""
TOLERANCE_S = 0.2
"""About one step: the clock is tested after a step."""
TENS_S = 10.0
"""Calibration from here on is "tens of seconds"."""
CLEARLY_S = 610.0
"""Training and calibration together from here on are clearly over."""
PRECEDENTS = (
    "refused: #576, #606, #615, #706 with 3.4 to 4.3 s after a full clock; accepted: #1787, #1851, #1855 reaching "
    "603 to 604 s with a reserve of 0.5 s"
)

_LOG = (
    "stopping_early: wallclock_cap train_time:{train}ms step:7000/20000\n"
    "gptq:collecting hessians from training data (256 batches)...\n"
    "gptq:collected hessians for 68 layers (training data) in {seconds}s\n"
)
_SHORTER = (
    'gptq_reserve_seconds = float(os.environ.get("GPTQ_RESERVE_SECONDS", 14.0))\n'
)
_RESERVED = script(
    mark(HESSIANS + TRAIN_BATCHES), flags=_SHORTER, hessians=_CALL,
).replace("> args.max_wallclock_seconds:", "> args.max_wallclock_seconds - args.gptq_reserve_seconds:")
_INSIDE = '''\
for step in range(args.iterations):
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()
    if step == args.iterations - 100:
        sums = collect_hessians(model, train_batches(args, stream, 16))
'''


class GptqTrainAfterCap(Rule):
    """What it does:
    After the training clock has stopped, training shards are read to calibrate the quantiser (GPTQ Hessians,
    activation scales).

    Why it is not allowed:
    It "accesses training data at eval time, which is forbidden" unless its time is counted in the 600 s of training.
    Practice is lenient by seconds: short calibrations were both refused and accepted. So the seconds, the reserve and
    both precedents are reported; it is held certain only when the calibration takes tens of seconds without a
    reserve, or the total is clearly over.

    How to fix it:
    Stop training early enough that calibration ends within 600 s, or calibrate on self-generated text.

    Known limits:
    The source cannot tell seconds. A reserve is recognised by its name where it is subtracted from the clock.

    Authority:
    valerio-oai on #593, #606, #615, #631 [M*]; practice: #1787, #1851, #1855 [C, M-git].
    """

    title = "Training data are read for calibration after the training clock"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #593, #606, #615, #631 [M*]"
    since = "2026-03-24"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found (medium): a read of training shards after training feeds calibration and no reserve is subtracted."""
        reads = [
            read for read in facts.reads
            if read.origin is Origin.TRAIN and read.after_training and read.feeds is StateKind.CALIBRATION
        ]
        reserve = _reserve(facts) if reads else None
        if reserve is not None and _is_something("\n".join(facts.texts.values()), submission):
            return Ruled.clear(
                f"training data are read for calibration after training, and {reserve} shortens the training clock for "
                "it; whether that suffices is a question of the log's seconds"
            )
        message = "training shards are read here for calibration after the training loop, with no reserve subtracted"
        findings = [
            Finding(Confidence.LOW if read.guard else Confidence.MEDIUM, message, place(read.site), read.path)
            for read in reads
        ]
        return conclude(
            facts, distinct(findings), f"calibration on training data after the training clock ({PRECEDENTS})",
            "no training shards are read for calibration after training",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: the log states calibration on training data after a clock that leaves no room for it."""
        findings = [finding for run in facts.judged() if (finding := _judge(run)) is not None]
        if findings:
            return Ruled.found(findings, f"training data are used after the training clock ({PRECEDENTS})")
        if any(line.source == "train" for run in facts.judged() for line in _late(run)):
            return Ruled.clear("calibration on training data ended within the training budget")
        return Ruled.not_applicable("no log line tells of calibration on training data after the clock")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: training text read after the training clock had stopped, in a script that keeps no reserve."""
        answer = ruled(facts, Question.DATA_ACCESS, self.id(), data_rule)
        text = submission.entry.text if submission.entry is not None else ""
        reserve = _KEPT.search(text) is not None and _is_something(text, submission)
        if reserve and answer.outcome is Outcome.FOUND:
            said = "the script keeps a reserve of training time; whether it suffices is no question for the toy scale"
            return Ruled.not_applicable(said)
        return answer

    VALID = [
        Example("no calibration", {"train_gpt.py": script()}),
        Example("self-generated text", {"train_gpt.py": script(
            mark(HESSIANS) + SELFGEN, hessians="collect_hessians(model, generate_calibration(args, model, 16))")}),
        Example("a reserve shortens the clock", {"train_gpt.py": _RESERVED}),
        Example("a reserve, and the log shows that it suffices", {
            "train_gpt.py": _RESERVED, "train_seed42.log": _LOG.format(train=586000, seconds="9.8")}),
        Example("inside the training loop", {"train_gpt.py": script(
            mark(HESSIANS + TRAIN_BATCHES), train=_INSIDE, hessians="sums")}),
    ]
    INVALID = [
        Example("a reserve of no seconds", {"train_gpt.py": script(
            mark(HESSIANS) + mark(TRAIN_BATCHES, _ID), flags=_SHORTER.replace("14.0", "0.0"), hessians=_CALL,
        ).replace("> args.max_wallclock_seconds:", "> args.max_wallclock_seconds - args.gptq_reserve_seconds:")}),
        Example("after the loop, no reserve", {"train_gpt.py": script(
            mark(HESSIANS) + mark(TRAIN_BATCHES, _ID), hessians=_CALL)}),
        Example("fresh loader", {"train_gpt.py": script(
            mark(HESSIANS) + mark(TRAIN_BATCHES, _ID),
            hessians="collect_hessians(model, train_batches(args, TokenStream(args.train_files), 16))")}),
        Example("tens of seconds in the log", {
            "train_gpt.py": script(mark(HESSIANS) + mark(TRAIN_BATCHES, _ID), hessians=_CALL),
            "train_seed42.log": _LOG.format(train=600012, seconds="41.5")},
            expect=("train_seed42.log:3",)),
        Example("three seconds too many in the log", {
            "train_gpt.py": _RESERVED, "train_seed42.log": _LOG.format(train=600038, seconds="3.4")},
            expect=("train_seed42.log:3",)),
    ]


def _is_something(text: str, submission: Submission) -> bool:
    """Whether a reserve of ``text`` is more than 0 seconds, by the launch or its default; true if none is told."""
    told: list[float] = []
    env = submission.launch.env
    for right in _ASSIGNED.findall(text):
        stated = [env[name].value for name in _VARIABLE.findall(right) if name in env]
        numbers = _NUMBER.findall(stated[0] if stated else right)
        told += [float(number) for number in numbers]
    return not told or max(told) > 0


def _reserve(facts: SourceFacts) -> str | None:
    """Where a reserve is subtracted from a time limit, as ``file:line``; None when nowhere."""
    for path, text in facts.texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            code = line.partition("#")[0]
            if "-" in code and _RESERVE.search(code) and _LIMIT.search(code) and _subtracts(code):
                return f"{path}:{number}"
    return None


def _subtracts(code: str) -> bool:
    """Whether a name with ``reserve`` in it stands after a minus sign."""
    return re.search(r"-=?\s*[\w.(*\s]*reserve", code, re.I) is not None


def _late(run: Run) -> list[Calibration]:
    """The run's lines on calibration after the clock that say, or do not deny, that its data are training data."""
    late = [line for line in run.calibrations if line.after_clock]
    return [] if any(line.source not in ("train", None) for line in late) else late


def _judge(run: Run) -> Finding | None:
    """One finding for a run whose calibration does not fit into the training budget; None when it does, or none ran.

    Lines that do not say on what data count only after a full clock: then nothing was left for them.
    """
    late = _late(run)
    if not late:
        return None
    said_train = any(line.source == "train" for line in late)
    timed = [line for line in late if line.seconds is not None]
    seconds = sum(line.seconds or 0.0 for line in timed) if timed else None
    train = run.times.train if run.times else (run.stop.train_seconds if run.stop else None)
    reserve = run.times.reserve if run.times else None
    at = timed[0].at if timed else late[0].at
    notes = f"reserve {reserve:g} s" if reserve is not None else "no reserve logged"
    notes += "" if said_train else ", on what data the log does not say"
    full = train is not None and train >= BUDGET_S - TOLERANCE_S
    if not said_train and not full:
        return None
    if train is None:
        return Finding(Confidence.LOW, f"calibration after the clock, no training time logged ({notes})", at)
    if seconds is None:
        level = Confidence.MEDIUM if full else Confidence.LOW
        return Finding(level, f"{train:.1f} s of training, then calibration, seconds not logged ({notes})", at)
    total = train + seconds
    if total <= BUDGET_S + TOLERANCE_S:
        return None
    text = f"{train:.1f} s of training + {seconds:.1f} s of calibration = {total:.1f} s ({notes})"
    if said_train and (total >= CLEARLY_S or (seconds >= TENS_S and not reserve)):
        return Finding(Confidence.HIGH, text, at)
    return Finding(Confidence.MEDIUM, text, at)
