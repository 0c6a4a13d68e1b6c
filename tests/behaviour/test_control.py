"""Run A repeated as the control of every difference, and varied runs that were lost: neither is ever a pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import auditor.behaviour.probe as module
from auditor.behaviour.facts import Question
from auditor.behaviour.host import GuestGone, RunLog
from auditor.behaviour.order import Cut, cut_at
from auditor.behaviour.probe import ProbeOptions, probe
from auditor.behaviour.questions import data_access
from auditor.behaviour.questions.control import Control, lost, needed, whole
from auditor.behaviour.questions.every import ask_all, invariance
from auditor.behaviour.questions.prefix_invariance import compare
from auditor.behaviour.run import Run
from auditor.behaviour.wire import Event
from auditor.core.types import Confidence, Outcome
from auditor.sandbox import Level, detect
from tests.behaviour.test_questions import Script, world
from tests.support import make_submission


def _run(shift: float = 0.0, training: float = 7.0, pad: float = 7.0) -> Run:
    """A training step, an early pass with gradients over a padded row, and the sweep; ``shift`` moves its losses."""
    script = Script()
    shard = world().train[0].tokens[:64].astype(np.int32)
    padded = np.concatenate([world().val.tokens[1:33], np.zeros(32)]).astype(np.int32)
    rows = ((shard, np.full(64, training)), (padded, np.repeat([6.5, pad], 32)))
    for targets, losses in rows:
        fields = {"first": script.scores, "how": "cross_entropy", "grad": True, "shape": [1, 64]}
        arrays = {"targets": targets, "loss": losses.astype(np.float32)}
        script.add("Scored", arrays, **fields, site=["train_gpt.py", 3, "train"])
        script.scores += 64
    return script.sweep(values=lambda loss, where: loss + shift).print()


def _cut(run: Run) -> Cut:
    assert run.judged is not None
    return cut_at(run.judged, run.stream.tokens.size, run.judged.positions.size // 2, "in the middle")


def test_a_difference_counts_only_when_the_repeated_run_is_the_first() -> None:
    a, cut = _run(), _cut(_run())
    differing = compare(a, _run(0.25), cut)
    assert differing.differs and needed(a, [differing], [])
    assert invariance(a, [differing]).evidence[0].confidence is Confidence.HIGH
    same = Control(compare(a, _run(), whole([differing])), _run())
    assert invariance(a, [differing], same).outcome is Outcome.FOUND
    chance = Control(compare(a, _run(0.5), whole([differing])), _run(0.5))
    answer = invariance(a, [differing], chance)
    assert answer.outcome is Outcome.UNKNOWN and "not deterministic" in answer.reason
    gone = invariance(a, [differing], Control(lost(cut, "the repeated run was lost")))
    assert gone.outcome is Outcome.UNKNOWN and "could not be repeated" in gone.reason


def test_a_varied_run_that_was_lost_is_no_pass() -> None:
    a, cut = _run(), _cut(_run())
    held = compare(a, _run(), cut)
    assert invariance(a, [held]).outcome is Outcome.CLEAR
    answer = invariance(a, [held, lost(cut, "the varied run was lost")])
    assert answer.outcome is Outcome.UNKNOWN and "lost" in answer.reason


def test_a_guest_that_dies_in_a_later_varied_run_leaves_the_question_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dies:
        """A sandbox whose first run is honest and which is lost in the second varied one."""

        level, versions, runs = "bubblewrap", dict[str, str](), 0

        def __init__(self, *_: object, **__: object) -> None:
            self.process = None

        def __enter__(self) -> Dies:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing runs."""

        def run(self, *_: object, **__: object) -> RunLog:
            self.runs += 1
            if self.runs == 3:
                raise GuestGone("the guest ended")
            return _run().log

    monkeypatch.setattr(module, "Session", Dies)
    monkeypatch.setattr(module, "make_world", lambda spec: world())
    monkeypatch.setattr(module, "compare", lambda a, b, cut: compare(a, a, cut))
    made = probe(make_submission({"train_gpt.py": "print(1)\n"}), ProbeOptions(smoke=False))
    answer = made.facts.answer(Question.PREFIX_INVARIANCE)
    assert len(made.trial.varied) == 1 and answer.outcome is Outcome.UNKNOWN
    assert answer.reason == "the varied run was lost: the guest ended"


def test_training_losses_that_change_by_chance_are_no_steering() -> None:
    a, other = _run(), _run(training=7.5)
    assert needed(a, [], [other]) and not needed(a, [], [_run()])
    assert data_access.ask(a, world(), (), other, _run()).outcome is Outcome.FOUND
    assert data_access.ask(a, world(), (), other, _run(training=7.25)).outcome is Outcome.UNKNOWN
    held = compare(a, other, _cut(a))
    told = ask_all(a, world(), [held], [other], control=Control(lost(_cut(a), "lost")))
    assert told[Question.DATA_ACCESS].outcome is Outcome.UNKNOWN


