"""`train-val-overlap`: Training data hold validation documents."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import data_ruled, folder, log, readme

_PREP = "import argparse\nap = argparse.ArgumentParser()\nap.add_argument('--val-docs', default=10_000)\n"


class TrainValOverlap(Rule):
    """Training data hold validation documents.

    What it does:
    Looks for the fingerprints of a locally built set that holds out fewer documents than are scored: what the
    README says of the build, 1,499 training shards with a doubled data path or beside a preparation script that
    holds out 10,000 documents.

    Why it is not allowed:
    Validation data must not be accessed during training.

    How to fix it:
    Hold out the first 50,000 documents, or train on the official shards.

    Known limits:
    The preparation script's default of 10,000 is in every copy, also beside official data, and 80 shards do not
    prove clean data: without the shards themselves only the author's words are strong evidence. 1,499 shards alone
    are low.

    Authority:
    issue #2127; cocohearts on #2018 (documents 10,000 to 49,999 overlap) and #2130; admitted: #2135.
    """

    title = "Training data hold validation documents"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O8 [M]; cocohearts on #2018, #2130 [M*]"
    since = "2026-03-20"
    VALID = [
        Example("official shards", folder()),
        Example("the default of the preparation script proves nothing", {**folder(), "prepare_data.py": _PREP}),
    ]
    INVALID = [
        Example(
            "the README says so",
            folder(readme_md=readme("1.1000", "The training shards are the val_docs=10000 build.")),
            expect=("README.md:5",),
        ),
        Example(
            "local shards beside a short hold-out",
            {**folder(train_log=log().replace("train_shards:80", "train_shards:1499")), "prepare_data.py": _PREP},
            expect=("train.log:2",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Judge by the fingerprints of the data."""
        return data_ruled(
            facts,
            self.id(),
            clear="no fingerprint of a build that overlaps the validation documents",
            none="there is no log to read",
        )
