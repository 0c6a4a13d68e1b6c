"""Replay: the two runs of a witness file again, side by side, and what it says when they differ or cannot be made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from auditor.behaviour import replay, replay_view
from auditor.behaviour.facts import Evidence, Question, Sample, Spot
from auditor.behaviour.host import GuestGone, RunLog
from auditor.behaviour.run import Run
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.scale.plan import plan
from auditor.behaviour.toyworld.spec import Stream
from auditor.behaviour.witness import Variation, WitnessError, WitnessFile, make
from auditor.core.submission import Submission
from auditor.core.types import Confidence
from tests.behaviour.test_timeline import ROW, WORLD, Tape
from tests.support import make_submission

SUBMISSION = make_submission({"train_gpt.py": 'import os\nITERATIONS = int(os.environ.get("ITERATIONS", 20000))\n'})
CUT = 512


def witness(first: float = 6.0, second: float = 6.25) -> WitnessFile:
    samples = tuple(Sample(n, first, second) for n in range(1, 4))
    spot = Spot("train_gpt.py", 127, "weights are updated", "ttt_adapt")
    evidence = Evidence(Confidence.HIGH, "earlier scores changed", spot, (), samples)
    variation = Variation(CUT, "in the middle", np.arange(WORLD.val.tokens.size) <= CUT, 1)
    return make(SUBMISSION, plan(SUBMISSION), WORLD, Question.PREFIX_INVARIANCE, evidence, variation=variation,
                torch="2.13.0")  # fmt: skip


def log(stream: Stream, early: float, late: float) -> RunLog:
    """A run that scores the stream in order, rows before the cut with ``early``."""
    tape = Tape()
    for start in range(0, 1024, ROW):
        tape.score(start, early if start < CUT else late, tokens=stream.tokens)
    mean = (early + late) / 2
    tape.add("Printed", line=40, text=f"final val_loss:{mean:.4f}", stream="out")
    return RunLog(tape.events, 0, seconds=1.0, finished={"status": "ended"})


class FakeSession:
    """A sandbox that answers with ``losses``: (run A before, after the cut), (run B before, after)."""

    losses: tuple[tuple[float, float], tuple[float, float]] = ((6.0, 5.0), (6.25, 5.0))
    plans: list[Plan] = []
    more: list[dict[str, bool]] = []
    level = "bubblewrap"

    def __init__(
        self, submission: Submission, toy: Plan, world: Any, unsandboxed: bool, seed: int, **more: bool
    ) -> None:
        self.plans.append(toy)
        self.seed = seed
        self.more.append(more)

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing runs."""

    def run(self, stream: Stream, wall_seconds: float) -> RunLog:
        changed = bool((stream.tokens != WORLD.val.tokens).any())
        return log(stream, *self.losses[changed])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    monkeypatch.setattr(replay, "Session", FakeSession)
    return FakeSession


