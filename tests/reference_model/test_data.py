"""Shards, the byte table, documents, the loader, finding a dataset, local text, and fetching."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import sentencepiece
import torch

from auditor.behaviour.toyworld.tokenizer import build_model
from reference_model.data import fetch as fetching
from reference_model.data.documents import document_ids, document_spans
from reference_model.data.fetch import RemoteFile, checksums, fetch, wanted
from reference_model.data.folder import find_data
from reference_model.data.loader import TrainLoader
from reference_model.data.local import documents, write_local
from reference_model.data.shards import DataError, read_shard, read_tokens, usable, write_shard
from reference_model.data.tokens import ByteTable, load_table

VOCAB = 1024


@pytest.fixture(scope="module")
def pieces() -> sentencepiece.SentencePieceProcessor:
    model, _ = build_model(VOCAB)
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def shards(folder: Path, *sizes: int, split: str = "train", start: int = 0) -> list[Path]:
    """Shards of the given sizes that hold start, start + 1, ..."""
    paths = []
    for index, size in enumerate(sizes):
        paths.append(folder / f"fineweb_{split}_{index:06d}.bin")
        write_shard(paths[-1], np.arange(start, start + size))
        start += size
    return paths


class TestShards:
    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        paths = shards(tmp_path, 10, 0, 5)
        assert read_tokens(paths).tolist() == list(range(15))
        raw = paths[0].read_bytes()
        assert len(raw) == 1024 + 20 and raw[:12] == np.array([20240520, 1, 10], dtype="<i4").tobytes()

    @pytest.mark.parametrize("harm", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda raw: b"x" + raw[1:],
                                      lambda raw: raw[:100], lambda raw: b""])  # fmt: skip
    def test_a_harmed_shard_is_refused(self, tmp_path: Path, harm: object) -> None:
        (path,) = shards(tmp_path, 10)
        path.write_bytes(harm(path.read_bytes()))  # type: ignore[operator]
        with pytest.raises(DataError):
            read_shard(path)

    def test_ids_of_more_than_16_bits_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError):
            write_shard(tmp_path / "x.bin", np.array([65_536]))

    @pytest.mark.parametrize(("count", "kept"), [(9, 9), (10, 9), (12, 9), (13, 13)])
    def test_usable_is_whole_sequences_and_one(self, count: int, kept: int) -> None:
        assert usable(torch.arange(count), 4).numel() == kept

    def test_too_few_tokens_for_a_sequence(self) -> None:
        with pytest.raises(DataError):
            usable(torch.arange(4), 4)


class TestByteTable:
    TEXTS = ("the rain in spain", "é€ñ 🙂 中文", "x\ty", "q", "a  b", "tea 12,5")

    def test_bytes_are_those_of_the_decoded_text(self, pieces: sentencepiece.SentencePieceProcessor) -> None:
        table = ByteTable.of(pieces)
        for text in self.TEXTS:
            ids = pieces.encode(text)
            counted = table.count(torch.tensor([1, *ids[:-1]]), torch.tensor(ids))
            decoded = pieces.decode(ids)
            assert int(counted.sum()) == len(decoded.encode()) - decoded.startswith(" "), text

    def test_two_documents_are_counted_as_two_texts(self, pieces: sentencepiece.SentencePieceProcessor) -> None:
        table = ByteTable.of(pieces)
        stream = [1, *pieces.encode("one tea"), 1, *pieces.encode("two seas")]
        counted = table.count(torch.tensor(stream[:-1]), torch.tensor(stream[1:]))
        assert int(counted.sum()) == len("one tea" + "two seas")

    def test_a_leading_space_counts_but_after_a_boundary(self, pieces: sentencepiece.SentencePieceProcessor) -> None:
        table = ByteTable.of(pieces)
        space = pieces.piece_to_id("\u2581")
        letter = pieces.piece_to_id("e")
        assert table.count(torch.tensor([letter, 1, 3]), torch.tensor([space] * 3)).tolist() == [1, 0, 0]

    def test_kinds_of_pieces(self, pieces: sentencepiece.SentencePieceProcessor) -> None:
        table = ByteTable.of(pieces, VOCAB + 3)
        assert table.boundary[:4].all() and table.boundary[VOCAB:].all() and not table.boundary[4:VOCAB].any()
        assert (table.base_bytes[4:260] == 1).all() and not table.leading_space[4:260].any()
        assert (table.base_bytes[table.boundary] == 0).all()
        assert int(table.base_bytes[pieces.piece_to_id("中")]) == 3

    def test_a_tokenizer_of_another_size_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "t.model"
        path.write_bytes(build_model(512)[0])
        assert load_table(path, 512).vocab_size == 512
        with pytest.raises(DataError, match="512 pieces"):
            load_table(path, 1024)
        path.write_bytes(b"no model")
        with pytest.raises(DataError):
            load_table(path, 512)


class TestDocuments:
    def test_spans_and_ids(self) -> None:
        tokens = torch.tensor([7, 1, 5, 5, 1, 1, 9])
        assert document_spans(tokens) == [(0, 1), (1, 4), (4, 5), (5, 7)]
        assert document_ids(tokens).tolist() == [0, 1, 1, 1, 2, 3, 3]

    def test_no_bos_is_one_document_and_nothing_is_none(self) -> None:
        assert document_spans(torch.tensor([7, 8])) == [(0, 2)]
        assert document_spans(torch.tensor([], dtype=torch.long)) == []


class TestLoader:
    def test_two_ranks_read_what_one_reads_in_two_steps(self, tmp_path: Path) -> None:
        paths = shards(tmp_path, 50, 30, 41)
        alone = TrainLoader(paths)
        both = [TrainLoader(paths, rank, 2) for rank in (0, 1)]
        for _ in range(7):
            one = [alone.next_batch(32, 8, 2) for _ in range(2)]
            two = [loader.next_batch(32, 8) for loader in both]
            for (x, y), (x2, y2) in zip(one, two, strict=True):
                assert torch.equal(x, x2) and torch.equal(y, y2)

    def test_the_stream_is_whole_and_begins_again(self, tmp_path: Path) -> None:
        paths = shards(tmp_path, 10, 7)
        loader = TrainLoader(paths)
        seen: list[int] = []
        for _ in range(7):
            x, y = loader.next_batch(4, 2)
            assert x.shape == y.shape == (2, 2) and x.dtype == torch.int64
            flat = [*x.flatten().tolist(), int(y[-1, -1])]
            assert y.flatten().tolist() == flat[1:]
            seen += flat
        assert seen == [i % 17 for i in range(35)]

    def test_resumes_to_the_token(self, tmp_path: Path) -> None:
        paths = shards(tmp_path, 10, 7)
        loader = TrainLoader(paths)
        for _ in range(3):
            loader.next_batch(4, 2)
        again = TrainLoader(paths)
        again.load_state_dict(loader.state_dict())
        assert torch.equal(loader.next_batch(4, 2)[0], again.next_batch(4, 2)[0])

    def test_what_does_not_divide_or_is_not_there_is_refused(self, tmp_path: Path) -> None:
        loader = TrainLoader(shards(tmp_path, 10))
        for tokens in (0, 5, 6):
            with pytest.raises(ValueError):
                loader.next_batch(tokens, 4, 1)
        with pytest.raises(DataError):
            TrainLoader([])
        with pytest.raises(DataError):
            TrainLoader(shards(tmp_path, 0, 0)).next_batch(4, 2)


class TestFolder:
    def layout(self, root: Path) -> Path:
        for vocab in (512, 1024):
            folder = root / "datasets" / f"x_sp{vocab}"
            folder.mkdir(parents=True)
            shards(folder, 20, split="val")
            shards(folder, 20, 20)
            (root / "tokenizers").mkdir(exist_ok=True)
            (root / "tokenizers" / f"x_{vocab}_bpe.model").write_bytes(build_model(vocab)[0])
        return root

    def test_the_dataset_of_the_vocabulary_is_found(self, tmp_path: Path) -> None:
        root = self.layout(tmp_path)
        for vocab in (512, 1024):
            for start in (root, root / "datasets" / f"x_sp{vocab}"):
                found = find_data(start, vocab)
                assert found.folder.name == f"x_sp{vocab}" and str(vocab) in found.tokenizer.name
                assert len(found.train) == 2 and found.val_tokens().tolist() == list(range(20))
                assert found.byte_table().vocab_size == vocab

    def test_what_is_missing_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no folder"):
            find_data(tmp_path / "none", 1024)
        with pytest.raises(DataError, match="no tokenizer"):
            find_data(tmp_path, 1024)
        with pytest.raises(DataError, match="4,096 pieces"):
            find_data(self.layout(tmp_path), 4096)

    def test_a_token_that_the_tokenizer_lacks_is_said(self, tmp_path: Path) -> None:
        shards(tmp_path, 20, split="val", start=500)
        (tmp_path / "t.model").write_bytes(build_model(512)[0])
        with pytest.raises(DataError, match="519"):
            find_data(tmp_path, 512).val_tokens()


@pytest.mark.slow
class TestLocal:
    def test_real_english_the_same_each_time(self, tmp_path: Path) -> None:
        first, texts = write_local(tmp_path / "a", 1024), documents()
        command = [sys.executable, "-m", "reference_model", "data", "--local", "--out", str(tmp_path / "b")]
        root = Path(__file__).resolve().parents[2]
        subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True)
        for left in (first.data.val[0], first.data.train[0], first.data.tokenizer):
            right = tmp_path / "b" / left.relative_to(tmp_path / "a")
            assert left.read_bytes() == right.read_bytes()
        words = re.findall(r"[a-z]+", " ".join(texts).lower())
        assert sum(word in {"the", "a", "of", "to", "is", "and", "in"} for word in words) > len(words) / 8
        tokens = first.data.val_tokens()
        assert int(tokens[0]) == 1 and int((tokens == 1).sum()) == len(texts[::10])
        assert tokens.numel() == first.val_tokens > 50_000
        counted = first.data.byte_table().count(tokens[:-1], tokens[1:])
        assert int(counted.sum()) == first.val_bytes


class FakeHub:
    """A repository in a dictionary; files can come damaged."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked, self.damaged = files, list[str](), set[str]()

    def describe(self, paths: Iterable[str]) -> dict[str, RemoteFile]:
        return {
            path: RemoteFile(path, len(self.files[path]), hashlib.sha256(self.files[path]).hexdigest())
            for path in paths if path in self.files
        }  # fmt: skip

    def download(self, path: str, folder: Path) -> Path:
        self.asked.append(path)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.files[path][::-1] if path in self.damaged else self.files[path])
        return target


