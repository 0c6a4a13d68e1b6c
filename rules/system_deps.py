"""A program outside Python is needed to make or read the artifact."""

from __future__ import annotations

import re

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Ruling
from auditor.source.facts import External, SourceFacts
from rules._examples import script
from rules._order import distinct, place

_INFO = re.compile(r"nvidia-smi|\bgit\b|\buname\b|\bhostname\b|\blscpu\b|\bnproc\b|\bfree\b|\bdf\b|\bpip\b")
_PYTHON = frozenset({"python", "python3", "pyminify", "torchrun"})
"""The interpreter, and scripts that Python packages install."""
_LRZIP = '''
def squeeze(path):
    subprocess.run(["lrzip", "-z", "-L", "9", "-f", "-o", path + ".lrz", path], check=True)@@
    return path + ".lrz"
'''
_COMPILE = '''
def build_counter():
    os.system("gcc -O3 -shared -fPIC -o counter.so counter.c")@@
'''
_MINIFY = '''
def code_bytes(args, log0):
    small = subprocess.run([sys.executable, "-m", "python_minifier", __file__], capture_output=True).stdout
    log0(len(small), len(subprocess.run(["pyminify", __file__], capture_output=True).stdout))
'''
_SMI = '''
def log_devices(log0):
    log0(subprocess.run(["nvidia-smi"], stdout=subprocess.PIPE, text=True).stdout)
'''


class SystemDeps(Rule):
    """What it does:
    The script starts a program that Python packages do not bring along: a system compressor, a compiler.

    Why it is not allowed:
    Questioned: the folder must run by itself, and a pre-installed binary may bring code or capability that is not
    counted. The leaderboard row with ``lrzip`` was kept.

    How to fix it:
    Use a Python package named in requirements.txt, or ship the source and count it.

    Known limits:
    Programs that only inform (``nvidia-smi``, ``git``, ``uname``) are ignored. Inline kernels of torch and Triton are
    no programs of their own and fine.

    Authority:
    Participants on #1856 [P]; row kept [M-git]; README O10, O17 [M].
    """

    title = "A system program is needed"
    ruling = Ruling.DISPUTED
    kind = Kind.FORM
    authority = "#1856 [P], row kept [M-git]; README O10, O17 [M]"
    since = "2026-04-28"

    def check_source(self, submission: Submission, facts: SourceFacts) -> Ruled:
        """Found: a subprocess call other than one that only informs."""
        calls = [call for call in facts.external if call.what == "subprocess" and not _informs(facts, call)]
        findings = [
            Finding(Confidence.MEDIUM if call.guard else Confidence.HIGH,
                    f"starts a program: {call.program or call.call}", place(call.site))
            for call in calls
        ]
        if findings:
            return Ruled.found(distinct(findings), "a system program is started")
        if not facts.complete:
            return Ruled.unknown("the walk over the code was cut short")
        return Ruled.clear("no system program is started beyond ones that only inform")

    VALID = [
        Example("plain", {"train_gpt.py": script()}),
        Example("nvidia-smi for the log", {"train_gpt.py": script(
            _SMI, imports="import subprocess\n", before="log_devices(log0)\n")}),
        Example("a package's own script", {"train_gpt.py": script(
            _MINIFY, imports="import subprocess\nimport sys\n", before="code_bytes(args, log0)\n")}),
        Example("compressor never called", {"train_gpt.py": script(
            _LRZIP.replace("@@", ""), imports="import subprocess\n")}),
    ]
    INVALID = [
        Example("system compressor", {"train_gpt.py": script(
            _LRZIP.replace("@@", "  # [system-deps]"), imports="import subprocess\n",
            before='torch.save(model.state_dict(), "raw.pt")\nsqueeze("raw.pt")\n')}),
        Example("compiler", {"train_gpt.py": script(
            _COMPILE.replace("@@", "  # [system-deps]"), before="build_counter()\n"),
            "counter.c": "int count(void) { return 0; }\n"}),
    ]


def _informs(facts: SourceFacts, call: External) -> bool:
    """Whether the program started only informs about the machine, or comes with Python; by the text if not known."""
    if call.program:
        return call.program in _PYTHON or _INFO.search(call.program) is not None
    lines = facts.texts.get(call.site.file, "").splitlines()[call.site.line - 1 : call.site.end_line]
    return _INFO.search(" ".join([call.call, *lines])) is not None
