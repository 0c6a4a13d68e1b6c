"""The model itself lets a later token reach an earlier score."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Finding, Kind, Place, Ruling
from auditor.source.facts import SourceFacts
from rules._metric import HEAD
from rules._trace import order_ruled

_MODEL = '''
class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.view(B, T, self.heads, D // self.heads).transpose(1, 2)
        k = k.view(B, T, self.heads, D // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, D // self.heads).transpose(1, 2)
        {attend}
        return self.proj(y.transpose(1, 2).reshape(B, T, D))

class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.attn = Attention(dim, heads)
        self.mlp = nn.Linear(dim, dim)

    def forward(self, x):
        x = x + self.attn(F.rms_norm(x, (x.size(-1),)))
        return x + F.relu(self.mlp(x)).square()

class GPT(nn.Module):
    def __init__(self, vocab, dim, heads, layers):
        super().__init__()
        self.tok_emb = nn.Embedding(vocab, dim)
        self.blocks = nn.ModuleList([Block(dim, heads) for _ in range(layers)])
        self.gate = nn.Linear(dim, dim)
        self.lm_head = nn.Linear(dim, vocab, bias=False)

    def forward(self, input_ids, target_ids):
        x = self.tok_emb(input_ids)
        for block in self.blocks:
            x = block(x)
        {after}
        logits = self.lm_head(x).float()
        return F.cross_entropy(logits.reshape(-1, logits.size(-1)), target_ids.reshape(-1))

def main():
    model = GPT(1024, 512, 8, 9)
'''
_SDPA = "y = F.scaled_dot_product_attention(q, k, v, is_causal=True)"
_M = "  # [noncausal-model]"


def _script(attend: str = _SDPA, after: str = "pass") -> dict[str, str]:
    return {"train_gpt.py": HEAD + _MODEL.format(attend=attend, after=after)}


_SOFTMAX = '''w = q @ k.transpose(-2, -1) / 8.0
        {mask}
        w = w.softmax(dim=-1){mark}
        y = w @ v'''


class NoncausalModel(Rule):
    """What it does:
    Walks the model from token ids to logits with the sequence axis followed through reshapes, submodules and helpers.
    Found when a value whose positions learned of later ones arrives at the loss: attention without a causal mask, a
    mean or maximum over the sequence spread back over it, the last position copied to all, a shift to the left, a
    convolution padded on both sides.

    Why it is not allowed:
    The score of a token then depends on tokens that come after it, the token itself among them: what is measured is
    no prediction.

    How to fix it:
    Mask attention causally, use cumulative instead of whole-sequence statistics, pad convolutions on the left only.

    Known limits:
    Operations that are not known lose the sequence axis, and what follows them is not judged. Models that fill in
    tokens masked at random (diffusion) may attend in both directions: those findings need review. Statistics over
    all positions at once (the scale of a per-tensor quantiser) are reported as such, not as proven.

    Authority:
    README O8 and O9 by consequence; no ruling seen, nobody defends it.
    """

    title = "A later token reaches an earlier score inside the model"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O8, O9 [M] by consequence"
    since = "2026-03-20"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a look-ahead that arrives at the loss or at the logits."""
        metric = facts.metric
        found = [
            Finding(n.confidence, f"{n.what} (in {n.function})", Place(file=n.file, line=n.line), n.path)
            for n in metric.noncausal
        ]
        if found:
            return Ruled.found(found, "a later position reaches an earlier one's score")
        cut = [note for note in metric.unread if "forward pass" in note]
        if cut:
            return Ruled.unknown(cut[0])
        return Ruled.clear("no look-ahead was found between the token ids and the loss")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: a score changes with later tokens of its own forward call."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("causal attention", _script()),
        Example("mask by tril", _script(_SOFTMAX.format(
            mask='w = w.masked_fill(torch.ones(T, T).tril() == 0, float("-inf"))', mark=""))),
        Example("additive mask", _script(_SOFTMAX.format(mask="w = w + self.bias[:, :, :T, :T]", mark=""))),
        Example("smear of the previous token", _script(
            after="x = torch.cat([x[:, :1], x[:, 1:] + torch.sigmoid(self.gate(x[:, 1:])) * x[:, :-1]], dim=1)")),
        Example("cumulative mean", _script(
            after="x = x + x.cumsum(dim=1) / torch.arange(1, x.size(1) + 1).view(1, -1, 1)")),
        Example("gate over channels", _script(after="x = x * torch.sigmoid(x.mean(dim=-1, keepdim=True))")),
        Example("pooled for a side value only", _script(after="pooled = x.mean(dim=1)")),
    ]
    INVALID = [
        Example("attention without mask", _script("y = F.scaled_dot_product_attention(q, k, v)" + _M)),
        Example("causal is false", _script("y = F.scaled_dot_product_attention(q, k, v, is_causal=False)" + _M)),
        Example("softmax without mask", _script(_SOFTMAX.format(mask="pass", mark=_M))),
        Example("mean added to all", _script(after="x = x + self.gate(x.mean(dim=1, keepdim=True))" + _M)),
        Example("gate from the last position", _script(after="x = x * torch.sigmoid(self.gate(x[:, -1:]))" + _M)),
        Example("next token's embedding", _script(
            after="x = x + torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], dim=1)" + _M)),
        Example("roll to the left", _script(after="x = x + torch.roll(x, -1, dims=1)" + _M)),
    ]
