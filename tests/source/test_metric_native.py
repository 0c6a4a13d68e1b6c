"""Gates by the current token in C text, and settings in force."""

from __future__ import annotations

import ast

import pytest

from auditor.core.submission import Launch, Setting
from auditor.core.types import Place
from auditor.source.metric.codeindex import build_index
from auditor.source.metric.native import gates_in
from auditor.source.metric.settings import Settings

CLASS = """
struct Mixer {
    void hint(bool w, int& tok, double& beta) { if (!w) { tok = -1; beta = 0; } }
    void batch(const int64_t* pos, int n, int32_t* out, double* strength) {
        for (int i = 0; i < n; i++) {
            int64_t p = pos[i];
            auto tok = uint16_t(tokens_[p]);
            auto prev = (p > 0) ? uint16_t(tokens_[p - 1]) : uint16_t(0);
            bool w = lead_ && lead_[%s];
            int h; double b;
            hint(w, h, b);
            out[i] = h;
            strength[i] = b;
            update(tok, lead_[tok]);
        }
    }
};
"""


@pytest.mark.parametrize(("key", "gated"), [("tok", True), ("prev", False)])
def test_a_gate_through_a_method_and_references(key: str, gated: bool) -> None:
    assert [g.function.name for g in gates_in(CLASS % key)] == (["batch"] if gated else [])


@pytest.mark.parametrize("text", ["{{{", "void f(int a) { for (", "if (x) }", "void f() { a[b[c[", ""])
def test_broken_text_is_read_as_far_as_it_nests(text: str) -> None:
    assert gates_in(text) == []


def _settings(text: str, env: dict[str, str]) -> tuple[object, bool]:
    index = build_index({"a.py": ast.parse(text)})
    launch = Launch(env={k: Setting(k, v, Place(file="run.sh", line=1), "run_script") for k, v in env.items()})
    function = next(f for f in index.functions if f.name == "use")
    node = next(n for n in function.nodes if isinstance(n, ast.Return))
    assert node.value is not None
    worth = Settings(index, launch).worth(node.value, function)
    return worth.value, worth.known


PROGRAM = """
class H:
    boost = float(os.environ.get("BOOST", "0.75"))

def use(strength):
    return strength

def main():
    h = H()
    use(strength=h.boost)
"""


def test_settings_follow_arguments_to_the_environment() -> None:
    assert _settings(PROGRAM, {}) == (0.75, True)
    assert _settings(PROGRAM, {"BOOST": "0"}) == (0.0, True)
    assert _settings(PROGRAM + "\ndef other():\n    use(0.1)\n", {})[1] is False
