"""Training shards are read after training and reach state that scores."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import scored, script
from rules._examples_calib import HESSIANS, TRAIN_BATCHES, mark
from rules._examples_tables import train_table
from rules._order import conclude, distinct, place
from rules._trace import data_rule, ruled

_ID = "train-data-at-eval"
_EVAL = scored("eval_with_table(args, model, val_tokens, byte_lut, table)")
_REPLAY = '''\
for _ in range(50):
    x, y = stream.next_batch(8, args.seq_len)  # [train-data-at-eval]
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()
'''


class TrainDataAtEval(Rule):
    """What it does:
    After the training loop has ended, training shards are read to fill tables or to train further.

    Why it is not allowed:
    Training data may not be used at evaluation "unless you pay for those bits in the <16MB limit".

    How to fix it:
    Do it inside the training clock and store the result in the artifact.

    Known limits:
    Calibration of a quantiser has a practice of its own: see ``gptq-train-after-cap``.

    Authority:
    README O3, O7 [M].
    """

    title = "Training shards are read after training"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O3, O7 [M]"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a read of training shards after training feeds a table (high) or weights (medium)."""
        findings = []
        for read in facts.reads:
            late = read.origin is Origin.TRAIN and read.after_training
            if late and read.feeds in (StateKind.TABLE, StateKind.WEIGHTS, StateKind.VECTOR):
                certain = read.feeds is StateKind.TABLE and not read.guard
                level = Confidence.HIGH if certain else Confidence.MEDIUM
                message = f"training shards are read here after training and reach {read.feeds.value} state"
                findings.append(Finding(level, message, place(read.site), read.path))
        return conclude(
            facts, distinct(findings), "training shards are read after training",
            "no training shards are read after training for tables or weights",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: training text read after the artifact was written."""
        return ruled(facts, Question.DATA_ACCESS, self.id(), data_rule)

    VALID = [
        Example("plain training", {"train_gpt.py": script()}),
        Example("calibration: another rule's", {"train_gpt.py": script(
            mark(HESSIANS + TRAIN_BATCHES), hessians="collect_hessians(model, train_batches(args, stream, 16))")}),
    ]
    INVALID = [
        Example("table prefilled at evaluation", {"train_gpt.py": script(
            train_table(read=_ID), after="table = count_pairs(stream, args, 64)\n" + _EVAL)}),
        Example("more training after the clock", {"train_gpt.py": script(before=_REPLAY)}),
    ]
