"""Dependencies point inward: the imports of every module are read and held against the layers of the design."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("auditor", "rules", "reference_model", "tests")

# What a module may import of ours, by the longest prefix of its name that stands here.
ALLOWED: dict[str, tuple[str, ...]] = {
    "auditor": (),
    "auditor.core": ("auditor.core",),
    "auditor.intake": ("auditor.intake", "auditor.core"),
    "auditor.source": ("auditor.source", "auditor.core", "auditor.intake"),
    "auditor.record": ("auditor.record", "auditor.core", "auditor.intake"),
    "auditor.sandbox": ("auditor.sandbox", "auditor.core"),
    "auditor.behaviour": ("auditor", "auditor.behaviour", "auditor.sandbox", "auditor.core", "auditor.intake"),
    "rules": ("rules", "auditor.core", "auditor.source", "auditor.record", "auditor.behaviour", "auditor.rerun"),
    "auditor.report": ("auditor.report", "auditor.core"),
    "auditor.engine": ("auditor", "auditor.core", "auditor.intake", "auditor.source", "auditor.record",
                       "auditor.behaviour", "auditor.sandbox", "auditor.engine_exhibits", "auditor.engine_rerun",
                       "rules"),
    "auditor.engine_rerun": ("auditor.core", "auditor.record", "auditor.rerun"),
    "auditor.engine_exhibits": ("auditor.core", "auditor.record"),
    "auditor.doctor": ("auditor", "auditor.core", "auditor.sandbox"),
    "auditor.engine_probe": ("auditor", "auditor.core", "auditor.intake", "auditor.record", "auditor.engine",
                             "auditor.behaviour", "rules"),
    "auditor.cli_probe": ("auditor", "auditor.core", "auditor.engine", "auditor.engine_probe", "auditor.report",
                          "auditor.behaviour", "auditor.cli"),
    "auditor.cli_bpb": ("auditor", "auditor.core", "auditor.engine", "auditor.cli", "auditor.cli_output",
                        "auditor.cli_probe", "reference_model"),
    "auditor.cli_output": ("auditor", "auditor.core", "auditor.report"),
    "auditor.rerun": ("auditor", "auditor.rerun", "auditor.core", "auditor.intake", "auditor.sandbox", "auditor.record",
                      "auditor.behaviour"),
    "auditor.cli_rerun": ("auditor", "auditor.core", "auditor.rerun", "auditor.engine", "auditor.report",
                          "auditor.cli", "auditor.cli_output"),
    "auditor.sweep": ("auditor", "auditor.sweep", "auditor.core", "auditor.intake", "auditor.engine",
                      "auditor.report", "rules"),
    "auditor.board": ("auditor", "auditor.board", "auditor.sweep", "auditor.core", "auditor.report", "auditor.record",
                      "rules"),
    "auditor.cli_board": ("auditor", "auditor.core", "auditor.sweep", "auditor.board", "auditor.cli",
                          "auditor.cli_output", "rules"),
    "auditor.cli_sweep": ("auditor", "auditor.core", "auditor.sweep", "auditor.board", "auditor.engine",
                          "auditor.report", "auditor.cli", "auditor.cli_output"),
    "auditor.cli_hook": ("auditor", "auditor.cli"),
    "auditor.cli": ("auditor", "auditor.core", "auditor.engine", "auditor.report", "auditor.doctor",
                    "auditor.behaviour", "auditor.sandbox", "auditor.cli_probe", "auditor.cli_bpb",
                    "auditor.cli_board", "auditor.cli_output", "auditor.cli_rerun", "auditor.cli_sweep", "rules"),
    "auditor.__main__": ("auditor.cli",),
    "reference_model": ("reference_model",),
}  # fmt: skip
STDLIB_ONLY = ("auditor.core", "auditor.sandbox", "auditor.doctor")
MAY_IMPORT_TORCH = ("auditor.behaviour.guest", "auditor.behaviour.shims", "reference_model")
"""Parts that run inside the sandbox, and the reference; everything else works on a machine without torch."""
CORE_EXCEPTIONS = {"auditor.core.syntax": {"libcst"}, "auditor.core._syntax312": {"libcst"}}
"""Parsing of the 3.12 grammar, imported only when a script needs it (`test_libcst_is_imported_lazily_by_the_core`)."""
WITNESSES = ("auditor.source", "auditor.record", "auditor.behaviour", "auditor.rerun")
RULES_SEE = ("facts", "order", "metric")
"""Of the witnesses, rules import modules named ``facts`` or ``..._facts`` and helpers declared here."""


def modules() -> dict[str, Path]:
    """Every module of the auditor and the rules, by dotted name."""
    found: dict[str, Path] = {}
    for top in ("auditor", "rules", "reference_model"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Dotted names that ``source`` imports, anywhere in it, with their lines; relative ones made absolute."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            yield target, node.lineno
            yield from ((f"{target}.{alias.name}", node.lineno) for alias in node.names)


def violations(module: str, source: str, known: set[str], is_package: bool = False) -> list[str]:
    """Sentences, one for each import that breaks the layers."""
    problems: list[str] = []
    for target, line in imports(source, module, is_package):
        top = target.split(".")[0]
        if top not in OURS:
            if layer(module) in STDLIB_ONLY and not _standard(top, module):
                problems.append(f"{module}:{line} imports {top}: {layer(module)} is standard library only")
            if top == "torch" and not module.startswith(MAY_IMPORT_TORCH):
                problems.append(f"{module}:{line} imports torch: only the guest and its shims may")
        elif target in known or target in OURS:
            problems += _breach(module, target, line)
    return problems


def _breach(module: str, target: str, line: int) -> list[str]:
    allowed = ALLOWED[layer(module)]
    if layer(target) not in allowed and target not in allowed:
        return [f"{module}:{line} imports {target}: {layer(module)} may see {', '.join(allowed) or 'nothing'}"]
    if module.split(".")[0] == "rules" and layer(target) in WITNESSES:
        name = target.rpartition(".")[2]
        if target not in ALLOWED and not any(word in name for word in RULES_SEE):
            return [f"{module}:{line} imports {target}: rules see a witness's facts, not its workings"]
    return []


def layer(module: str) -> str:
    """The layer that a module belongs to: the longest prefix of its name in `ALLOWED`."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in ALLOWED and (name != "auditor" or end == len(parts)):
            return name
    return module


