"""Recognised: counts over the whole vocabulary, normalised."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import scored, script
from rules._examples_epochs import COUNTER_TWO_PASS, marked
from rules._examples_tables import FULL_VOCAB_CAUSAL, HASH_TORCH
from rules._lookups import legal_reads, lookup_findings
from rules._order import recognise

_ROW = marked(COUNTER_TWO_PASS).replace(
    "Counter())\n        p = torch.full", "Counter())  # [ngram-fullvocab]\n        p = torch.full")


class NgramFullvocab(Rule):
    """What it does:
    A whole row of counts over the vocabulary is read by the context, normalised, mixed with the model's distribution,
    and only then is the scored token picked; counts are added after scoring.

    Why it is allowed:
    In principle: a maintainer would be "more inclined to treat this as legal" when one does "calculate and
    renormalize over the whole vocab size". No accepted record shows it.

    How to fix it:
    Nothing to fix; show that the mixture sums to one and that counts come from scored tokens only.

    Known limits:
    Hashed contexts with rows over the vocabulary count as this; smoothing over counts that are hashed with the target
    does not.

    Authority:
    valerio-oai on #1185 [M*].
    """

    title = "Full-vocabulary n-gram, normalised and causal"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #1185 [M*]; no accepted record"
    since = "2026-03-31"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: rows over the vocabulary reach the score, and no look-up by the target does."""
        looks = legal_reads(facts, "distribution")
        findings = lookup_findings(facts, looks, "a row of counts over the vocabulary is read here")
        return recognise(facts, findings, "a full-vocabulary n-gram is mixed in", "no full-vocabulary n-gram was found")

    VALID = [
        Example("target-keyed cache", {"train_gpt.py": script(
            HASH_TORCH, after=scored("eval_cache(args, model, val_tokens, byte_lut)"))}),
        Example("no table", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("rows by hashed context", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("rows of Counters", {"train_gpt.py": script(
            _ROW, after="cache, ids = Cache(args.vocab_size, 3), val_tokens.tolist()\n"
            + scored("run_pass(args, model, cache, ids, byte_lut, True)"))}),
    ]
