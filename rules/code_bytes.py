"""`code-bytes`: The code that the run needs is larger than the bytes it counts."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from rules._record import finding, folder, log


class CodeBytes(Rule):
    """The code that the run needs is larger than the bytes it counts.

    What it does:
    Compares the code size that is logged or stated with the files that the run needs: the script, the modules that
    it imports and the native text that it loads.

    Why it is not allowed:
    All counted code should live in the training script; code beside it that is not counted is a way around the cap.

    How to fix it:
    Count every file that the run needs, or put it into the script.

    Known limits:
    Counting compressed code was accepted (#1855), and modules beside the script stand uncounted in a merged folder
    (#1514): this is noted, not ruled.

    Authority:
    README O2, O10; merged #1514 and #1855; no ruling on modules was seen.
    """

    title = "The code that the run needs is larger than the bytes it counts"
    ruling = Ruling.UNRULED
    kind = Kind.FORM
    authority = "README O2 [M]; practice on #1855, #1514 [M-git]"
    since = "2026-03-18"
    VALID = [
        Example("one script, counted as shipped", folder(train_log=log(code=96))),
    ]
    INVALID = [
        Example(
            "a module beside the script is not counted",
            {
                **folder(train_gpt="import kernels\n\nprint(f'step:{1}')\n", train_log=log(code=6000)),
                "kernels.py": "TABLE = '" + "x" * 90000 + "'\n",
            },
            expect=("kernels.py",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Compare logged code bytes with shipped ones."""
        sizes = facts.sizes
        if sizes is None or sizes.code_shipped is None or sizes.code_logged is None:
            return Ruled.not_applicable("no code size is logged beside shipped code")
        gap = sizes.code_shipped - sizes.code_logged
        if len(sizes.code_files) < 2 or gap <= 0.1 * sizes.code_logged or gap < 4096:
            return Ruled.clear(f"{sizes.code_logged:,} bytes of code are logged, {sizes.code_shipped:,} shipped")
        names = ", ".join(f"{path} {size:,}" for path, size in sizes.code_files[:6])
        message = f"the run needs {sizes.code_shipped:,} bytes of code ({names}), {sizes.code_logged:,} are logged"
        return Ruled.found([finding("medium", message, Place(file=sizes.code_files[-1][0]))], message)
