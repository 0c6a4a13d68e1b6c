"""`log-code-mismatch`: The log looks invented: the code cannot have printed it, and it contradicts itself."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import PRINTS, finding, folder, metadata, readme


class LogCodeMismatch(Rule):
    """The log looks invented: the code cannot have printed it, and it contradicts itself.

    What it does:
    Compares the log with every string that the code can print. A headline or size line that none of them fits is
    weighed with signs that no other version of the script explains: figures in another format than the print call
    with the same words, an evaluation that took longer by its inner clock than by the outer one, many unconditional
    lines missing, sizes that do not add up, a stated vocabulary or training time that the log contradicts, the
    headline as a literal in the code.

    Why it is not allowed:
    The log is the evidence of the score; an invented one is no evidence.

    How to fix it:
    Ship the log of a run of the submitted script as it was printed.

    Known limits:
    A log of another version of the script is only stale: see the form rule `stale-log`. Three signs, one of them
    about formats or clocks, make it high; two make it medium. A careful forgery that keeps to the templates is not
    seen.

    Authority:
    README O17; issue #1594 and #2118 for mismatches that were discussed; no ruling on an invented log was seen.
    """

    title = "The log looks invented: the code cannot have printed it, and it contradicts itself"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O17 [M]; issue #1594 [P]"
    since = "2026-03-18"
    VALID = [
        Example(
            "a log of another version is only stale",
            folder(train_gpt=PRINTS.replace("final_int8_zlib_roundtrip_exact", "other")),
        ),
    ]
    INVALID = [
        Example(
            "foreign size line, wrong formats, lines missing, stated vocabulary contradicted",
            {
                "train_gpt.py": PRINTS,
                "README.md": readme(),
                "submission.json": metadata(vocab_size=256, training_time_seconds=2222),
                "train.log": (
                    "step:20000/20000 train_loss:1.9000 train_time:1386503ms step_avg:69.33ms\n"
                    "int5 artifact size: 15265723 bytes\n"
                    "final_int8_zlib_roundtrip val_loss:1.8573 val_bpb:1.10 eval_time:90000ms\n"
                    "final_int8_zlib_roundtrip_exact val_loss:1.85733000 val_bpb:1.10000000\n"
                ),
            },
            expect=("train.log:2", "train.log:3", "train_gpt.py:2", "submission.json: vocab_size", "train.log:1"),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Report the weighed mismatch; a stale log alone is clear here."""
        mismatch = facts.mismatch
        if not facts.templates.checked:
            why = facts.templates.why or "there is none"
            return Ruled.not_applicable(f"no log could be compared with the code: {why}")
        if mismatch.confidence is None:
            note = "; differences that another version explains stand under stale-log" if mismatch.stale else ""
            return Ruled.clear(f"nothing speaks of an invented log{note}")
        found = [
            finding(mismatch.confidence, f"no string of the code gives this line: {u.text[:100]!r}", u.at)
            for u in mismatch.unprintable[:3]
        ]
        found += [finding(mismatch.confidence, sentence, at) for sentence, at in mismatch.signs[:8]]
        counts = f"{len(mismatch.unprintable)} key lines that the code cannot print, {len(mismatch.signs)} other signs"
        return Ruled.found(found, counts)
