"""A table is looked up under a key that contains the token being scored."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._examples import PLAIN_RUN, scored, script
from rules._examples_tables import (
    BIGRAM_EMBED,
    DICT_CACHE,
    FULL_KEY_TRAIN_ONLY,
    FULL_VOCAB_CAUSAL,
    HASH_HIDDEN,
    HASH_NUMPY,
    HASH_TORCH,
    HINT_INLINE,
)
from rules._lookups import lookup_findings, target_keyed
from rules._order import conclude
from rules._trace import ruled, unnormalised

_EVAL = scored("eval_cache(args, model, val_tokens, byte_lut)", "final_ngram_exact")
_FLAG = 'ngram_order = int(os.environ.get("NGRAM_EVAL_ORDER", "0"))\n'
_GATED = (
    "if args.ngram_order >= 2:\n"
    "    val_loss, val_bpb = eval_cache(args, model, val_tokens, byte_lut)\n"
    "else:\n"
    "    val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)\n"
    'log0(f"final_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")\n'
)
_PRESET = (
    'preset = os.environ.get("MODEL_PRESET", "control")\n'
    'ngram_order = {"control": 0, "frontier": 4}[preset]\n'
)
_HASH_UNMARKED = HASH_NUMPY.replace("  # [ngram-target-key]", "")


class NgramTargetKey(Rule):
    """What it does:
    A count is read under a key made of the context and the token that is being scored, divided by a count of the
    context, and mixed into the probability of that token only. With hash collisions the ratio tends to one for any
    token; what is scored is no distribution over the vocabulary.

    Why it is not allowed:
    Such caches "do not renormalize correctly" and "look ahead to the target token to mix probabilities and therefore
    leak eval tokens".

    How to fix it:
    Compute the mixture for every token of the vocabulary from the context alone, normalise it, and only then pick
    the scored token.

    Known limits:
    Hashes of input tokens that index an embedding are legal and are not look-ups in this sense. A key whose making
    cannot be followed is not reported.

    Authority:
    valerio-oai on #779 (27 March) and with the same words on some 25 others; #993, #1026, #677 [M, M*].
    """

    title = "A table is looked up under a key that contains the scored token"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #779, #993, #1026 [M*], #677 [M]"
    since = "2026-03-27"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a look-up by the target reaches a reported score."""
        looks = [look for look in facts.lookups if target_keyed(look)]
        message = "this look-up's key contains the token whose probability the value becomes"
        return conclude(
            facts, lookup_findings(facts, looks, message), "a table is looked up under the token that is scored",
            "no look-up under a key that contains the scored token reaches a score",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a cache of scored tokens beats the generator of the toy stream."""
        return ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission))

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("bigram hash as an input embedding", {"train_gpt.py": script(
            BIGRAM_EMBED, before="model = BigramGPT(args.vocab_size, args.model_dim)\n")}),
        Example("full-vocabulary counts", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("hint from the context alone", {"train_gpt.py": script(
            HINT_INLINE, after=scored("eval_tilted(args, model, val_tokens, byte_lut)"))}),
        Example("order 0 switches the cache off", {
            "train_gpt.py": script(_HASH_UNMARKED, flags=_FLAG, after=_GATED),
            "README.md": PLAIN_RUN}),
        Example("preset switches the cache off", {"train_gpt.py": script(_HASH_UNMARKED, flags=_PRESET, after=_GATED)}),
        Example("target in the key of training statistics only", {"train_gpt.py": script(
            FULL_KEY_TRAIN_ONLY, before='np.save("train_stats.npy", train_statistics(stream, args))\n')}),
        Example("defined, never called", {"train_gpt.py": script(_HASH_UNMARKED)}),
    ]
    INVALID = [
        Example("hashed back-off cache in numpy", {"train_gpt.py": script(HASH_NUMPY, after=_EVAL)}),
        Example("torch tables and scatter_add_", {"train_gpt.py": script(HASH_TORCH, after=_EVAL)}),
        Example("tuples in dictionaries", {"train_gpt.py": script(DICT_CACHE, after=_EVAL)}),
        Example("one-line methods, variadic hash", {"train_gpt.py": script(HASH_HIDDEN, after=_EVAL)}),
        Example("order set by the run script", {
            "train_gpt.py": script(HASH_NUMPY, flags=_FLAG, after=_GATED),
            "run.sh": "export NGRAM_EVAL_ORDER=4\ntorchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("preset set in the README", {
            "train_gpt.py": script(HASH_NUMPY, flags=_PRESET, after=_GATED),
            "README.md": "Run:\n\n```\nMODEL_PRESET=frontier torchrun --nproc_per_node=8 train_gpt.py\n```\n"}),
        Example("together with an innocent bigram embedding", {"train_gpt.py": script(
            BIGRAM_EMBED + HASH_TORCH, before="model = BigramGPT(args.vocab_size, args.model_dim)\n", after=_EVAL)}),
    ]