def test_a_finding_is_reproduced_to_the_bit(fake: type[FakeSession]) -> None:
    done = replay.replay(SUBMISSION, witness())
    assert (
        done.reproduced and done.exact and not done.problem and done.compared > 400 and done.differing == done.compared
    )
    text = " ".join(replay_view.render(done).split())
    for wanted in (
        "REPRODUCED, with the losses of the file, to the bit", "of 1,025 tokens replaced", "Cut: in the middle",
        "In between: train_gpt.py:127 in ttt_adapt: weights are updated", "6.00000000 6.25000000 the same",
        "Isolation: bubblewrap", "torch 2.13.0",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert max(map(len, replay_view.render(done).splitlines())) <= 80
    document = replay_view.document(done)
    assert document["reproduced"] is True and json.dumps(document)


def test_other_losses_are_shown_as_other(fake: type[FakeSession]) -> None:
    done = replay.replay(SUBMISSION, witness(6.5, 6.75))
    assert done.reproduced and not done.exact
    assert "with other losses than the file's" in " ".join(replay_view.render(done).split())


def test_an_honest_script_does_not_reproduce_it(fake: type[FakeSession], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "losses", ((6.0, 5.0), (6.0, 5.5)))
    done = replay.replay(SUBMISSION, witness())
    assert not done.reproduced and not done.problem and done.differing == 0
    assert replay_view.render(done).startswith("NOT REPRODUCED: all ")


def test_a_run_that_fails_shows_nothing_either_way(fake: type[FakeSession], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "run", lambda self, stream, wall: RunLog(timed_out=True))
    done = replay.replay(SUBMISSION, witness())
    assert not done.reproduced and done.problem == "run A: timed out"
    assert replay_view.render(done).startswith("COULD NOT BE REPLAYED: run A: timed out")

    def gone(self: object, stream: object, wall: object) -> RunLog:
        raise GuestGone("the guest ended")

    monkeypatch.setattr(fake, "run", gone)
    assert replay.replay(SUBMISSION, witness()).problem == "the guest ended"


def test_a_run_that_breaks_off_after_its_score_shows_nothing(
    fake: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeSession, stream: Stream, wall: float) -> RunLog:
        made = log(stream, 6.0, 5.0)
        made.finished = {"status": "failed", "error": "KeyError", "message": "x", "frames": []}
        return made

    monkeypatch.setattr(fake, "run", broken)
    done = replay.replay(SUBMISSION, witness())
    assert not done.reproduced and done.problem == "run A: KeyError: x"


def test_the_headline_is_chosen_as_the_probe_chose_it(
    fake: type[FakeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Run] = []
    real = replay._compared

    def compared(file: WitnessFile, a: Run, b: Run, *more: Any) -> Any:
        runs.extend((a, b))
        return real(file, a, b, *more)

    monkeypatch.setattr(replay, "_compared", compared)
    replay.replay(SUBMISSION, witness())
    assert [run.source for run in runs] == ["\n".join(f.text for f in (SUBMISSION.entry,) if f)] * 2


def test_another_script_is_refused_unless_told(fake: type[FakeSession]) -> None:
    other = make_submission({"train_gpt.py": "import os\n"})
    with pytest.raises(WitnessError, match="for another script"):
        replay.replay(other, witness())
    done = replay.replay(other, witness(), other_script=True)
    assert done.reproduced and "for another script" in done.notes[0]


def test_real_bfloat16_is_kept_where_the_probe_had_to(fake: type[FakeSession]) -> None:
    document = json.loads(witness().text)
    for kept in (True, False):
        replay.replay(SUBMISSION, WitnessFile("w.json", document | {"real_bfloat16": kept}))
        assert fake.more[-1] == {"real_bfloat16": kept}


def test_the_settings_are_the_file_s(fake: type[FakeSession]) -> None:
    document = json.loads(witness().text)
    document["plan"]["env"]["ITERATIONS"] = "3"
    document["plan"]["argv"] = ["--fast"]
    done = replay.replay(SUBMISSION, WitnessFile("w.json", document))
    assert fake.plans[-1].env["ITERATIONS"] == "3" and fake.plans[-1].argv == ("--fast",)
    assert any("ITERATIONS" in note for note in done.notes)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("world", {"vocab_size": 1 << 30}, "out of range: vocab_size"),
        ("world", {"tokenizer": "/etc/passwd"}, "out of range: tokenizer"),
        ("world", {"colour": 1}, "unknown settings"),
        ("variation", {"keep": [[0, 5000]]}, "do not fit"),
        ("variation", {"tokens": 77}, "another length"),
        ("plan", {"level": 99}, "no plan can be made"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(
    place: str, value: dict[str, Any], says: str, fake: type[FakeSession]
) -> None:
    document = json.loads(witness().text)
    document[place] |= value
    with pytest.raises(WitnessError, match=says):
        replay.replay(SUBMISSION, WitnessFile("w.json", document))


def test_hostile_text_of_a_file_stays_text(fake: type[FakeSession]) -> None:
    document = json.loads(witness().text)
    bad = "\x1b[2J[bold]\u202e"
    document |= {"message": bad, "torch": bad, "machine": bad}
    document["update_between"] |= {"file": bad, "function": bad, "note": bad}
    document["samples"][0]["piece"] = bad
    document["variation"]["why"] = bad
    text = replay_view.render(replace(replay.replay(SUBMISSION, WitnessFile("w.json", document)), notes=(bad,)))
    assert "\x1b" not in text and "\u202e" not in text and "[bold]" in text


@pytest.mark.slow
def test_a_real_witness_replays(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from auditor.behaviour.audit import Request, listen, why_not
    from auditor.behaviour.witness import read
    from auditor.intake import load_submission

    if reason := why_not(False):
        pytest.skip(reason)
    fixtures = Path(__file__).resolve().parents[2] / "fixtures/submissions"
    submission = load_submission(fixtures / "prequant_ttt")
    texts = []
    for name in ("one", "two"):
        heard = listen(submission, Request(witness_dir=tmp_path / name))
        texts.append([Path(path).read_bytes() for path in heard.written])
    assert texts[0] and texts[0] == texts[1], "the same probe twice gives the same bytes"
    first = next(path for path in heard.written if "prefix-invariance" in path)
    done = replay.replay(submission, read(Path(first)))
    assert done.reproduced and done.exact
