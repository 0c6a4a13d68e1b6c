"""Tokens are scored again with state built from them."""

from __future__ import annotations

import re

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import Order, SourceFacts, StateKind
from rules._examples import TTT_FLAGS, logged, prequant, score_first, scored, script
from rules._examples_epochs import (
    CACHE_FILE,
    COUNTER_TWO_PASS,
    PREBUILT_TABLE,
    RESCORE_WEIGHTS,
    marked,
)
from rules._examples_tables import FULL_VOCAB_CAUSAL, HINT_SWEEP
from rules._order import conclude, pair_findings, pairs, scored_in_pass, trains_on_val
from rules._trace import order_ruled

_ID = "rescore-two-pass"
_LABEL = re.compile(r"two.?pass|2.?pass|re-?score|pass[ _]?2", re.I)

_TWICE = '''\
sweep(args, model, val_tokens, byte_lut, True)
val_loss, val_bpb = sweep(args, model, val_tokens, byte_lut, False)
log0(f"final_ttt_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_ONCE = '''\
val_loss, val_bpb = sweep(args, model, val_tokens, byte_lut, True)
log0(f"final_ttt_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_ONCE_THEN_DIAGNOSTIC = _ONCE + '''\
again, again_bpb = sweep(args, model, val_tokens, byte_lut, False)
log0(f"DIAGNOSTIC after_ttt val_loss:{again:.4f} val_bpb:{again_bpb:.4f} (not claimed)")
'''
_REEVALUATED = scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)", "first_pass") + scored(
    "eval_val(args, model, val_tokens, byte_lut)", "final_exact")
_COUNTER_TWO = '''\
cache, ids = Cache(args.vocab_size, 3), val_tokens.tolist()
run_pass(args, model, cache, ids, byte_lut, True)
val_loss, val_bpb = run_pass(args, model, cache, ids, byte_lut, False)
log0(f"ngram_two_pass_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_COUNTER_ONE = '''\
cache, ids = Cache(args.vocab_size, 3), val_tokens.tolist()
val_loss, val_bpb = run_pass(args, model, cache, ids, byte_lut, True)
log0(f"final_cache_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''
_PASSES = '''\
cache, ids = Cache(args.vocab_size, 3), val_tokens.tolist()
for pass_index in range(int(os.environ.get("PASSES", "1"))):
    val_loss, val_bpb = run_pass(args, model, cache, ids, byte_lut, True)
log0(f"final_cache_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''


class RescoreTwoPass(Rule):
    """What it does:
    A first pass over the validation tokens builds state from them (weights, an n-gram cache, a count table); a
    second pass scores the same tokens again with that state, and the second score is reported. Building the whole
    table first and then scoring with it is the same.

    Why it is not allowed:
    "On the second pass you're evaling tokens you've trained on in the first."

    How to fix it:
    One left-to-right pass: score each token with the state made of tokens before it, then update, and report that
    score.

    Known limits:
    Tables read back from a file of an earlier process are seen only where the writing is seen. Which of several
    printed scores is the headline is decided elsewhere; scores labelled diagnostic are ignored here.

    Authority:
    valerio-oai on #846, #868, #869, #870, #881, #888, #893, #907, #959, #991 [M*].
    """

    title = "Tokens are scored again with state built from them"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #846, #868, #869, #870, #881, #888, #893, #907, #959, #991 [M*]"
    since = "2026-03-26"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: state from a scoring pass reaches the score of a later pass over the same tokens."""
        early = (Order.EARLIER_PASS, Order.REPEATED, Order.TRAIN_FIRST)
        tables = [pair for pair in pairs(facts, StateKind.TABLE) if pair.order in early]
        weights = [
            pair for pair in pairs(facts, StateKind.WEIGHTS)
            if pair.order is Order.EARLIER_PASS and scored_in_pass(facts, pair.update)
            and not trains_on_val(facts, pair.update)
        ]
        findings = pair_findings(tables + weights, "state is built here from validation tokens that are scored with it")
        return conclude(
            facts, findings, "tokens are scored with state that was built from them",
            "no state built from validation tokens reaches a later score of the same tokens",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found, suggestive only: the headline is logged under a label that names a second pass."""
        findings = [
            Finding(Confidence.LOW, f"the headline is logged as {label!r}", at)
            for label, at in facts.metric.logged_as if _LABEL.search(label)
        ]
        if findings:
            return Ruled.found(findings, "the headline's label names a second pass")
        return Ruled.not_applicable("no label of the headline names a second pass")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: an earlier pass over the same tokens left something behind."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("one score-first pass", {"train_gpt.py": script(marked(RESCORE_WEIGHTS), after=_ONCE)}),
        Example("second pass labelled diagnostic", {"train_gpt.py": script(
            marked(RESCORE_WEIGHTS), after=_ONCE_THEN_DIAGNOSTIC)}),
        Example("cache filled as it scores", {"train_gpt.py": script(marked(COUNTER_TWO_PASS), after=_COUNTER_ONE)}),
        Example("passes default to one", {"train_gpt.py": script(marked(COUNTER_TWO_PASS), after=_PASSES)}),
        Example("full-vocabulary counts, causal", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("hints from one sweep before scoring", {"train_gpt.py": script(
            HINT_SWEEP, after=scored("eval_tilted(args, model, val_tokens, byte_lut)"))}),
        Example("plain pre-quant training is another rule's", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS, before="ttt_adapt(args, model, val_tokens, log0)\n")}),
    ]
    INVALID = [
        Example("weights of a first sweep score a second", {"train_gpt.py": script(
            marked(RESCORE_WEIGHTS, _ID), after=_TWICE)}),
        Example("re-evaluation after score-first training", {"train_gpt.py": script(
            score_first(_ID), flags=TTT_FLAGS, after=_REEVALUATED)}),
        Example("Counter cache, two passes", {"train_gpt.py": script(
            marked(COUNTER_TWO_PASS, _ID), after=_COUNTER_TWO)}),
        Example("pass loop turned on by the run script", {
            "train_gpt.py": script(marked(COUNTER_TWO_PASS, _ID), after=_PASSES),
            "run.sh": "PASSES=2 torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("table of everything, then scores", {"train_gpt.py": script(
            marked(PREBUILT_TABLE, _ID), after=scored("eval_mixed(args, model, val_tokens, byte_lut)"))}),
        Example("cache file of an earlier process", {"train_gpt.py": script(
            marked(CACHE_FILE), after=scored("eval_cached(args, model, val_tokens, byte_lut)"))},
            misses="the table comes from a file that an earlier run wrote: one run alone is score-first"),
        Example("headline labelled as a second pass", {
            "train_gpt.py": script(), **logged("ngram_two_pass_exact")}, expect=("train_seed42.log:6",)),
    ]


