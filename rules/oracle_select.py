"""The better of two predictions is chosen after the token is known."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.source.facts import MixKind, SourceFacts
from rules._examples import scored, script
from rules._examples_mixes import hedge, oracle
from rules._examples_tables import FULL_VOCAB_CAUSAL
from rules._lookups import mix_findings
from rules._order import conclude
from rules._trace import ruled, unnormalised

_ID = "oracle-select"
_EVAL = scored("eval_oracle(args, model, val_tokens, byte_lut)")


class OracleSelect(Rule):
    """What it does:
    For each token the lower of two losses is kept, or the expert is chosen by the probability it gives to the token
    that occurred.

    Why it is not allowed:
    Keeping "whichever gives the lower loss on the true next token" is "effectively peeking at the correct token"
    instead of "committing to a single prediction rule in advance".

    How to fix it:
    Choose or weigh the experts by something known before the token: entropy, counts of the context, past losses.

    Known limits:
    A choice tuned offline on dumped validation losses and shipped as a constant cannot be seen in the source.

    Authority:
    valerio-oai on #659 [M*]; cocohearts on #2098 ("validation-outcome tuning") [M*].
    """

    title = "The better of several predictions is chosen with the outcome known"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "valerio-oai on #659 [M*]; cocohearts on #2098 [M*]"
    since = "2026-03-25"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: the best of several losses per token reaches a reported score."""
        message = "of several losses of the same token the better one is kept here"
        return conclude(
            facts, mix_findings(facts, MixKind.BEST_OF_EXPERTS, message), "the better prediction is chosen afterwards",
            "no prediction is chosen by the loss of the token that occurred",
        )

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: the lower of two losses is counted."""
        return ruled(facts, Question.NORMALISATION, self.id(), unnormalised(submission))

    VALID = [
        Example("fixed mixture over the vocabulary", {"train_gpt.py": script(
            FULL_VOCAB_CAUSAL, after=scored("eval_ngram(args, model, val_tokens, byte_lut)"))}),
        Example("chosen by the count of the context", {"train_gpt.py": script(
            oracle("nll = torch.where(rows.sum(-1) > 50.0, nll_count, nll_model)"), after=_EVAL)}),
        Example("weights by past losses", {"train_gpt.py": script(
            hedge("torch.stack([nll_model, nll_count])", "nll = -torch.logsumexp(torch.log(w)[:, None] - experts, 0)"),
            after=scored("eval_hedge(args, model, val_tokens, byte_lut)"))}),
    ]
    INVALID = [
        Example("torch.minimum of two losses", {"train_gpt.py": script(
            oracle("nll = torch.minimum(nll_model, nll_count)", _ID), after=_EVAL)}),
        Example("torch.where on the losses", {"train_gpt.py": script(
            oracle("nll = torch.where(nll_count < nll_model, nll_count, nll_model)", _ID), after=_EVAL)}),
        Example("stack and amin", {"train_gpt.py": script(
            oracle("nll = torch.stack([nll_model, nll_count]).amin(dim=0)", _ID), after=_EVAL)}),
        Example("maximum of two probabilities", {"train_gpt.py": script(
            oracle("nll = -torch.log(torch.maximum(torch.exp(-nll_model), torch.exp(-nll_count)))", _ID),
            after=_EVAL)}),
    ]