def hub(tmp_path: Path, **manifest: object) -> FakeHub:
    (shard,) = shards(tmp_path, 20)
    table = {
        "datasets": [
            {"name": "fineweb10B_sp1024", "tokenizer_name": "sp_bpe_1024", "stats": {"files_train": 2, "files_val": 1}}
        ],
        "tokenizers": [{"name": "sp_bpe_1024", "model_path": "tokenizers/fineweb_1024_bpe.model"}],
        **manifest,
    }
    folder = "datasets/datasets/fineweb10B_sp1024/"
    names = ("fineweb_val_000000.bin", "fineweb_train_000000.bin", "fineweb_train_000001.bin")
    files = {folder + name: shard.read_bytes() for name in names}
    files["datasets/tokenizers/fineweb_1024_bpe.model"] = build_model(1024)[0]
    files["datasets/manifest.json"] = json.dumps(table).encode()
    return FakeHub(files)


class TestFetch:
    def test_brings_what_find_data_finds_and_nothing_twice(self, tmp_path: Path) -> None:
        source, out, told = hub(tmp_path), tmp_path / "out", list[tuple[str, int, int]]()
        written = fetch(out, "sp1024", 1, source, lambda *seen: told.append(seen))
        found = find_data(out, 1024)
        assert {*found.train, *found.val, found.tokenizer} == set(written)
        assert told[-1][1] == told[-1][2] == sum(path.stat().st_size for path in written)
        source.asked.clear()
        fetch(out, "sp1024", 2, source)
        assert [Path(path).name for path in source.asked] == ["manifest.json", "fineweb_train_000001.bin"]
        assert not (out / fetching.PARTIAL).exists()

    def test_a_damaged_file_is_removed_and_said(self, tmp_path: Path) -> None:
        source = hub(tmp_path)
        source.damaged.add("datasets/datasets/fineweb10B_sp1024/fineweb_val_000000.bin")
        with pytest.raises(DataError, match=r"fineweb_val_000000.bin came with a wrong SHA-256"):
            fetch(tmp_path / "out", "sp1024", 1, source)
        assert not list((tmp_path / "out").rglob("*.bin"))
        source.damaged.clear()
        assert len(fetch(tmp_path / "out", "sp1024", 1, source)) == 3

    def test_a_file_that_was_cut_off_is_fetched_again(self, tmp_path: Path) -> None:
        source, out = hub(tmp_path), tmp_path / "out"
        shard = next(path for path in fetch(out, "sp1024", 1, source) if path.suffix == ".bin")
        shard.write_bytes(shard.read_bytes()[:-2])
        fetch(out, "sp1024", 1, source)
        assert read_shard(shard).size == 20

    def test_the_manifest_decides_where_it_has_checksums(self, tmp_path: Path) -> None:
        source = hub(tmp_path, files=[{"path": "x/fineweb_val_000000.bin", "sha256": "0" * 64}])
        with pytest.raises(DataError, match="another in the repository"):
            fetch(tmp_path / "out", "sp1024", 1, source)
        assert checksums({"a": [{"file": "b/c.bin", "sha256": "AB"}]}) == {"c.bin": "ab"}

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        source = hub(tmp_path)
        for variant, shards_asked, says in [("sp9", 1, "no variant 'sp9'"), ("sp1024", 3, "has 2 training shards")]:
            with pytest.raises(DataError, match=says):
                fetch(tmp_path / "out", variant, shards_asked, source)
        del source.files["datasets/tokenizers/fineweb_1024_bpe.model"]
        with pytest.raises(DataError, match="has no datasets/tokenizers"):
            fetch(tmp_path / "out", "sp1024", 1, source)

    def test_a_path_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        source = hub(tmp_path, tokenizers=[{"name": "sp_bpe_1024", "model_path": "../../../evil.model"}])
        source.files["datasets/../../../evil.model"] = b"x"
        with pytest.raises(DataError, match="not its own"):
            fetch(tmp_path / "out", "sp1024", 1, source)
        assert not source.asked[1:]

    def test_without_the_library_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
        with pytest.raises(DataError, match=r"golf-audit\[data\]"):
            fetching.HuggingFace()

    def test_wanted_names_every_file(self, tmp_path: Path) -> None:
        manifest = json.loads(hub(tmp_path).files["datasets/manifest.json"])
        assert len(wanted(manifest, "sp1024", 2)) == 4
