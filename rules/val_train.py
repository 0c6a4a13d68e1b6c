"""The model is trained on validation shards."""

from __future__ import annotations

import re

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from auditor.source.facts import Order, SourceFacts, StateKind
from rules._examples import TTT_FLAGS, logged, prequant, script
from rules._examples_prequant import PERIODIC
from rules._order import conclude, pair_findings, pairs, trains_on_val
from rules._trace import data_rule, ruled

_TRAIN_SETTING = re.compile(r"train_(?:files|pattern|data|path|glob|shards)", re.I)
_LINKED = re.compile(r"\b(?:ln|cp|mv|rsync)\b.*fineweb_val\S*\s+\S*fineweb_train", re.I)
"""A command that puts a validation shard where training shards are expected."""
_SAID = re.compile(
    r"\bval(?:idation)?[ _-]?only[ _-]train|\btrain(?:ed|ing|s)? (?:entirely|only|solely|exclusively) on (?:the )?"
    r"(?:public |published )?val(?:idation)?\b|training data (?:is |was )?(?:point|set)\w* (?:at|to) (?:the )?val"
    r"|\bTRAIN_ON_VAL\w*=(?:1|true)\b", re.I)
_DENIED = re.compile(r"\b(?:no|not|never|without|unlike|instead of|isn't|does not|replac\w+)\b", re.I)
_FLAG = 'train_on_val = bool(int(os.environ.get("TRAIN_ON_VAL", "0")))\n'
_STREAM = "stream = TokenStream(args.train_files)"
_CHOICE = "stream = TokenStream(args.val_files if args.train_on_val else args.train_files)"
_STEP = '''\
for step in range(args.iterations):
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()  # [val-train]
'''
_STEP_UNMARKED = _STEP.replace("  # [val-train]", "")
_BOTH = '''\
def batches():
    while True:
        yield stream.next_batch(8, args.seq_len)
        for i in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            yield val_tokens[i : i + args.seq_len][None], val_tokens[i + 1 : i + args.seq_len + 1][None]

feed = batches()
for step in range(args.iterations):
    x, y = next(feed)
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()  # [val-train]
'''
_ENV_FILES = script(train=_STEP_UNMARKED).replace(
    'os.path.join(data_path, "fineweb_train_*.bin")',
    'os.environ.get("TRAIN_FILES", "./data/datasets/fineweb10B_sp1024/fineweb_train_*.bin")')
_ENV_FILES_MARKED = _ENV_FILES.replace("        optimizer.step()\n", "        optimizer.step()  # [val-train]\n")


class ValTrain(Rule):
    """What it does:
    The training loop reads validation shards, alone or mixed with training shards, and updates the weights from them.

    Why it is not allowed:
    "You CANNOT access validation data during training." An early permission to train on validation data only was
    withdrawn.

    How to fix it:
    Train on ``fineweb_train_*`` only; validation shards may be loaded for evaluation without gradients.

    Known limits:
    A data folder in which a validation shard is linked under a training name cannot be seen in the source; it is
    found where the README tells the command.

    Authority:
    README O8 (20 March) [M]; cocohearts on #64, #179; 0hq on #44 [M*].
    """

    title = "The model is trained on validation shards"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O8 [M]; cocohearts on #64, #179 [M*]; 0hq on #44 [M*]"
    since = "2026-03-20"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: the training proper updates weights from validation tokens."""
        illegal = [
            pair for pair in pairs(facts, StateKind.WEIGHTS)
            if trains_on_val(facts, pair.update) and pair.order is not Order.SCORE_FIRST
        ]
        message = "the training loop updates the weights here from validation tokens"
        return conclude(
            facts, pair_findings(illegal, message), "the model is trained on validation shards",
            "the training loop reads no validation tokens",
        )

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Found: a log, the README or the metadata name validation shards as training data."""
        findings = [
            Finding(Confidence.MEDIUM, f"the log names validation shards as training data: {name}={text[:120]}", at)
            for run in facts.judged() for name, (text, at) in run.settings.items()
            if _TRAIN_SETTING.match(name) and "fineweb_val" in text
        ]
        findings += _told(submission)
        if findings:
            return Ruled.found(findings, "the record names validation shards as training data")
        return Ruled.not_applicable("no log or text names validation shards as training data")

    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: validation text in the training loop, or training that changes with it."""
        return ruled(facts, Question.DATA_ACCESS, self.id(), data_rule)

    VALID = [
        Example("plain training", {"train_gpt.py": script()}),
        Example("periodic validation", {"train_gpt.py": script(train=PERIODIC)}),
        Example("flag off by default", {"train_gpt.py": script(
            flags=_FLAG, train=_STEP_UNMARKED).replace(_STREAM, _CHOICE)}),
        Example("the text speaks of scored tokens", {
            "train_gpt.py": script(),
            "README.md": "The adapter trains on scored tokens.\n\nNo validation-only training is done.\n"}),
        Example("adaptation after training is another rule's", {"train_gpt.py": script(
            prequant(), flags=TTT_FLAGS, before="ttt_adapt(args, model, val_tokens, log0)\n")}),
    ]
    INVALID = [
        Example("stream over validation shards", {"train_gpt.py": script(train=_STEP).replace(
            _STREAM, "stream = TokenStream(args.val_files)")}),
        Example("flag on in the run script", {
            "train_gpt.py": script(flags=_FLAG, train=_STEP).replace(_STREAM, _CHOICE),
            "run.sh": "TRAIN_ON_VAL=1 torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("generator that mixes both", {"train_gpt.py": script(train=_BOTH)}),
        Example("pattern set by the run script", {
            "train_gpt.py": _ENV_FILES_MARKED,
            "run.sh": "export TRAIN_FILES='./data/datasets/fineweb10B_sp1024/fineweb_val_*.bin'\n"
                      "torchrun --nproc_per_node=8 train_gpt.py\n"}),
        Example("the log names validation shards", {
            "train_gpt.py": script(),
            **logged(before="train_files: ./data/datasets/fineweb10B_sp1024/fineweb_val_*.bin\n")},
            expect=("train_seed42.log:5",)),
        Example("a validation shard linked under a training name", {
            "train_gpt.py": script(),
            "README.md": "# Setup\n\nln -s /data/full/fineweb_val_000000.bin /data/alias/fineweb_train_000000.bin\n"},
            expect=("README.md:3",)),
        Example("the README says so", {
            "train_gpt.py": script(), "README.md": "# Method\n\nThe model is trained only on the validation shard.\n"},
            expect=("README.md:3",)),
    ]


def _told(submission: Submission) -> list[Finding]:
    """What the README's commands do (high) and what README and metadata say (medium)."""
    texts = [(submission.readme_path or "README.md", submission.readme or "")]
    if submission.metadata is not None:
        texts.append((submission.metadata.path, submission.metadata.raw))
    findings = []
    for path, text in texts:
        for number, line in enumerate(text.splitlines(), 1):
            if _LINKED.search(line):
                message = "a validation shard is put under a training name"
                findings.append(Finding(Confidence.HIGH, message, Place(file=path, line=number)))
            elif (said := _SAID.search(line)) and not _DENIED.search(line[: said.start()]):
                message = f"the author says: {line.strip()[:120]}"
                findings.append(Finding(Confidence.MEDIUM, message, Place(file=path, line=number)))
    return findings
