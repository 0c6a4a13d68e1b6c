"""Training on validation tokens before they are scored."""

from __future__ import annotations

import re

from auditor.behaviour.facts import TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import Order, SourceFacts, StateKind
from rules._examples import PLAIN_RUN, TTT_FLAGS, logged, prequant, score_first, scored, script
from rules._examples_calib import PHASED, mark
from rules._examples_prequant import (
    CALIBRATE_METHOD,
    CHUNK_TRAIN_THEN_SCORE,
    CLOSURE_GRAD,
    DOC_LORA_WHOLE,
    HAND_WRITTEN,
    MINIFIED,
    MODULE_FILES,
    OTHER_BRANCH_DEAD,
    PERIODIC,
    PREVIOUS_CHUNK,
    PROBE_LOSS,
    RANDOM_WARMUP,
    VECTOR_FIT,
)
from rules._order import conclude, pair_findings, pairs, scored_in_pass, trains_on_val
from rules._trace import order_ruled

_TEMPERATURE = re.compile(r"temp", re.I)
_CALL = "ttt_adapt(args, model, val_tokens, log0)\n"
_EVAL_TTT = scored("eval_val_ttt(args, model, val_tokens, byte_lut, log0)", "legal_ttt_exact")
_GATED = "if args.prequant_ttt:\n    ttt_adapt(args, model, val_tokens, log0)\n"
_PREFIX = 'prefix_docs = int(os.environ.get("PHASED_TTT_PREFIX_DOCS", 2000))\n'
_OFF = TTT_FLAGS + 'prequant_ttt = bool(int(os.environ.get("PREQUANT_TTT", "0")))\n'
_ON = TTT_FLAGS + 'prequant_ttt = bool(int(os.environ.get("PREQUANT_TTT", "1")))\n'


