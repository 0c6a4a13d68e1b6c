"""The questions on hand-made events: each is shown finding its fault and clearing the honest form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.behaviour.facts import HABITS, Answer, Cause, Question
from auditor.behaviour.host import RunLog
from auditor.behaviour.questions import (
    byte_accounting,
    coverage,
    data_access,
    normalisation,
    round_trip,
    score_before_update,
)
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE
from auditor.behaviour.toyworld.spec import World, WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.wire import Event
from auditor.core.types import Confidence, Outcome

ROW = 64
CLEAR = Answer(Question.PREFIX_INVARIANCE, Outcome.CLEAR, "")
FOUND = Answer(Question.PREFIX_INVARIANCE, Outcome.FOUND, "")


@cache
def world() -> World:
    """A small toy world."""
    return make_world(WorldSpec(val_tokens=2049, train_tokens=4096, train_shards=1))


@dataclass
class Script:
    """Writes the events that a script would make."""

    events: list[Event] = field(default_factory=list)
    scores: int = 0
    total: float = 0.0
    count: int = 0
    bytes: int = 0

    def add(self, kind: str, arrays: dict[str, NDArray[Any]] | None = None, **fields: Any) -> int:
        """One event; its number."""
        self.events.append(Event(kind, len(self.events), fields, arrays or {}))
        return len(self.events) - 1

    def score(self, low: int, high: int, loss: NDArray[np.float64] | None = None, line: int = 10, **more: Any) -> int:
        """Scores of positions low..high-1; the number of the first."""
        targets = world().val.tokens[low:high].astype(np.int32)
        losses = np.full(high - low, 7.0) if loss is None else loss
        first = self.scores
        self.scores += high - low
        fields = {"first": first, "how": "cross_entropy", "grad": more.pop("grad", False), "shape": [1, high - low]}
        site = ["train_gpt.py", line, more.pop("function", "evaluate")]
        self.add("Scored", {"targets": targets, "loss": losses.astype(np.float32)}, **fields, site=site, **more)
        return first

    def score_rows(self, starts: list[int]) -> int:
        """Scores of several rows in one call; the number of the first."""
        where = np.concatenate([np.arange(low, low + ROW) for low in starts])
        first, self.scores = self.scores, self.scores + where.size
        fields = {"first": first, "how": "cross_entropy", "grad": False, "shape": [len(starts), ROW]}
        targets, losses = world().val.tokens[where].astype(np.int32), np.full(where.size, 7.0, np.float32)
        self.add("Scored", {"targets": targets, "loss": losses}, **fields, site=["train_gpt.py", 10, "evaluate"])
        return first

    def count_again(self, first: int) -> Run:
        """Print the mean of the scores from ``first`` on, over the whole stream, alone."""
        self.total, self.count, self.bytes = 0.0, 0, 0
        self.count_in(first, np.full(self.scores - first, 7.0), 1)
        return self.print()

    def count_in(self, first: int, values: NDArray[np.float64], low: int) -> None:
        """Add scores to the printed total."""
        labels = np.arange(first, first + values.size)
        site = ["train_gpt.py", 20, "evaluate"]
        self.add("Summed", {"labels": labels, "values": values}, how="sum", site=site, total=0.0, grad=False)
        self.total += float(values.sum())
        self.count += values.size
        self.bytes += int(world().val.bytes[low : low + values.size].sum())

    def sweep(self, starts: list[int] | None = None, values: Any = None, after: Any = None) -> Script:
        """Score rows one by one; ``values(losses, positions)`` makes what counts, ``after(script, low, high)`` runs."""
        rng = np.random.default_rng(3)
        end = world().val.tokens.size
        for low in starts if starts is not None else list(range(1, end, ROW)):
            high = min(low + ROW, end)
            loss = (6.9 + 0.5 * rng.standard_normal(high - low)).astype(np.float32).astype(np.float64)
            first = self.score(low, high, loss)
            self.count_in(first, loss if values is None else values(loss, np.arange(low, high)), low)
            if after is not None:
                after(self, low, high)
        return self

    def train(self, first: int, count: int, steps: int = 1, parameters: int = 1000, before: float = 1.0) -> None:
        """A backward of scores first..first+count-1 and its step."""
        site = ["train_gpt.py", 30, "adapt"]
        none = np.zeros(0, np.int64)
        self.add("Trained", {"unused": none}, site=site, groups=[[first, count]], how="backward")
        self.add("Stepped", site=site, parameters=parameters, id=0, before=before, after=before + 1.0)

    def print(self, bpb: float | None = None, loss: float | None = None) -> Run:
        """Print the score and end."""
        mean = self.total / self.count if loss is None else loss
        true = self.total / math.log(2) / self.bytes if bpb is None else bpb
        text = f"final_exact val_loss:{mean:.8f} val_bpb:{true:.8f}"
        self.add("Printed", text=text, stream="out", site=["train_gpt.py", 40, "main"])
        log = RunLog(self.events, 0, finished={"status": "ended"})
        return Run(log, world().val, world().spec)


def test_a_plain_sweep_is_clear_everywhere() -> None:
    run = Script().sweep().print()
    assert run.judged is not None and run.judged.matched
    assert coverage.ask(run, world()).outcome is Outcome.CLEAR
    assert byte_accounting.ask(run, world()).outcome is Outcome.CLEAR
    assert normalisation.ask(run, world(), CLEAR).outcome is Outcome.CLEAR
    assert score_before_update.ask(run, world(), CLEAR).outcome is Outcome.CLEAR
    assert data_access.ask(run, world()).outcome is Outcome.CLEAR


def test_without_a_printed_score_nothing_is_clear() -> None:
    run = Run(RunLog([], 1, finished={"status": "failed", "error": "E", "message": "m"}), world().val, world().spec)
    for question in (coverage, byte_accounting, normalisation, score_before_update, data_access, round_trip):
        assert question.ask(run, world()).outcome is Outcome.UNKNOWN


# Normalisation.


def test_an_honest_scorer_never_wins_the_bet() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = rng.normal(0, 1, (400, 64))
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        token = rng.integers(0, 64, 400)
        log_e = normalisation.bet(-np.log(p[np.arange(400), token]), np.full(400, -math.log(64)))
        assert log_e < normalisation.PROOF


def test_a_mixture_with_a_gift_to_the_target_is_found() -> None:
    run = Script().sweep(values=lambda loss, _: -np.log(0.7 * np.exp(-loss) + 0.3 * 0.02)).print()
    answer = normalisation.ask(run, world(), CLEAR)
    assert answer.outcome is Outcome.FOUND
    figures = answer.evidence[0].figures
    assert figures["log_e_value"] >= normalisation.PROOF and figures["changed_early"] == 1.0
    assert normalisation.ask(run, world(), FOUND).outcome is Outcome.UNKNOWN


def test_a_normalised_mixture_is_clear() -> None:
    run = Script().sweep(values=lambda loss, _: -np.log(0.7 * np.exp(-loss) + 0.3 * np.exp(-6.95))).print()
    assert normalisation.ask(run, world(), CLEAR).outcome is Outcome.CLEAR


def test_a_scaled_loss_is_found_as_such() -> None:
    run = Script().sweep(values=lambda loss, _: 0.98 * loss).print()
    answer = normalisation.ask(run, world(), CLEAR)
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].figures["scale"] == pytest.approx(0.98)


def test_the_better_of_two_is_found() -> None:
    run = Script().sweep(values=lambda loss, _: np.minimum(loss, 6.93)).print()
    answer = normalisation.ask(run, world(), CLEAR)
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].figures["never_worse"] == 1.0


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_another_stream_is_judged_only_where_its_scores_could_be_placed(share: float) -> None:
    """What can be placed where the order hangs on the text is chosen by what it is."""
    first = Script().sweep().print()
    first.source = "ngram_cache"
    again = Script().sweep(values=lambda loss, _: -np.log(0.7 * np.exp(-loss) + 0.3 * 0.02)).print()
    positions = again.scores.position
    lost = np.random.default_rng(0).random(positions.size) < share
    again.scores = replace(again.scores, position=np.where(lost, NOWHERE, positions))
    answer = normalisation.ask(first, world(), CLEAR, again)
    assert answer.outcome is (Outcome.UNKNOWN if share else Outcome.FOUND)
    assert {one.stream for one in answer.evidence} <= {HABITS}


def test_another_stream_that_was_wanted_and_tells_nothing_is_no_pass() -> None:
    first, plain = Script().sweep().print(), Script().sweep().print()
    crashed = Run(RunLog([], 1, finished={"status": "failed", "error": "KeyError", "message": "x", "frames": []}),
                  world().val, world().spec)  # fmt: skip
    assert normalisation.ask(first, world(), CLEAR).outcome is Outcome.CLEAR  # nothing of a cache: not wanted
    first.source = "ngram_cache"
    assert normalisation.undecided(first)
    assert normalisation.ask(first, world(), CLEAR, plain).outcome is Outcome.CLEAR
    for habits in (None, crashed):
        answer = normalisation.ask(first, world(), CLEAR, habits)
        assert answer.outcome is Outcome.UNKNOWN and "repeats itself" in answer.reason


def test_too_few_mixed_scores_decide_nothing() -> None:
    def few(loss: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(positions < 40, loss + 0.01, loss)

    assert normalisation.ask(Script().sweep(values=few).print(), world(), CLEAR).outcome is Outcome.UNKNOWN


def test_a_printed_loss_below_the_generator_is_found_without_a_pass() -> None:
    script = Script().sweep()
    bpb = 5.0 * script.count / math.log(2) / script.bytes
    answer = normalisation.ask(script.print(bpb, 5.0), world(), CLEAR)
    assert answer.outcome is Outcome.FOUND and answer.evidence[0].confidence is Confidence.HIGH
    script = Script().sweep()
    assert normalisation.ask(script.print(2.6, 7.2), world(), CLEAR).outcome is Outcome.UNKNOWN


# Coverage.


def test_left_out_rows_are_found_and_the_tail_is_not() -> None:
    end = world().val.tokens.size
    rows = list(range(1, end, ROW))
    answer = coverage.ask(Script().sweep(rows[:10] + rows[14:]).print(), world())
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].figures["missing"] >= 4 * ROW - 5
    limits = [("VAL_DOCS", "50000", "20", "docs")]
    assert coverage.ask(Script().sweep(rows[:10] + rows[14:]).print(), world(), limits).outcome is Outcome.UNKNOWN
    ragged = [row for row in rows if row + ROW < end]
    assert coverage.ask(Script().sweep(ragged).print(), world()).outcome is Outcome.CLEAR


def test_what_the_first_window_never_scores_is_no_gap() -> None:
    end = world().val.tokens.size
    answer = coverage.ask(Script().sweep(list(range(1 + ROW, end, ROW))).print(), world())
    assert answer.outcome is Outcome.CLEAR
    assert "ends" in answer.reason
    assert coverage.ask(Script().sweep(list(range(1 + 4 * ROW, end, ROW))).print(), world()).outcome is Outcome.FOUND


def test_a_score_that_was_placed_wrongly_is_no_gap() -> None:
    run = Script().sweep().print()
    assert run.judged is not None
    run.judged.positions[1000] = 40
    assert coverage.ask(run, world()).outcome is Outcome.CLEAR


def test_rows_counted_twice_are_found() -> None:
    rows = list(range(1, world().val.tokens.size, ROW))
    twice = Script().sweep(rows[:8] + rows)
    run = twice.print()
    if run.judged is not None and run.judged.matched:
        assert coverage.ask(run, world()).outcome is Outcome.FOUND


def test_a_total_divided_by_another_count_is_found() -> None:
    script = Script().sweep()
    answer = coverage.ask(script.print(None, script.total / 2200), world())
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].figures["divisor"] == 2200


# Bytes.


def test_wrong_bytes_are_found_with_the_corrected_figure() -> None:
    script = Script().sweep()
    true = script.total / math.log(2) / script.bytes
    answer = byte_accounting.ask(script.print(true * 0.9), world())
    assert answer.outcome is Outcome.FOUND
    figures = answer.evidence[0].figures
    assert figures["true_bpb"] == pytest.approx(true, rel=1e-6)
    assert figures["stated_bpb"] == pytest.approx(true * 0.9, rel=1e-6)


def test_wrong_bytes_are_not_excused_by_a_missing_loss() -> None:
    script = Script().sweep()
    true = script.total / math.log(2) / script.bytes
    script.add("Printed", text=f"final val_bpb: {true * 0.97:.6f}", stream="out", site=["train_gpt.py", 41, "main"])
    run = Run(RunLog(script.events, 0, finished={"status": "ended"}), world().val, world().spec)
    assert byte_accounting.ask(run, world()).outcome is not Outcome.CLEAR


def test_bytes_of_tokens_that_were_not_seen_are_not_held_against_the_whole_stream() -> None:
    def answer(factor: float) -> Outcome:
        script = Script().sweep()
        loss = 0.9 * script.total / script.count
        bpb = factor * loss * script.count / math.log(2) / script.bytes
        return byte_accounting.ask(script.print(bpb, loss), world()).outcome

    assert answer(1.002) is Outcome.UNKNOWN
    assert answer(0.85) is Outcome.FOUND


def test_causes_of_wrong_bytes_are_told() -> None:
    run = Script().sweep().print()
    size, count = int(world().val.bytes[1:].sum()), world().val.tokens.size - 1
    spaces = int(byte_accounting._spaces(world())[world().val.tokens[1:].astype(int)].sum())

    def code(implied: float) -> int:
        return byte_accounting.likely_cause(run, world(), implied, count, size)[1]

    assert code(size + spaces) == byte_accounting.DOUBLE_SPACE
    assert code(size - spaces) == byte_accounting.NO_SPACE
    assert code(2.5 * count) == byte_accounting.CONSTANT
    assert code(1.0373717 * size) == byte_accounting.OTHER
    assert code(2.4367 * count) == byte_accounting.CONSTANT
    whole = (size + extra for extra in range(size // 2, size))
    assert code(next(n for n in whole if abs(n / count - round(n / count, 4)) < 1e-6)) == byte_accounting.OTHER


# Order.


def trains(script: Script, low: int, high: int) -> None:
    first = script.score(low, high, grad=True, line=31, function="adapt")
    script.train(first, high - low)


def test_training_after_the_score_is_clear_and_recognised() -> None:
    run = Script().sweep(after=trains).print()
    answer = score_before_update.ask(run, world(), CLEAR)
    assert answer.outcome is Outcome.CLEAR
    assert answer.evidence[0].figures["score_first"] == 1.0


def test_one_token_too_many_is_found() -> None:
    def ahead(script: Script, low: int, high: int) -> None:
        trains(script, low, min(high + 1, world().val.tokens.size))

    answer = score_before_update.ask(Script().sweep(after=ahead).print(), world(), CLEAR)
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].cause is Cause.TRAINED_IN_PASS
    assert answer.evidence[0].figures["tokens"] == 31
    assert [s.line for s in answer.evidence[0].path] == [30, 30, 10]


def test_losses_with_no_weight_in_the_backward_do_not_count() -> None:
    def masked(script: Script, low: int, high: int) -> None:
        top = min(high + 1, world().val.tokens.size)
        first = script.score(low, top, grad=True, line=31)
        script.add("Trained", {"unused": np.array([first + top - low - 1])}, site=["train_gpt.py", 30, "adapt"],
                   groups=[[first, top - low]], how="backward")  # fmt: skip
        script.add("Stepped", site=["train_gpt.py", 30, "adapt"], parameters=9, id=0, before=1.0, after=2.0)

    assert score_before_update.ask(Script().sweep(after=masked).print(), world(), CLEAR).outcome is Outcome.CLEAR


def test_training_before_the_pass_hangs_on_prefix_invariance() -> None:
    script = Script()
    trains(script, 1, 65)
    run = script.sweep().print()
    assert score_before_update.ask(run, world(), None).outcome is Outcome.UNKNOWN
    assert score_before_update.ask(run, world(), CLEAR).outcome is Outcome.CLEAR
    assert score_before_update.ask(run, world(), FOUND).outcome is Outcome.FOUND


def test_restored_weights_are_no_update() -> None:
    script = Script()
    trains(script, 1, 65)
    script.score(1, 65, weights=[[0, 1.0]])
    assert score_before_update.ask(script.sweep().print(), world(), None).outcome is Outcome.CLEAR
    script = Script()
    trains(script, 1, 65)
    script.score(1, 65, weights=[[0, 1.5]])
    assert score_before_update.ask(script.sweep().print(), world(), None).outcome is Outcome.UNKNOWN
