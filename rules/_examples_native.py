"""Examples with a C side file: hints for whole chunks, gated by the token itself or by the one before."""

from __future__ import annotations

NATIVE_GATE = """#include <stdint.h>
/* one hint per position, from tables of the prefix */
int hints_chunk(void *state, const uint16_t *toks, int64_t n, const uint8_t *starts, uint16_t *hint, float *prob) {
    for (int64_t i = 0; i < n; ++i) {
        const uint16_t cur = toks[i];
        const uint8_t begins = starts[cur];
        if (!begins) {
            hint[i] = best(state);  // gated
            prob[i] = best_prob(state);
        } else {
            hint[i] = 0;
            prob[i] = 0.0f;
        }
        update(state, cur, begins);
    }
    return 0;
}
"""
NATIVE_PREFIX = """#include <stdint.h>
int hints_chunk(void *state, const uint16_t *toks, int64_t n, const uint8_t *starts, uint16_t *hint, float *prob) {
    uint16_t prev = 0;
    for (int64_t i = 0; i < n; ++i) {
        const uint8_t begins = starts[prev];
        if (!begins) {
            hint[i] = best(state);
            prob[i] = best_prob(state);
        }
        const uint16_t cur = toks[i];
        update(state, cur, starts[cur]);
        prev = cur;
    }
    return 0;
}
"""


def native(boost: str = "0.75") -> str:
    """Definitions that load the C file and scale its hints by a setting that defaults to ``boost``."""
    return f'''
import ctypes

class HintSettings:
    boost = float(os.environ.get("WITHIN_BOOST", "{boost}"))

def expected_gain(prob, strength):
    return np.log1p(prob * (np.exp(strength) - 1))

def make_hints(tokens, starts, args):
    lib = ctypes.CDLL("hints.so")
    hint = np.zeros(len(tokens), dtype=np.uint16)
    prob = np.zeros(len(tokens), dtype=np.float32)
    lib.hints_chunk(None, tokens.ctypes.data, len(tokens), starts.ctypes.data, hint.ctypes.data, prob.ctypes.data)
    gain = expected_gain(prob, HintSettings.boost)
    return hint, gain
'''