class TttPreQuant(Rule):
    """What it does:
    After training, the weights are updated from validation tokens, and the same tokens are scored later with these
    weights. It makes no difference whether the weights are quantised in between, how many epochs are run, what the
    function is called, or whether another function of the same script scores before it trains.

    Why it is not allowed:
    Test-time training may use only validation tokens that have been scored already. Here each token has been
    trained on before it is scored, so the score measures memory of the validation text.

    How to fix it:
    Score a chunk first, then train on it, and report the first score of each token; or drop the adaptation.

    Known limits:
    Order is judged by loops and slices. An update whose slice cannot be followed is judged by its loop alone. An
    update under a condition that cannot be decided is reported at medium confidence.

    Authority:
    README, test-time training on tokens already evaluated (O9) [M]; 0hq on #152; valerio-oai on #462; cocohearts on
    #1972 [M, M*].
    """

    title = "Validation tokens are trained on before they are scored"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O9 [M]; 0hq on #152 [M*]; valerio-oai on #462 [M*]; cocohearts on #1972 [M]"
    since = "2026-03-20"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: an update from validation tokens that is over before these tokens are scored."""
        illegal = [
            pair for pair in pairs(facts, StateKind.WEIGHTS, StateKind.VECTOR)
            if _trained_first(pair.order, pair.update.kind)
            and not trains_on_val(facts, pair.update)
            and not (pair.update.kind is StateKind.VECTOR and _TEMPERATURE.search(pair.update.site.function))
            and not (pair.order is Order.EARLIER_PASS and scored_in_pass(facts, pair.update))
        ]
        message = "weights are updated here from validation tokens that are scored afterwards"
        return conclude(
            facts, pair_findings(illegal, message), "validation tokens are trained on before they are scored",
            "no update from validation tokens comes before their score",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found, suggestive only: adaptation epochs logged before anything was quantised."""
        findings = []
        for run in facts.judged():
            lines = [line for line in run.ttt if line.before_quant and line.stage == "epoch" and line.chunk is None]
            if lines:
                last = lines[-1]
                text = f"adaptation epochs are logged before quantisation: {last.text.strip()[:120]}"
                findings.append(Finding(Confidence.LOW, text, last.at))
        if findings:
            return Ruled.found(findings, "the log shows adaptation epochs before quantisation")
        return Ruled.not_applicable("no log line tells of adaptation before quantisation")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: weights trained on tokens that are scored later."""
        return order_ruled(facts, self.id())

    VALID = [
        Example("plain evaluation", {"train_gpt.py": script()}),
        Example("score-first, three epochs per scored chunk", {"train_gpt.py": script(
            score_first(), flags=TTT_FLAGS, after=_EVAL_TTT)}),
        Example("defined, never called", {"train_gpt.py": script(prequant(), flags=TTT_FLAGS)}),
        Example("off by its default", {
            "train_gpt.py": script(prequant(), flags=_OFF, before=_GATED), "README.md": PLAIN_RUN}),
        Example("on by default, switched off by the run script", {
            "train_gpt.py": script(prequant(), flags=_ON, before=_GATED),
            "run.sh": "PREQUANT_TTT=0 torchrun --standalone --nproc_per_node=8 train_gpt.py\n"}),
        Example("validation during training without gradients", {"train_gpt.py": script(train=PERIODIC)}),
        Example("trains on the chunk before, scores this one", {"train_gpt.py": script(
            PREVIOUS_CHUNK, flags=TTT_FLAGS, after=scored("eval_lagged(args, model, val_tokens, byte_lut)"))}),
        Example("compile warm-up on random tokens", {"train_gpt.py": script(
            RANDOM_WARMUP + score_first(), flags=TTT_FLAGS, after="warm_up(args, model)\n" + _EVAL_TTT)}),
        Example("adapts on training tokens inside the clock", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS,
            before="train_tokens = load_data_shard(sorted(glob.glob(args.train_files))[0])[:65537]\n"
                   "ttt_adapt(args, model, train_tokens, log0)\n")}),
        Example("adapts a copy that is thrown away", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS, imports="import copy\n",
            before="probe = copy.deepcopy(model)\nttt_adapt(args, probe, val_tokens, log0)\ndel probe\n")}),
        Example("phased: base weights learn from scored documents", {"train_gpt.py": script(
            mark(PHASED), flags=_PREFIX, after=scored("eval_phased(args, model, val_tokens, byte_lut)"))}),
        Example("dead branch under a constant", {"train_gpt.py": script(
            OTHER_BRANCH_DEAD, flags=TTT_FLAGS, before="finetune_ema(args, model, val_tokens)\n")}),
    ]
    INVALID = [
        Example("off by its default, and neither log nor command tells what ran", {
            "train_gpt.py": script(prequant("ttt-pre-quant"), flags=_OFF, before=_GATED)}),
        Example("adapt, quantise, score", {"train_gpt.py": script(
            prequant("ttt-pre-quant"), flags=TTT_FLAGS, before=_CALL)}),
        Example("one epoch is enough", {"train_gpt.py": script(
            prequant("ttt-pre-quant"), flags='ttt_epochs = int(os.environ.get("TTT_EPOCHS", 1))\n', before=_CALL)}),
        Example("after the artifact was loaded", {"train_gpt.py": script(
            prequant("ttt-pre-quant"), flags=TTT_FLAGS,
            after=_CALL + scored("eval_val(args, model, val_tokens, byte_lut)"))}),
        Example("score-first in the same file does not cure it", {"train_gpt.py": script(
            prequant("ttt-pre-quant") + score_first(), flags=TTT_FLAGS, before=_CALL, after=_EVAL_TTT)}),
        Example("off by default, on in the run script", {
            "train_gpt.py": script(prequant("ttt-pre-quant"), flags=_OFF, before=_GATED),
            "run.sh": "export PREQUANT_TTT=1\ntorchrun --standalone --nproc_per_node=8 train_gpt.py\n"}),
        Example("off by default, on in the README command", {
            "train_gpt.py": script(prequant("ttt-pre-quant"), flags=_OFF, before=_GATED),
            "README.md": "# Run\n\n```bash\nPREQUANT_TTT=1 SEED=1337 torchrun --nproc_per_node=8 train_gpt.py\n```\n"}),
        Example("a method named calibrate", {"train_gpt.py": script(
            CALIBRATE_METHOD, before="Finisher(model, args).calibrate(val_tokens)\n")}),
        Example("closure and torch.autograd.grad", {"train_gpt.py": script(
            CLOSURE_GRAD, before="polish(model, args, val_tokens)\n")}),
        Example("hand-written update of .data in a while loop", {"train_gpt.py": script(
            HAND_WRITTEN, before="settle(model, val_tokens, args.seq_len)\n")}),
        Example("minified", {"train_gpt.py": script(MINIFIED, before="b(args,model,val_tokens)\n")}),
        Example("in a module beside the script", MODULE_FILES),
        Example("chunk trained, then scored, in one turn", {"train_gpt.py": script(
            CHUNK_TRAIN_THEN_SCORE, flags=TTT_FLAGS,
            after=scored("eval_val_adaptive(args, model, val_tokens, byte_lut)"))}),
        Example("per-document LoRA trained on the whole document first", {"train_gpt.py": script(
            DOC_LORA_WHOLE, after=scored("eval_docs(args, model, val_tokens, byte_lut)"))}),
        Example("a phase that trains on all of validation", {"train_gpt.py": script(
            mark(PHASED, "ttt-pre-quant").replace("torch.cat(scored))", "val_tokens)"), flags=_PREFIX,
            after=scored("eval_phased(args, model, val_tokens, byte_lut)"))}),
        Example("a bias fitted on all of validation first", {"train_gpt.py": script(
            VECTOR_FIT, after=scored("eval_biased(args, model, val_tokens, byte_lut)"))}),
        Example("guarded by a condition that cannot be decided", {"train_gpt.py": script(
            prequant("ttt-pre-quant") + PROBE_LOSS, flags=TTT_FLAGS,
            before="if probe_loss(model, stream, args) > 3.0:\n    ttt_adapt(args, model, val_tokens, log0)\n")}),
        Example("epochs before quantisation in the log", {
            "train_gpt.py": script(), **logged(before="ttt:epoch 1/2 loss:2.0100\nttt:epoch 2/2 loss:1.8800\n")},
            expect=("train_seed42.log:6",)),
    ]


def _trained_first(order: Order, kind: StateKind) -> bool:
    """Weights: trained in an earlier pass or earlier in the turn; vectors within a turn belong to the SLOT rules."""
    return order is Order.EARLIER_PASS or (order is Order.TRAIN_FIRST and kind is StateKind.WEIGHTS)