def test_training_that_diverges_alike_and_padding_are_no_steering() -> None:
    assert data_access.steered(_run(training=float("nan")), _run(training=float("nan"))) is None
    assert data_access.steered(_run(), _run(pad=7.5)) is None
    assert data_access.steered(_run(), _run(training=7.5)) is not None


def test_a_difference_in_losses_that_make_no_printed_score_is_less_sure() -> None:
    a = _run()
    headline = a.events[-1]
    assert headline.kind == "Printed"
    a.log.events[-1] = Event("Printed", headline.seq, {**headline.fields, "text": "val_loss:3.12345678"}, {})
    other = _run()
    for event in other.log.events:
        if event.kind == "Scored" and not event.fields["grad"]:
            event.arrays["loss"] = event.arrays["loss"] + np.float32(0.25)
    held = compare(a, other, _cut(a))
    assert a.judged is not None and not a.judged.matched and held.differs
    assert invariance(a, [held]).evidence[0].confidence is Confidence.MEDIUM


def test_a_pass_that_makes_another_figure_of_the_headline_is_not_judged() -> None:
    honest = _run()
    assert all(a.outcome is not Outcome.UNKNOWN for q, a in ask_all(honest, world(), []).items() if q in SINGLE)
    headline = honest.events[-1]
    loss, bpb = (float(word.split(":")[1]) for word in headline.fields["text"].split()[1:])
    text = f"final_exact val_loss:{loss * 0.99:.8f} val_bpb:{bpb * 0.99:.8f} check {loss:.8f}"
    a = _run()
    a.log.events[-1] = Event("Printed", headline.seq, {**headline.fields, "text": text}, {})
    assert a.judged is not None and a.judged.matched and abs(a.judged.value - loss) < 1e-8
    told = ask_all(a, world(), [])
    assert {told[q].outcome for q in SINGLE} == {Outcome.UNKNOWN}


def test_losses_added_up_backwards_do_not_test_whether_the_model_looks_ahead() -> None:
    def run(backwards: bool) -> Run:
        script, end = Script(), world().val.tokens.size
        first = script.score(1, end)
        labels = np.arange(first, first + end - 1)[:: -1 if backwards else 1]
        rng = np.random.default_rng(3)
        loss = rng.normal(7.0, 0.5, end - 1).astype(np.float32).astype(np.float64)
        script.events[0].arrays["loss"] = loss.astype(np.float32)
        script.count_in(first, loss[labels - first], 1)
        script.events[-1].arrays["labels"] = labels
        return script.print()

    for backwards, outcome in ((False, Outcome.CLEAR), (True, Outcome.UNKNOWN)):
        a = run(backwards)
        held = compare(a, run(backwards), _cut(a))
        assert invariance(a, [replace(held, compared=max(1, held.compared), problem="")]).outcome is outcome


SINGLE = (Question.COVERAGE, Question.NORMALISATION, Question.BYTE_ACCOUNTING)
NOISY = """
import glob
import numpy as np, torch, torch.nn.functional as F
path = sorted(glob.glob("./data/datasets/fineweb10B_sp1024/fineweb_val_*.bin"))[0]
tokens = torch.from_numpy(np.fromfile(path, dtype="<u2", offset=1024).astype(np.int64))
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Embedding(1024, 16), torch.nn.Linear(16, 1024))
noise = int.from_bytes(open("/dev/urandom", "rb").read(4), "little") / 2**32
total, count = 0.0, 0
with torch.no_grad():
    for low in range(0, tokens.numel() - 128, 128):
        logits = model(tokens[low:low + 128]) * (1.0 + noise)
        losses = F.cross_entropy(logits, tokens[low + 1:low + 129], reduction="none")
        total, count = total + losses.double().sum().item(), count + 128
print(f"final val_loss:{total / count:.8f}")
"""


def test_a_script_with_real_randomness_cannot_be_judged() -> None:
    pytest.importorskip("torch")
    if detect().level is Level.NONE:
        pytest.skip(f"nothing isolates here: {detect().reason}")
    made = probe(make_submission({"train_gpt.py": NOISY}), ProbeOptions(smoke=False))
    assert any(c.differs for c in made.trial.comparisons) and made.trial.control is not None
    assert any("forge" in note for note in made.facts.notes)
    answer = made.facts.answer(Question.PREFIX_INVARIANCE)
    assert answer.outcome is Outcome.UNKNOWN and "not deterministic" in answer.reason
    assert not any(file.name.startswith("prefix") for file in made.witnesses)


def test_without_a_varied_run_nothing_is_said_of_steering() -> None:
    honest = _run()
    told = ask_all(honest, world(), [])[Question.DATA_ACCESS]
    assert told.outcome is Outcome.UNKNOWN and "no varied run" in told.reason
    assert ask_all(honest, world(), [], [_run()])[Question.DATA_ACCESS].outcome is Outcome.CLEAR
