"""`val-coverage`: The score does not cover the whole validation text."""

from __future__ import annotations

import ast

from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.syntax import parse_python
from auditor.core.types import Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from rules._record import data_ruled, finding, folder, log
from rules._trace import always, ruled

_RANDOM = """import torch


def get_batch(split):
    shard = load(split)
    ix = torch.randint(len(shard) - 9, (4,))
    return [shard[i : i + 9] for i in ix]


for _ in range(20):
    x = get_batch("val")  # [val-coverage]
    print(loss(x))
"""


class ValCoverage(Rule):
    """The score does not cover the whole validation text.

    What it does:
    Record: multiplies the logged validation tokens by the bytes per token that the scores imply and compares with
    the official 151 million bytes; reads byte totals beside the score and settings that name a subset. Source:
    validation batches that are only ever drawn at random.

    Why it is not allowed:
    The validation set is always the full split, the first 50,000 documents.

    How to fix it:
    Score every document once, and say how many tokens were scored.

    Known limits:
    Cutting the tail to a multiple of the sequence length is normal. A subset that only the code knows is the
    behaviour witness's to see.

    Authority:
    README O14; #1835 (3 million tokens), #2009 (20 random batches), #2109 (other partition), 0hq on #50.
    """

    title = "The score does not cover the whole validation text"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O14 [M]; valerio-oai on #1835, cocohearts on #2009, #2109 [M*]"
    since = "2026-03-18"
    def check_trace(self, submission: Submission, facts: TraceFacts) -> Ruled:
        """Found: positions missing from the printed score, or counted twice."""
        return ruled(facts, Question.COVERAGE, self.id(), always(self.id()))

    VALID = [
        Example("the whole text less its tail", folder()),
    ]
    INVALID = [
        Example("a fifth of the documents", folder(train_log=log(tokens=12_000_000)), expect=("train.log:1",)),
        Example("random validation batches", {"train_gpt.py": _RANDOM}, expect=("train_gpt.py:11",)),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Judge by counts of tokens and bytes in the logs behind the headline."""
        return data_ruled(
            facts,
            self.id(),
            clear="no logged count is that of a part of the validation text",
            none="there is no log to read",
        )

    def check_source(self, submission: Submission, facts: object) -> Ruled:
        """Look for validation batches that are only ever drawn at random."""
        entry = submission.entry
        tree = parse_python(entry.text).tree if entry else None
        if entry is None or tree is None:
            return Ruled.not_applicable("there is no script that could be read")
        calls = _random_val_calls(tree)
        if not calls or "val_tokens" in entry.text:
            return Ruled.clear("validation data are not drawn at random batches only")
        message = "the validation score is made from batches drawn at random, not from the whole text"
        places = [Place(file=entry.path, line=call.lineno, column=call.col_offset) for call in calls]
        found = [finding("medium", message, place) for place in places]
        return Ruled.found(found, message)


def _random_val_calls(tree: ast.Module) -> list[ast.Call]:
    """Calls with the argument ``"val"`` of functions that draw their rows at random; empty when others exist too."""
    drawing = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(n, ast.Attribute) and n.attr in ("randint", "randperm") for n in ast.walk(node))
    }
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and any(isinstance(a, ast.Constant) and a.value in ("val", "valid", "validation") for a in node.args)
    ]
    random = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in drawing]
    return random if len(random) == len(calls) else []
