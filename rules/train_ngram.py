"""Counts of training text shipped in the artifact."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import scored, script
from rules._examples_tables import FULL_VOCAB_CAUSAL, train_table
from rules._order import conclude, pair_findings, pairs

_ID = "train-ngram"
_EVAL = scored("eval_with_table(args, model, val_tokens, byte_lut, table)")
_IN_CLOCK = '''\
table = count_pairs(stream, args, 64)
for step in range(args.iterations):
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()
'''


class TrainNgram(Rule):
    """What it does:
    Counts of training text are made while training, shipped with the artifact, and mixed into the scores.

    Why it is not allowed:
    Allowed in principle by the README when the bits are paid for in the artifact, but every case seen looked the
    counts up under the target's key; there is no accepted example.

    How to fix it:
    Normalise over the vocabulary, pay for the table's bytes, and count before the training clock stops.

    Known limits:
    Tables read from training shards after training are reported by ``train-data-at-eval``.

    Authority:
    README O7 [M]; no ruling on a normalised look-up; #982 closed for its keys [M-q].
    """

    title = "Counts of training text are mixed into the scores"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "README O7 [M]; #982 [M-q]; no accepted example"
    since = "2026-03-27"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a table filled from training tokens while training reaches a score."""
        late = any(
            read.origin is Origin.TRAIN and read.after_training and read.feeds is StateKind.TABLE
            for read in facts.reads
        )
        told = pairs(facts, StateKind.TABLE, origin=Origin.TRAIN)
        findings = [] if late else pair_findings(told, "counts of training text are made here and reach the scores")
        return conclude(
            facts, findings, "counts of training text are mixed into the scores",
            "no counts of training text reach the scores",
        )

    VALID = [
        Example("no table", {"train_gpt.py": script()}),
        Example("counts of validation text as it is scored", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("read after training: another rule's", {"train_gpt.py": script(
            train_table(), after="table = count_pairs(stream, args, 64)\n" + _EVAL)}),
    ]
    INVALID = [
        Example("counted before the training loop", {"train_gpt.py": script(
            train_table(_ID), train=_IN_CLOCK, after=_EVAL)}),
    ]
