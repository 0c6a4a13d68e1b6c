"""The text is normalised so that the original bytes cannot be had back from the token ids."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._metric import HEAD, source_finding

_SP = "sp = spm.SentencePieceProcessor()\n"
_TRAINER = "spm.SentencePieceTrainer.train(input='a', normalization_rule_name='nmt_nfkc_cf')"
_HELPER = '''
import unicodedata
def clean(t):
    return unicodedata.normalize("NFKC", t)
def run(sp, docs):
    for doc in docs:
        text = clean(doc)
        yield sp.encode_as_ids(text)'''
_M = "  # [tokenizer-lossy-norm]"


class TokenizerLossyNorm(Rule):
    """What it does:
    Looks for text that is case-folded, lower-cased or NFKC-normalised before it is tokenized, for tokenizers trained
    with a folding rule, and for data sets and tokenizer models that are named after it.

    Why it is not allowed:
    Disputed. The text that is predicted is not the official one: letters that cost bits there are free here, and the
    bytes of the original cannot be reproduced from the ids. Others hold that only the byte count matters.

    How to fix it:
    Use a reversible transformation with the original byte counts beside it (``caseops-sidecar``).

    Known limits:
    A name is a hint and no proof; data prepared elsewhere shows nothing in the folder.

    Authority:
    None: issue #1604 is open; no such row stands on the leaderboard.
    """

    title = "Lossy normalisation of the text (case folding, NFKC)"
    ruling = Ruling.DISPUTED
    kind = Kind.INTEGRITY
    authority = "issue #1604, open"
    since = "2026-04-12"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: folded text is tokenized, or the data are named after it."""
        found = [
            source_finding(Confidence.MEDIUM if x.call == "name" else Confidence.HIGH, x.what, x.file, x.line)
            for x in facts.metric.lossy
        ]
        if found:
            return Ruled.found(found, "the text is normalised with loss")
        return Ruled.clear("no folding of the text was seen in the folder's code")

    VALID = [
        Example("no folding", {"train_gpt.py": HEAD + _SP + "ids = sp.encode(open('a').read())\n"}),
        Example("lower-casing of a flag", {
            "train_gpt.py": HEAD + "mode = os.environ.get('MODE', 'A').lower()\nraw = mode.encode('utf-8')\n"}),
    ]
    INVALID = [
        Example("casefold before encode", {
            "train_gpt.py": HEAD + _SP + "ids = sp.encode(open('a').read().casefold())" + _M + "\n"}),
        Example("helper that folds", {
            "train_gpt.py": HEAD + _HELPER + _M + "\n"}),
        Example("named after it", {
            "train_gpt.py": HEAD + "path = './data/datasets/fineweb_sp8192_casefold_v2'" + _M + "\n"}),
        Example("trainer rule", {
            "train_gpt.py": HEAD + _TRAINER + _M + "\n"}),
    ]
