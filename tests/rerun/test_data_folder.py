"""The data as a run sees it: under ``data/``, read-only where it is isolated, never over what the submission ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.rerun.facts import SeedEnd
from tests.rerun.planted import ISOLATED, options, plant, run
from tests.rerun.test_data import shard

READS = """
import glob, os
print(sorted(glob.glob('data/datasets/*/*.bin')), open('data/own.txt').read())
for name in ('data/datasets/x', 'data/datasets/fineweb10B_sp1024/fineweb_val_000000.bin', 'data/more'):
    try:
        open(name, 'ab').write(b'spoilt')
        print('wrote', name)
    except OSError as error:
        print('refused', name, error.strerror)
"""


@pytest.mark.skipif(not ISOLATED, reason="nothing isolates here")
def test_it_is_read_only_in_the_sandbox(tmp_path: Path) -> None:
    for split in ("train", "val"):
        shard(tmp_path / f"d/datasets/fineweb10B_sp1024/fineweb_{split}_000000.bin")
    (tmp_path / "d/own.txt").write_text("the data's")
    place = plant(tmp_path, READS)
    (place / "data").mkdir()
    (place / "data/own.txt").write_text("shipped")
    val = tmp_path / "d/datasets/fineweb10B_sp1024/fineweb_val_000000.bin"
    before = val.read_bytes()
    done = run(place, options(tmp_path / "kept", data=tmp_path / "d"))
    assert done.record.seeds[0].end is SeedEnd.FINISHED
    said = (tmp_path / "kept/seed42.log").read_text()
    assert "fineweb_train_000000.bin" in said and "shipped" in said
    assert said.count("refused") == 2 and "wrote data/more" in said
    assert val.read_bytes() == before and not (tmp_path / "d/datasets/x").exists()


def test_without_isolation_it_is_linked(tmp_path: Path) -> None:
    for split in ("train", "val"):
        shard(tmp_path / f"d/datasets/fineweb10B_sp1024/fineweb_{split}_000000.bin")
    script = "import os\nprint(len(os.listdir('data/datasets/fineweb10B_sp1024')), os.path.islink('data/datasets'))\n"
    done = run(plant(tmp_path, script), options(tmp_path / "kept", data=tmp_path / "d", unsandboxed=True))
    assert "2 True" in (tmp_path / "kept/seed42.log").read_text()
    assert len(list((tmp_path / "d/datasets/fineweb10B_sp1024").iterdir())) == 2 and done.record.isolation == "none"


def test_damaged_data_starts_nothing(tmp_path: Path) -> None:
    shard(tmp_path / "d/datasets/fineweb10B_sp1024/fineweb_train_000000.bin", magic=3)
    done = run(plant(tmp_path, "print('ran')\n"), options(tmp_path / "kept", data=tmp_path / "d"))
    assert done.record.seeds == () and "begins with 3" in done.record.setup_error


def test_other_data_is_another_record(tmp_path: Path) -> None:
    from auditor.rerun.record import RecordError

    for split in ("train", "val"):
        shard(tmp_path / f"d/datasets/fineweb10B_sp1024/fineweb_{split}_000000.bin")
    place = plant(tmp_path, "print('ran')\n")
    run(place, options(tmp_path / "kept", data=tmp_path / "d"))
    shard(tmp_path / "d/datasets/fineweb10B_sp1024/fineweb_val_000000.bin", tokens=7)
    with pytest.raises(RecordError, match="data differ"):
        run(place, options(tmp_path / "kept", data=tmp_path / "d"))
