"""Files where the guest looks for them, and no way out of the scratch folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from auditor.behaviour.toyworld.files import MTIME, host_path, host_relative, write_inside
from auditor.behaviour.toyworld.layout import Places, default_places, lay_out, swap_val
from auditor.behaviour.toyworld.shards import read_shard
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.toyworld.vary import vary

WORLD = make_world(WorldSpec(val_tokens=600, train_tokens=900))
CASEOPS = make_world(WorldSpec(vocab_size=8192, tokenizer="caseops", val_tokens=600, train_tokens=900))
OTHER = vary(WORLD, np.arange(600) < 300, 1)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_default_places_are_the_competitions(tmp_path: Path) -> None:
    lay_out(WORLD, WORLD.val, tmp_path)
    data = tmp_path / "run/data"
    assert sorted(contents(tmp_path)) == [
        "run/data/datasets/fineweb10B_sp1024/fineweb_train_000000.bin",
        "run/data/datasets/fineweb10B_sp1024/fineweb_train_000001.bin",
        "run/data/datasets/fineweb10B_sp1024/fineweb_val_000000.bin",
        "run/data/tokenizers/fineweb_1024_bpe.model",
        "run/data/tokenizers/fineweb_1024_bpe.vocab",
    ]
    folder = data / "datasets/fineweb10B_sp1024"
    assert np.array_equal(read_shard(folder / "fineweb_val_000000.bin"), WORLD.val.tokens)
    assert np.array_equal(read_shard(folder / "fineweb_train_000001.bin"), WORLD.train[1].tokens)
    model = sentencepiece.SentencePieceProcessor(model_file=str(data / "tokenizers/fineweb_1024_bpe.model"))
    assert model.vocab_size() == 1024
    assert (data / "tokenizers/fineweb_1024_bpe.vocab").read_text().count("\n") == 1024


def test_swapping_changes_the_validation_files_only(tmp_path: Path) -> None:
    asked = Places(("/workspace/data",), val_files=("own_val.bin",), byte_side_dirs=("sides",))
    places = lay_out(WORLD, WORLD.val, tmp_path, asked)
    before, stats = contents(tmp_path), {path: path.stat() for path in tmp_path.rglob("*.bin")}
    swap_val(OTHER, tmp_path, places)
    after = contents(tmp_path)
    assert {path for path in after if after[path] != before[path]} == {
        "run/data/datasets/fineweb10B_sp1024/fineweb_val_000000.bin",
        "abs/workspace/data/fineweb_val_000000.bin",
        "run/own_val.bin",
        "run/sides/fineweb_val_bytes_000000.bin",
    }
    assert sorted(after) == sorted(before)
    for path, old in stats.items():
        new = path.stat()
        assert (new.st_size, new.st_mtime, new.st_mode, path.parent.stat().st_mtime) == (
            old.st_size,
            MTIME,
            old.st_mode,
            MTIME,
        )
    swap_val(WORLD.val, tmp_path, places)
    assert contents(tmp_path) == before


def test_two_layouts_of_one_world_are_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lay_out(CASEOPS, CASEOPS.val, tmp_path / name, Places(tokenizer_paths=("tables.meta.npz", "x.json")))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_caseops_folders_have_their_bytes_beside_them(tmp_path: Path) -> None:
    places = lay_out(CASEOPS, CASEOPS.val, tmp_path, Places(("elsewhere",)))
    assert len(places.data_dirs) == 4
    for guest in places.data_dirs:
        folder = host_path(tmp_path, guest)
        assert np.array_equal(read_shard(folder / "fineweb_val_bytes_000000.bin"), CASEOPS.val.bytes)
        assert np.array_equal(read_shard(folder / "fineweb_val_000000.bin"), CASEOPS.val.tokens)


def test_tokenizer_files_go_by_their_ending(tmp_path: Path) -> None:
    paths = ("tok/byte.json", "tok/tables.meta.npz", "tok/list.vocab", "tok/shipped.model", "tok/plain")
    (tmp_path / "run/tok").mkdir(parents=True)
    (tmp_path / "run/tok/shipped.model").write_bytes(b"the submission's own")
    lay_out(WORLD, WORLD.val, tmp_path, Places(tokenizer_paths=paths))
    folder = tmp_path / "run/tok"
    assert json.loads((folder / "byte.json").read_text())["vocab_size"] == 1024
    with np.load(folder / "tables.meta.npz", allow_pickle=False) as tables:
        assert tables["base_bytes"].shape == (1024,)
        assert int(tables["format_version"]) == 1
    assert (folder / "shipped.model").read_bytes() == (folder / "plain").read_bytes() == WORLD.tokenizer
    assert (folder / "list.vocab").read_text() == (folder / "shipped.vocab").read_text()


def test_a_byte_world_has_its_settings_as_json(tmp_path: Path) -> None:
    world = make_world(WorldSpec(vocab_size=260, tokenizer="bytes", val_tokens=600, train_tokens=900))
    lay_out(world, world.val, tmp_path, Places(train_files=("mine.bin",)))
    settings = json.loads((tmp_path / "run/data/tokenizers/fineweb_pure_byte_260.json").read_text())
    assert settings["config"] == {
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "byte_offset": 4,
        "byte_count": 256,
    }
    assert read_shard(tmp_path / "run/mine.bin").size == 900
    assert default_places(world.spec).data_dirs == ("data/datasets/fineweb10B_byte260",)


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        ("data/x", "run/data/x"),
        ("./data//x/", "run/data/x"),
        ("../data/x", "data/x"),
        ("/golf/run/x", "run/x"),
        ("/golf", ""),
        ("/golfer/x", "abs/golfer/x"),
        ("/workspace/data", "abs/workspace/data"),
        ("//workspace/data", "abs/workspace/data"),
        ("../../../../etc/x", "abs/etc/x"),
        ("/golf/../etc", "abs/etc"),
    ],
)
def test_guest_paths_stay_inside(guest: str, expected: str) -> None:
    assert host_relative(guest) == expected


@pytest.mark.parametrize("relative", ["", "../x", "a/../../x", "/etc/x", "a//b", "."])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        write_inside(tmp_path, relative, b"")


@pytest.mark.parametrize("link", ["run", "run/data", "run/data/datasets/fineweb10B_sp1024"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    path = root / link
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)
    with pytest.raises(OSError):
        lay_out(WORLD, WORLD.val, root)
    assert list(outside.iterdir()) == []


def test_links_in_place_of_files_are_replaced_not_written_through(tmp_path: Path) -> None:
    places = lay_out(WORLD, WORLD.val, tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    shard = tmp_path / "run/data/datasets/fineweb10B_sp1024/fineweb_val_000000.bin"
    shard.unlink()
    shard.symlink_to(victim)
    os.symlink(victim, f"{shard}.part")
    swap_val(OTHER, tmp_path, places)
    assert victim.read_bytes() == b"mine"
    assert np.array_equal(read_shard(shard), OTHER.tokens)
    assert not shard.is_symlink()


def test_places_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    asked = Places(("data/tokenizers/fineweb_1024_bpe.model/x", "x" * 300, "", "fine"), ("a\0b",))
    (tmp_path / "run/data/tokenizers").mkdir(parents=True)
    (tmp_path / "run/data/tokenizers/fineweb_1024_bpe.model").write_bytes(b"")
    places = lay_out(WORLD, WORLD.val, tmp_path, asked)
    assert places.data_dirs == ("data/datasets/fineweb10B_sp1024", "fine")
    assert [line.rsplit(": ", 1)[-1] for line in places.refused[:2]] == ["Not a directory", "File name too long"]
    assert len(places.refused) == 4


def test_a_default_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(OSError):
        lay_out(WORLD, WORLD.val, tmp_path)