def _standard(top: str, module: str) -> bool:
    return top in sys.stdlib_module_names or top in CORE_EXCEPTIONS.get(module, set())


@pytest.mark.parametrize("module", modules())
def test_imports_point_inward(module: str) -> None:
    path = modules()[module]
    found = violations(module, path.read_text(encoding="utf-8"), set(modules()), path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_every_module_has_a_layer() -> None:
    assert not [name for name in modules() if layer(name) not in ALLOWED]


def test_libcst_is_imported_lazily_by_the_core() -> None:
    public = [name for name in modules() if name.startswith("auditor.core") and "._" not in name]
    code = f"import sys, {', '.join(public)}; sys.exit('libcst' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_host_side_of_the_behaviour_witness_does_not_load_torch() -> None:
    host = [name for name in modules() if name.startswith(("auditor.behaviour", "auditor.sandbox", "auditor.doctor"))]
    host = [name for name in host if not name.startswith(MAY_IMPORT_TORCH)]
    code = f"import sys, {', '.join(host)}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was loaded"


def test_the_commands_do_not_load_the_reference_before_they_need_it() -> None:
    code = "import sys, auditor.cli, auditor.cli_bpb, auditor.cli_probe; sys.exit('reference_model' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


PLANTED = [
    ("auditor.core.types", "import numpy\n", "standard library"),
    ("auditor.core.types", "def f():\n    from auditor.intake import walk\n", "may see auditor.core"),
    ("auditor.core.types", "from ..report import json\n", "may see auditor.core"),
    ("auditor.source.facts", "from auditor.record.facts import Run\n", "auditor.source may see"),
    ("auditor.record.facts", "import auditor.source.facts\n", "auditor.record may see"),
    ("auditor.report.json", "from auditor.record.facts import Run\n", "auditor.report may see"),
    ("auditor.intake.walk", "from auditor import engine\n", "auditor.intake may see"),
    ("rules.artifact_cap", "from auditor.engine import audit\n", "rules may see"),
    ("rules.artifact_cap", "from auditor.source.flow import machine\n", "facts, not its workings"),
    ("rules.artifact_cap", "from auditor.behaviour.run import Run\n", "facts, not its workings"),
    ("auditor.sandbox.levels", "import numpy\n", "standard library"),
    ("auditor.sandbox.levels", "from auditor.intake import walk\n", "auditor.sandbox may see"),
    ("auditor.behaviour.witness", "from auditor.record.facts import Run\n", "auditor.behaviour may see"),
    ("auditor.behaviour.probe", "def f():\n    import torch\n", "only the guest"),
    ("auditor.source.facts", "from torch import nn\n", "only the guest"),
    ("auditor.intake.walk", "from auditor.sandbox import start\n", "auditor.intake may see"),
    ("auditor.engine", "from auditor import cli\n", "auditor.engine may see"),
    ("auditor.engine", "from auditor.report import json\n", "auditor.engine may see"),
    ("auditor.engine", "def f():\n    from reference_model import config\n", "auditor.engine may see"),
]


@pytest.mark.parametrize(("module", "source", "says"), PLANTED)
def test_a_planted_violation_is_found(module: str, source: str, says: str) -> None:
    known = {"auditor.intake", "auditor.intake.walk", "auditor.report", "auditor.report.json", "auditor.record",
             "auditor.record.facts", "auditor.source", "auditor.source.facts", "auditor.source.flow.machine",
             "auditor.behaviour.run",
             "auditor.sandbox", "auditor.engine", "auditor.cli", "auditor"}  # fmt: skip
    assert any(says in problem for problem in violations(module, source, known))


def test_what_is_allowed_is_not_accused() -> None:
    source = "import json\nfrom auditor.core.types import Place\nfrom auditor.source.facts import order\n"
    assert not violations("rules.some_rule", source, set(modules()))
