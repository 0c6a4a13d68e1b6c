"""Replaying a witness: both of its runs again, from the file, against a submission; the losses side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auditor.behaviour.facts import Answer, Question
from auditor.behaviour.host import GuestGone, RunLog, WireError
from auditor.behaviour.order import Cut
from auditor.behaviour.probe import ProbeOptions, probe, source_of
from auditor.behaviour.questions.prefix_invariance import compare
from auditor.behaviour.run import Run
from auditor.behaviour.scale.implied import with_switches
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.scale.plan import build
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.spec import World, WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.toyworld.vary import vary
from auditor.behaviour.witness import WitnessError, WitnessFile, mask
from auditor.core.submission import Submission
from auditor.core.types import Outcome

Progress = Callable[[str, float | None], None]
MAX_WORLD = {"vocab_size": 16_384, "val_tokens": 1 << 20, "train_tokens": 1 << 20, "train_shards": 16}


@dataclass(frozen=True, slots=True)
class Row:
    """One token of the evidence: as the file has it, and as the two runs gave it now (None: not scored)."""

    position: int
    token: int
    piece: str
    stated_first: float
    stated_second: float
    first: float | None = None
    second: float | None = None

    @property
    def exact(self) -> bool:
        """Whether both losses are those of the file, to the bit."""
        return (self.first, self.second) == (self.stated_first, self.stated_second)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay gave."""

    witness: WitnessFile
    reproduced: bool
    """Whether the finding shows again."""
    problem: str = ""
    """Why the runs could not be made or compared; then nothing was shown either way."""
    rows: tuple[Row, ...] = ()
    differing: int = 0
    """Scores before the cut that differ between the two runs now."""
    compared: int = 0
    level: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every token of the evidence has the losses of the file, to the bit."""
        return bool(self.rows) and all(row.exact for row in self.rows)


def replay(
    submission: Submission,
    witness: WitnessFile,
    *,
    unsandboxed: bool = False,
    wall_seconds: float = 60.0,
    other_script: bool = False,
    on_progress: Progress | None = None,
) -> Replayed:
    """Run what the witness describes.

    Raises:
        WitnessError: the file is for another script (unless ``other_script``), or does not fit together.
        NoIsolation: nothing isolates here and ``unsandboxed`` is false.
    """
    document = witness.document
    submission = with_switches(submission, document.get("implied", ()))
    notes = _check_script(submission, document, other_script)
    if document["variation"] is None:
        return _again(submission, witness, unsandboxed, wall_seconds, on_progress, notes)
    plan, more = _plan(submission, document)
    world = make_world(_spec(document))
    if document["variation"]["tokens"] != world.val.tokens.size:
        raise WitnessError("its ranges of kept tokens are for a stream of another length")
    cut = _cut(document)
    try:
        with Session(
            submission, plan, world, unsandboxed, seed=document["seed"],
            real_bfloat16=document.get("real_bfloat16") is True,
        ) as session:  # fmt: skip
            _say(on_progress, "run A", 0.0)
            first = session.run(world.val, wall_seconds)
            stream = vary(world, cut.keep, document["variation"]["salt"])
            _say(on_progress, "run B", 0.5)
            second = session.run(stream, wall_seconds)
            level = session.level
    except (GuestGone, WireError) as error:
        return Replayed(witness, False, str(error), notes=(*notes, *more))
    source = source_of(submission)
    a = _run(first, world, world.val, document, "A", source)
    b = _run(second, world, stream, document, "B", source)
    return _compared(witness, a, b, cut, level, (*notes, *more))


def _check_script(submission: Submission, document: Mapping[str, Any], other_script: bool) -> tuple[str, ...]:
    if submission.entry is None:
        raise WitnessError("the submission has no script that could be read")
    stated = document["script"]["sha256"]
    if stated == submission.entry.sha256:
        return ()
    sentence = f"the witness is for another script (sha256 {stated[:16]}, this one has {submission.entry.sha256[:16]})"
    if not other_script:
        raise WitnessError(f"{sentence}; --other-script replays it all the same")
    return (sentence,)


def _plan(submission: Submission, document: Mapping[str, Any]) -> tuple[Plan, tuple[str, ...]]:
    """The plan of the file; what this version of the tool would have chosen otherwise is noted."""
    wanted = document["plan"]
    try:
        plan = build(submission, wanted["level"], wanted["tweaks"], wanted["attempt"])
    except (IndexError, ValueError) as error:
        raise WitnessError(f"no plan can be made from it: {error}") from error
    env, argv = dict(wanted["env"]), tuple(wanted["argv"])
    notes = []
    if (env, argv) != (plan.env, plan.argv):
        names = sorted(k for k in env.keys() | plan.env.keys() if env.get(k) != plan.env.get(k))
        notes.append(
            f"settings are the file's where this version would choose others: {', '.join(names) or 'arguments'}"
        )
    return replace(plan, env=env, argv=argv), tuple(notes)


def _spec(document: Mapping[str, Any]) -> WorldSpec:
    try:
        spec = WorldSpec(**document["world"])
    except TypeError as error:
        raise WitnessError("its toy world has unknown settings") from error
    for name in WorldSpec.__slots__:
        value = getattr(spec, name)
        if name == "tokenizer":
            fits = value in ("bpe", "bytes", "caseops")
        else:
            fits = type(value) is int and 0 <= value <= MAX_WORLD.get(name, 1 << 32)
        if not fits:
            raise WitnessError(f"its toy world has a setting out of range: {name}")
    return spec


def _cut(document: Mapping[str, Any]) -> Cut:
    variation = document["variation"]
    return Cut(variation["index"], mask(variation["keep"], variation["tokens"]), variation["why"])


def _run(log: RunLog, world: World, stream: Any, document: Mapping[str, Any], name: str, source: str) -> Run:
    return Run(log, stream, world.spec, tuple(document["stated"]), name, source)


def _compared(witness: WitnessFile, a: Run, b: Run, cut: Cut, level: str, notes: tuple[str, ...]) -> Replayed:
    seconds = a.log.seconds + b.log.seconds
    for run in (a, b):
        if run.judged is None or (run is a and not a.log.ended):
            why = run.log.failure() or "it printed no score that its losses make"
            return Replayed(witness, False, f"run {run.name}: {why}", level=level, seconds=seconds, notes=notes)
    held = compare(a, b, cut)
    first, second = losses(a), losses(b)
    rows = tuple(
        Row(s["position"], s["token"], s["piece"], float.fromhex(s["first"]), float.fromhex(s["second"]),
            first.get(s["position"]), second.get(s["position"]))
        for s in witness.document["samples"]
    )  # fmt: skip
    problem = held.problem if not held.differs else ""
    return Replayed(
        witness, held.differs, problem, rows, int(held.positions.size), held.compared, level, seconds, notes
    )


def losses(run: Run) -> dict[int, float]:
    """The first loss that the judged pass adds up for each stream position."""
    if run.judged is None:
        return {}
    found: dict[int, float] = {}
    known = np.flatnonzero(run.judged.positions >= 0)
    for index in known[::-1].tolist():
        found[int(run.judged.positions[index])] = float(run.judged.values[index])
    return found


def _again(
    submission: Submission, witness: WitnessFile, unsandboxed: bool, wall_seconds: float, on_progress: Progress | None,
    notes: tuple[str, ...],
) -> Replayed:  # fmt: skip
    """A question that varies nothing, or more than the stream: the whole probe again, and its answer to it."""
    options = ProbeOptions(
        unsandboxed=unsandboxed, wall_seconds=wall_seconds, stated=tuple(witness.document["stated"]),
        on_progress=on_progress, smoke=False,
    )  # fmt: skip
    facts = probe(submission, options).facts
    answer = facts.answer(Question(witness.document["question"]))
    found = answer.outcome is Outcome.FOUND
    problem = "" if found or answer.outcome is Outcome.CLEAR else answer.reason
    rows = _rows(witness, answer)
    return Replayed(witness, found, problem, rows, len(rows), len(rows), facts.level, facts.seconds, notes)


def _rows(witness: WitnessFile, answer: Answer) -> tuple[Row, ...]:
    now = {s.position: s for one in answer.evidence for s in one.samples}
    rows = []
    for stated in witness.document["samples"]:
        seen = now.get(stated["position"])
        rows.append(
            Row(stated["position"], stated["token"], stated["piece"], float.fromhex(stated["first"]),
                float.fromhex(stated["second"]), seen.first if seen else None, seen.second if seen else None)
        )  # fmt: skip
    return tuple(rows)


def _say(on_progress: Progress | None, text: str, share: float | None) -> None:
    if on_progress is not None:
        on_progress(text, share)
