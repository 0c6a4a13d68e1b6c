"""Settings are read from the environment however the reader is named."""

from __future__ import annotations

import pytest

from tests.source.test_mixes import plain

_MAIN = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def main():
    total = 0.0
    READER
    if TEST:
        for s in range(0, 4096, 512):
            loss = F.cross_entropy(model(tokens[None, s : s + 512])[0], tokens[s + 1 : s + 513])
            loss.backward()
            optimizer.step()
    for s in range(0, 4096, 512):
        total += F.cross_entropy(model(tokens[None, s : s + 512])[0], tokens[s + 1 : s + 513]).item()
    print(f"val_loss:{total}")
main()
"""
READERS = [
    ("pass", 'int(os.environ.get("TTT", "{}"))'),
    ("read = os.environ.get", 'bool(int(read("TTT", "{}")))'),
    ("environ = os.environ", 'environ.get("TTT", "{}") == "1"'),
    ("from os import getenv as g", 'int(g("TTT", "{}"))'),
]


@pytest.mark.parametrize(("reader", "test"), READERS)
@pytest.mark.parametrize("default", ["0", "1"])
def test_what_is_off_by_default_hangs_on_the_setting(reader: str, test: str, default: str) -> None:
    facts = plain(_MAIN.replace("READER", reader).replace("TEST", test.format(default)))
    assert facts.updates and all(bool(update.guard) is (default == "0") for update in facts.updates)
