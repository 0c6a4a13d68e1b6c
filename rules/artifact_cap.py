"""`artifact-cap`: The artifact exceeds 16,000,000 bytes."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Place, Ruling
from auditor.record.facts import Over, RecordFacts
from auditor.rerun.witness_facts import RerunFacts
from rules._record import RECORD, SCRIPT, finding, folder, log, metadata
from rules._rerun import script_of


class ArtifactCap(Rule):
    """The artifact exceeds 16,000,000 bytes.

    What it does:
    Reads the size in every way in use: stated, logged last, model plus the files that the run needs as shipped, and
    model plus those files compressed; any seed of the headline counts. Over: all readings, or stated and shipped.
    Contested: readings that were both accepted and refused. Of a re-run: the bytes on disk, on any machine.

    Why it is not allowed:
    Code plus compressed model must fit in 16,000,000 bytes, decimal; 16 MiB is not the cap.

    How to fix it:
    Shrink the model or ship the code packed, and state the total of the largest seed.

    Known limits:
    A model size is taken from the log, not measured: no weights are shipped. Whether plain code counts compressed
    and whether modules beside the script count is not settled; such cases are medium. A merged non-record folder
    stands at 16,638,468 bytes, so outside the record track the finding is medium. When only a minority of the seeds
    is over and the stated total is not, it is medium too.

    Authority:
    README O1, O18; regina-openai on #1809 (16,024,793 bytes, ineligible) and #1835; cocohearts on #1959; #1412, #1855
    and #542 were accepted.
    """

    title = "The artifact exceeds 16,000,000 bytes"
    ruling = Ruling.ILLEGAL
    kind = Kind.LIMIT
    authority = "README O1 [M]; regina-openai on #1809, cocohearts on #1959 [M]"
    since = "2026-03-18"

    VALID = [
        Example("under the cap by every reading", folder(submission=metadata(bytes_total=15_060_000))),
        Example(
            "plain code over, packed code under, as accepted in practice",
            folder(train_log=log(model=15_999_900, code=90), submission=metadata(bytes_total=15_999_990)),
        ),
    ]
    INVALID = [
        Example("one log says more than the cap", folder(train_log=log(model=16_010_000)), expect=("train.log:10",)),
        Example(
            "only stated, and over",
            {"train_gpt.py": SCRIPT, "submission.json": metadata(bytes_total=16_265_723)},
            expect=("submission.json: bytes_total",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Judge by the four readings of the size."""
        sizes = facts.sizes
        if sizes is None or sizes.decision is Over.UNKNOWN:
            return Ruled.not_applicable("no size is stated or logged; the form rules report what is missing")
        if sizes.decision in (Over.UNDER, Over.NOTED):
            return Ruled.clear(sizes.why)
        lenient = sizes.decision is Over.CONTESTED or submission.track != RECORD or sizes.some_seeds_only
        note = "" if submission.track == RECORD else "; a merged non-record folder stands at 16,638,468 bytes"
        if sizes.some_seeds_only:
            note += "; only a minority of the seeds is over"
        places = [at for _, _, at in sizes.stated_over] or [_place(submission, facts)]
        confidence = "medium" if lenient else "high"
        return Ruled.found([finding(confidence, f"{sizes.why}{note}", at) for at in places], sizes.why)

    def check_rerun(self, submission: Submission, facts: RerunFacts) -> Ruled:
        """Compare the bytes of every re-run seed's artifact and code with the cap."""
        runs = [m for m in facts.runs if m.finished]
        found = [
            finding(
                "high" if m.size is Over.OVER and submission.track == RECORD else "medium",
                f"re-run, {m.name}: {m.size_why}", script_of(submission),
            )
            for m in runs if m.size in (Over.OVER, Over.CONTESTED)
        ]  # fmt: skip
        if found:
            return Ruled.found(found, found[0].message)
        open_ = next((m for m in runs if m.size is Over.UNKNOWN), None)
        if open_ is not None or not runs:
            return Ruled.unknown(f"{open_.name}: {open_.size_why}" if open_ else "no run of the re-run finished")
        largest = max(runs, key=lambda m: m.run.bytes_total or 0)
        return Ruled.clear(f"re-run, largest seed: {largest.size_why}")


def _place(submission: Submission, facts: RecordFacts) -> Place:
    """The place of the figure that is over the cap."""
    sizes = facts.sizes
    if sizes is not None:
        for name, value in (
            ("logged", sizes.logged),
            ("claimed", sizes.claimed),
            ("model", sizes.model),
            ("shipped", sizes.shipped),
        ):
            if value is not None and value > sizes.cap and name in sizes.at:
                return sizes.at[name]
    return Place(file=submission.entry.path if submission.entry else submission.name)
