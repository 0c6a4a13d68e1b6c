"""The table of bytes per token gives some tokens more bytes than they have."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import SourceFacts
from rules._metric import ADDS, CANONICAL_BYTES, EVAL_BYTES, HEAD, is_caseops, source_finding
from rules._record import folder, log
from rules._trace import bytes_rule, ruled

_LUTS = '''
def build_luts(sp, vocab_size, device):
    base = np.zeros((vocab_size,), dtype=np.int16)
    lead = np.zeros((vocab_size,), dtype=np.bool_)
    bound = np.ones((vocab_size,), dtype=np.bool_)
    for i in range(int(sp.vocab_size())):
        if sp.is_control(i) or sp.is_unknown(i) or sp.is_unused(i):
            continue
        bound[i] = False
        piece = sp.id_to_piece(i)
        if piece.startswith("\\u2581"):
            lead[i] = True
            piece = piece[1:]
        base[i] = {size}
    return torch.tensor(base), torch.tensor(lead), torch.tensor(bound)
'''
_M = "  # [bpb-token-bytes]"


EARLIER_EXPORTS = frozenset({63_779_840, 62_363_648})
"""Validation tokens of the exports that the first baselines were scored on (issue #837 of the competition), which had
the vocabulary of 1,024 pieces; the same count under another vocabulary is another text's."""


ANOTHER_TEXT = 0.25
"""Share of bytes too many from which on no miscount of the official text explains them."""


class BpbTokenBytes(Rule):
    """What it does:
    Three checks. A shipped table of bytes per token that gives three bytes (the length of U+FFFD) to single-byte
    tokens. A table built in the code that counts the name of a byte token (``<0x41>``, six characters) where the
    evaluation uses it. And a log whose loss, bits per byte and number of validation tokens imply more bytes than the
    official validation text has.

    Why it is not allowed:
    The denominator counts bytes that the text does not have, so the score is too low by the same share.

    How to fix it:
    Give one byte to a byte token, and check the sum over the validation set against the bytes of the decoded text.

    Known limits:
    Vocabularies that are not ordered by length hide the first fault. The implied bytes tell only that the denominator
    is too large, not why; from a quarter too many on the validation set itself is in question.

    Authority:
    Merged #1184 was removed as invalid over it (26 April) [M-git]; #1143 withdrawn.
    """

    title = "Tokens are given more bytes than they have"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "removal of #1184 from the leaderboard [M-git]; README O13 [M]"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a shipped table with tripled byte tokens, or a built one that counts their names."""
        metric = facts.metric
        found = [
            Finding(
                Confidence.HIGH,
                f"{t.key!r} gives three bytes, the length of U+FFFD, to {t.tripled} single-byte tokens of {t.tokens}",
                Place(file=t.file))
            for t in metric.shipped if t.tripled
        ]
        bad = {(a.table.file, a.table.line): a for a in metric.space_added if (a.table.byte_token or 1) > 1}
        found += [
            source_finding(
                Confidence.MEDIUM, f"a byte token is counted as {a.table.byte_token} bytes by {a.table.function}",
                file, line, a.path)
            for (file, line), a in bad.items()
        ]
        if found:
            return Ruled.found(found, "the table of bytes per token is wrong")
        if metric.tables or metric.shipped:
            return Ruled.clear("byte tokens have one byte in the tables that were seen")
        return Ruled.not_applicable("no table of bytes per token was seen")

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: the logs imply at least 2 per cent more bytes than the official text has.

        A few per cent are bytes counted twice; a quarter and more is another text, or a table that fits none.
        """
        metric = facts.metric
        if metric.ratio is None or metric.scored_bytes is None:
            return Ruled.not_applicable("the logs do not state loss, bits per byte and validation tokens")
        share = metric.scored_bytes / CANONICAL_BYTES - 1
        if is_caseops(facts) or share <= 0.02:
            return Ruled.clear(f"the scores imply {metric.scored_bytes / 1e6:.2f} million bytes")
        tokens = {int(figure.value) for run in facts.judged() for figure in run.val_tokens}
        if tokens & EARLIER_EXPORTS and facts.metric.vocab in (None, 1024):
            return Ruled.clear("the validation text is an earlier public export, with more tokens than the later one")
        last = metric.ratios[-1]
        message = (
            f"{last.label}: {last.bytes_per_token:.4f} bytes per token make {metric.scored_bytes / 1e6:.2f} million; "
            f"the official validation text has {CANONICAL_BYTES / 1e6:.2f} million")
        reason = "the denominator holds too many bytes"
        if share >= ANOTHER_TEXT:
            message += ": this is another text, or its bytes are counted wrongly"
            reason = "the scored text is not the official one, or its bytes are counted wrongly"
        return Ruled.found([Finding(Confidence.MEDIUM, message, last.at)], reason)

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: bytes that are not those of the text."""
        return ruled(facts, Question.BYTE_ACCOUNTING, self.id(), bytes_rule)

    VALID = [
        Example("one byte", {"train_gpt.py": HEAD + _LUTS.format(
            size='1 if sp.is_byte(i) else len(piece.encode("utf-8"))') + EVAL_BYTES.format(addition=ADDS)}),
        Example("usual logs", folder()),
        Example("an earlier export of the text", folder(train_log=log(bpb="1.05480000", tokens=62_363_648))),
    ]
    INVALID = [
        Example("name of the byte token", {"train_gpt.py": HEAD + _LUTS.format(
            size='len(piece.encode("utf-8"))' + _M) + EVAL_BYTES.format(addition=ADDS)}),
        Example("four per cent too many bytes", folder(train_log=log(bpb="1.05480000")), expect=("train.log:12",)),
        Example("a quarter too many: another text", folder(train_log=log(bpb="0.86000000")), expect=("train.log:12",)),
        Example("as many tokens as an earlier export, of another vocabulary", folder(
            train_log=log(["vocab_size:998"], bpb="1.05480000", tokens=62_363_648)), expect=("train.log:13",)),
    ]
