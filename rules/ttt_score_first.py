"""Recognised: each chunk is scored, then trained on."""

from __future__ import annotations

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Ruling
from auditor.source.facts import Order, SourceFacts, StateKind
from rules._examples import PLAIN_RUN, TTT_FLAGS, prequant, score_first, scored, script
from rules._order import Standing, pair_findings, pairs, recognise
from rules._trace import learns_after_scoring

_DOC_LORA = '''
class Adapter(nn.Module):
    def __init__(self, dim, vocab, rank=8):
        super().__init__()
        self.down = nn.Linear(dim, rank, bias=False)
        self.up = nn.Linear(rank, vocab, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, h):
        return self.up(self.down(h))

def eval_documents(args, model, val_tokens, byte_lut):
    bounds = (val_tokens == 1).nonzero().flatten().tolist() + [val_tokens.numel()]
    loss_sum = torch.zeros((), dtype=torch.float64)
    tokens, n_bytes = 0, 0.0
    for doc_start, doc_end in sorted(zip(bounds, bounds[1:]), key=lambda b: b[1] - b[0]):
        adapter = Adapter(args.model_dim, args.vocab_size)
        opt = torch.optim.Adam(adapter.parameters(), lr=0.01, betas=(0.9, 0.95))
        for c in range(doc_start, doc_end - 1, 256):
            x, y = val_tokens[c : min(c + 256, doc_end - 1)], val_tokens[c + 1 : min(c + 257, doc_end)]
            h = model.hidden(x[None])
            ptl = F.cross_entropy((model.lm_head(h) + adapter(h))[0], y, reduction="none")
            loss_sum += ptl.detach().double().sum()
            tokens += y.numel()
            n_bytes += byte_lut[y].sum().item()
            opt.zero_grad()
            ptl.mean().backward()
            opt.step()  # [ttt-score-first]
    return (loss_sum / tokens).item(), loss_sum.item() / math.log(2.0) / n_bytes
'''

_HELPERS = '''
class Evaluator:
    def __init__(self, model, args, byte_lut):
        self.model, self.args, self.byte_lut = model, args, byte_lut
        self.nll, self.count, self.size = 0.0, 0, 0.0

    @torch.no_grad()
    def grade(self, chunk):
        logits = self.model.forward_logits(chunk[None, :-1])
        logp = torch.log_softmax(logits.float(), dim=-1)
        picked = logp.gather(-1, chunk[None, 1:, None]).squeeze(-1)
        self.nll -= picked.double().sum().item()
        self.count += chunk.numel() - 1
        self.size += self.byte_lut[chunk[1:]].sum().item()

    def learn(self, chunk):
        for _ in range(self.args.ttt_epochs):
            self.model.zero_grad()
            self.model(chunk[None, :-1], chunk[None, 1:]).backward()
            with torch.no_grad():
                for p in self.model.parameters():
                    p.add_(p.grad, alpha=-0.002)  # [ttt-score-first]

    def run(self, tokens):
        for at in range(0, tokens.numel() - 1, self.args.ttt_chunk):
            chunk = tokens[at : at + self.args.ttt_chunk + 1]
            self.grade(chunk)
            self.learn(chunk)
        return self.nll / self.count, self.nll / math.log(2.0) / self.size
'''

_MINIFIED = '''
def q(h,m,v,u):
    o=torch.optim.SGD(m.parameters(),lr=.002);s=n=z=0.
    for i in range(0,v.numel()-1,h.ttt_chunk):
        x,y=v[i:i+h.ttt_chunk][None],v[i+1:i+h.ttt_chunk+1][None];x=x[:,:y.shape[1]]
        with torch.inference_mode():s+=m(x,y).item()*y.numel();n+=y.numel();z+=u[y].sum().item()
        for e in range(h.ttt_epochs):o.zero_grad();m(x,y).backward();o.step()  # [ttt-score-first]
    return s/n,s/math.log(2.)/z
'''

_EVAL = scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)", "legal_ttt_exact")


class TttScoreFirst(Rule):
    """What it does:
    Validation tokens are scored chunk by chunk; only after a chunk has been scored is it trained on, for any number
    of epochs, and the reported loss is the first score of each token.

    Why it is allowed:
    Training on tokens that have been evaluated already is allowed: they have been graded. Several epochs on an
    already scored chunk were accepted.

    How to fix it:
    Nothing to fix. Keep the score before the update, and do not score again what has been trained on.

    Known limits:
    Recognised per update: another update of the same script may still come too early, and is then reported by its
    own rule.

    Authority:
    README O9 [M]; valerio-oai on #549 ("Looks legal") [M*]; 0hq on #44 [M*]; merges #77, #549, #1413, #1493 [M-git].
    """

    title = "Score-first test-time training"
    ruling = Ruling.LEGAL
    kind = Kind.INTEGRITY
    authority = "README O9 [M]; valerio-oai on #549 [M*]; merges #77, #549, #1413, #1493 [M-git]"
    since = "2026-03-20"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: an update from validation tokens that comes after their score in each turn of the shared loop."""
        legal = [
            pair for pair in pairs(facts, StateKind.WEIGHTS)
            if pair.order is Order.SCORE_FIRST and pair.standing is Standing.REPORTED
            and not any(p.update.id == pair.update.id and p.order is not Order.SCORE_FIRST for p in pairs(
                facts, StateKind.WEIGHTS))
        ]
        findings = pair_findings(legal, "weights learn here from validation tokens that have been scored already")
        sure = [f for f in findings if f.confidence is not Confidence.LOW]
        return recognise(facts, sure, "score-first test-time training", "no score-first test-time training was found")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: tokens are trained on after their own score, and no score depends on later tokens."""
        return learns_after_scoring(facts)

    VALID = [
        Example("no adaptation", {"train_gpt.py": script()}),
        Example("trains before it scores", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS, before="ttt_adapt(args, model, val_tokens, log0)\n")}),
        Example("score-first, switched off", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS.replace('"TTT_ENABLED", "1"', '"TTT_ENABLED", "0"'),
            after="if args.ttt_enabled:\n" + "".join("    " + line for line in _EVAL.splitlines(True))
            + "else:\n    " + scored("eval_val(args, model, val_tokens, byte_lut)", "final_exact").replace(
                "\nlog0", "\n    log0")), "README.md": PLAIN_RUN}),
    ]
    INVALID = [
        Example("chunks, three epochs, last chunk spared", {"train_gpt.py": script(
            score_first("ttt-score-first"), flags=TTT_FLAGS, after=_EVAL)}),
        Example("per-document adapter, scored with gradients on", {"train_gpt.py": script(
            _DOC_LORA, after=scored("eval_documents(args, model, val_tokens, byte_lut)"))}),
        Example("methods and a hand-written update", {"train_gpt.py": script(
            _HELPERS, flags=TTT_FLAGS, after=scored("Evaluator(model, args, byte_lut).run(val_tokens)"))}),
        Example("minified", {"train_gpt.py": script(
            _MINIFIED, flags=TTT_FLAGS, after=scored("q(args,model,val_tokens,byte_lut)"))}),
    ]
