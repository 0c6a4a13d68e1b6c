"""The leading space of a token is counted twice."""

from __future__ import annotations

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import SourceFacts
from rules._metric import ADDS, EVAL_BYTES, HEAD, source_finding
from rules._trace import bytes_rule, ruled

_TABLE = '''
def build_luts(sp, vocab_size, device):
    base = np.zeros((vocab_size,), dtype=np.int16)
    lead = np.zeros((vocab_size,), dtype=np.bool_)
    bound = np.ones((vocab_size,), dtype=np.bool_)
    for i in range(int(sp.vocab_size())):
        if sp.is_control(i) or sp.is_unknown(i) or sp.is_unused(i):
            continue
        bound[i] = False
        if sp.is_byte(i):
            base[i] = 1
            continue
        piece = sp.id_to_piece(i)
        if piece.startswith("\\u2581"):
            lead[i] = True
            piece = piece[1:]
        base[i] = len(piece.encode("utf-8")){plus}
    return tuple(torch.tensor(t, device=device) for t in (base, lead, bound))
'''
_PLAIN = _TABLE.replace("tuple(torch.tensor(t, device=device) for t in (base, lead, bound))",
                        "torch.tensor(base), torch.tensor(lead), torch.tensor(bound)").replace("{plus}", "")
_WITH_SPACE = _PLAIN.replace('base[i] = len(piece.encode("utf-8"))',
                             'base[i] = len(piece.encode("utf-8")) + (1 if lead[i] else 0)')
_REPLACED = _PLAIN.replace("piece = piece[1:]", 'piece = piece.replace("\\u2581", " ")')
_MINIFIED = '''
_B=True
def build_luts(A,V,d):
    D=torch.zeros(V);E=torch.zeros(V,dtype=torch.bool);G=torch.zeros(V,dtype=torch.bool)
    for i in range(V):
        C=A.id_to_piece(i);D[i]=1 if A.is_byte(i) else len(C.encode())
        if C.startswith(chr(9601)):E[i]=_B;D[i]=len(C.lstrip(chr(9601)).encode())+1
        if A.is_control(i) or A.is_unknown(i):G[i]=_B
    return D,E,G
'''
_METHOD = '''
class Data:
    def __init__(self, sp, n, device):
        self.width_of, self.leads, self.starts = build_luts(sp, n, device)

    def total(self, prev, cur):
        size = self.width_of[cur].to(torch.int64)
        return (size + (self.leads[cur] & ~self.starts[prev])).sum() {mark}
'''
_LOOP = '''
def count_bytes(prev, cur, sp, n):
    base, lead, bound = build_luts(sp, n, "cpu")
    total = 0
    for p, c in zip(prev, cur):
        size = int(base[c])
        if lead[c] and not bound[p]:{mark}
            size += 1
        total += size
    return total
'''
_MARK = "  # [bpb-double-space]"


class BpbDoubleSpace(Rule):
    """What it does:
    Follows the table of bytes per token from where it is built to where bytes are summed. Found when the table counts
    a token's leading space already and the evaluation adds one more byte for it.

    Why it is not allowed:
    The denominator of bits per byte grows by about a sixth, and the score falls by as much, without any better
    prediction.

    How to fix it:
    Strip U+2581 before the length is taken and add one byte in the evaluation where the previous token is no
    boundary; or count the space in the table and add nothing.

    Known limits:
    The table's values are worked out on a toy SentencePiece vocabulary; tables of other tokenizers, and tables read
    from files, are not followed here (see ``bpb-token-bytes``).

    Authority:
    README O13 (the score must be proven right); the authors of #1545, #1576, #1687, #1705, #1712 and #1734 withdrew
    them after reports [P].
    """

    title = "The leading space of a token is counted twice"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O13 [M]; withdrawn #1545, #1576, #1687, #1705, #1712, #1734 [P]"
    since = "2026-03-18"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a space byte is added to a count that holds it."""
        metric = facts.metric
        found = [
            source_finding(
                Confidence.HIGH,
                f"a byte is added for the leading space, but {a.table.function} ({a.table.file}:{a.table.line}) gives "
                f"{a.table.spaced} bytes to a space and three letters already",
                a.file, a.line, a.path,
            )
            for a in metric.space_added if a.table.spaced is not None and a.table.spaced > 3
        ]
        if found:
            return Ruled.found(found, "the leading space is counted by the table and again by the evaluation")
        if metric.space_added:
            return Ruled.clear(f"{len(metric.space_added)} sums add the space to a table that leaves it out")
        if metric.tables:
            return Ruled.clear("no byte is added to a table that counts the space")
        return Ruled.not_applicable("no table of bytes per token is built from a SentencePiece model")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: bytes exceed the text by its leading spaces."""
        return ruled(facts, Question.BYTE_ACCOUNTING, self.id(), bytes_rule)

    VALID = [
        Example("usual table", {"train_gpt.py": HEAD + _PLAIN + EVAL_BYTES.format(addition=ADDS)}),
        Example("table with the space, nothing added", {
            "train_gpt.py": HEAD + _WITH_SPACE + EVAL_BYTES.format(addition="n_bytes += 0")}),
        Example("U+2581 replaced, nothing added", {
            "train_gpt.py": HEAD + _REPLACED + EVAL_BYTES.format(addition="pass")}),
        Example("method, usual table", {"train_gpt.py": HEAD + _PLAIN + _METHOD.format(mark="")}),
    ]
    INVALID = [
        Example("plus one in the table", {
            "train_gpt.py": HEAD + _WITH_SPACE + EVAL_BYTES.format(addition=ADDS + _MARK)}),
        Example("space kept by replace", {
            "train_gpt.py": HEAD + _REPLACED + EVAL_BYTES.format(addition=ADDS + _MARK)}),
        Example("minified", {"train_gpt.py": HEAD + _MINIFIED + EVAL_BYTES.format(addition=ADDS + _MARK)}),
        Example("method of a data class", {
            "train_gpt.py": HEAD + _WITH_SPACE + _METHOD.format(mark=_MARK.strip())}),
        Example("loop over tokens", {"train_gpt.py": HEAD + _WITH_SPACE + _LOOP.format(mark=_MARK)}),
    ]
