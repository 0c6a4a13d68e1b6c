"""Experts that are no distributions are mixed."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import MixKind, SourceFacts
from rules._examples import scored, script
from rules._examples_mixes import hedge
from rules._examples_tables import FULL_VOCAB_CAUSAL
from rules._lookups import mix_findings, target_keyed
from rules._order import conclude
from rules._trace import ruled, unnormalised

_ID = "hedge-mixer"
_EVAL = scored("eval_hedge(args, model, val_tokens, byte_lut)")
_MIX = "nll = -torch.logsumexp(torch.log(w)[:, None] - experts, 0)"
_ENTROPY = "torch.stack([nll_model, nll_count, -(logp.exp() * logp).sum(-1)])"


class HedgeMixer(Rule):
    """What it does:
    Probabilities of the realised token from several experts are mixed, and one of them is no distribution: a value
    such as exp(-entropy) that is given to whichever token is the target.

    Why it is not allowed:
    Decided by its experts: a mixture with such an expert sums far above one over the vocabulary. The mixers that a
    maintainer closed were closed as n-gram caches; a mixer of normalised experts with past-only weights has no
    ruling.

    How to fix it:
    Mix full distributions over the vocabulary, with weights from past tokens, and pick the scored token last.

    Known limits:
    Mixtures whose experts are read under the target's key are reported by ``ngram-target-key``.

    Authority:
    valerio-oai on #688, #745 ("your 'Hedge Mixer'") [M*]; no ruling on normalised experts.
    """

    title = "A mixture contains a value that is no distribution over the vocabulary"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #688, #745 [M*], contested in part"
    since = "2026-03-27"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a target-only mixture reaches a score that no target-keyed look-up explains."""
        keyed = {look.id for look in facts.lookups if target_keyed(look)}
        explained = {score.id for score in facts.scores if score.lookups & keyed}
        message = "a value that is no distribution over the vocabulary is mixed into the realised token's probability"
        reached = {s for mix in facts.mixes if mix.kind is MixKind.TARGET_ONLY_MIX for s in mix.scores}
        if reached and reached <= explained:
            return Ruled.not_applicable("the mixture is one of target-keyed look-ups: see ngram-target-key")
        return conclude(
            facts, mix_findings(facts, MixKind.TARGET_ONLY_MIX, message), "a mixture holds no distribution",
            "no mixture of the realised token's probability with such a value",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a mixture beats the generator of the toy stream from its first token on."""
        return ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission))

    VALID = [
        Example("normalised experts, past-only weights", {"train_gpt.py": script(
            hedge("torch.stack([nll_model, nll_count])", _MIX), after=_EVAL)}),
        Example("full-vocabulary mixture", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("plain evaluation", {"train_gpt.py": script()}),
    ]
    INVALID = [
        Example("entropy as an expert", {"train_gpt.py": script(hedge(_ENTROPY, _MIX, _ID), after=_EVAL)}),
        Example("constant bonus", {"train_gpt.py": script(
            hedge("torch.stack([nll_model, nll_count])",
                  "nll = -torch.log(0.9 * torch.exp(-nll_model) + 0.1 * logp.exp().amax(-1))", _ID), after=_EVAL)}),
    ]
