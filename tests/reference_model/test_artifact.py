"""The artifact: container, compressors, accounting, and the artifacts of other scripts."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_model import cli
from reference_model.artifact import ArtifactError, pack, unpack
from reference_model.artifact.accounting import LIMIT, Accounting, account, label
from reference_model.artifact.build import build
from reference_model.artifact.compress import CompressionError, compress, decompress
from reference_model.artifact.container import DTYPES, MAGIC, PREAMBLE, VERSION, raw_bytes
from reference_model.artifact.foreign import quantised_of, read
from reference_model.config import Compressor, QuantConfig, load_preset
from reference_model.model.transformer import GPT
from reference_model.quantisation import Quantised, QuantisedTensor, dequantise, quantise

COMPRESSORS: list[tuple[Compressor, int]] = [("zstd", 22), ("lzma", 9), ("zlib", 9), ("brotli", 11)]


def fixed(*shape: int, step: int = 7919) -> Tensor:
    """Numbers in [-2, 2] that no generator decides."""
    count = int(torch.tensor(shape).prod())
    return ((torch.arange(count) * step % 4001 - 2000) / 1000).reshape(shape)


def state() -> dict[str, Tensor]:
    return {
        "tok_emb.weight": fixed(32, 16),
        "bigram_emb.embed.weight": fixed(40, 16, step=6007) / 3,
        "skip_weights": fixed(2, 16),
        "blocks.0.attn.c_q.weight": fixed(16, 16, step=104_729),
        "blocks.0.attn.c_k.weight": fixed(8, 16, step=1_299_709) / 50,
        "blocks.0.mlp.up_proj.weight": fixed(48, 16, step=15_485_863).bfloat16(),
        "blocks.0.attn_scale": fixed(16),
        "blocks.0.attn.q_gain": fixed(4),
        "steps": torch.arange(5),
    }


def same(a: Quantised, b: Quantised) -> bool:
    """Whether two hold the same bits under the same names in the same order."""
    if list(a.tensors) != list(b.tensors):
        return False
    for x, y in zip(a.tensors.values(), b.tensors.values(), strict=True):
        if (x.form, x.dtype, x.scale is None) != (y.form, y.dtype, y.scale is None):
            return False
        pairs = [(x.values, y.values)] + ([(x.scale, y.scale)] if x.scale is not None and y.scale is not None else [])
        if any(p.dtype != q.dtype or p.shape != q.shape or not torch.equal(p, q) for p, q in pairs):
            return False
    return True


@pytest.mark.parametrize(("compressor", "level"), COMPRESSORS)
def test_the_container_gives_back_every_bit(compressor: Compressor, level: int) -> None:
    config = QuantConfig(keep_float_numel=16, compressor=compressor, compressor_level=level)
    made = quantise(state(), config)
    data = pack(made, config)
    assert same(unpack(data), made) and pack(made, config) == data and same(read(data), made)
    changed = dict(made.tensors)
    entry = changed["tok_emb.weight"]
    changed["tok_emb.weight"] = replace(entry, values=entry.values ^ (torch.arange(512).reshape(32, 16) == 77))
    assert not same(unpack(pack(Quantised(changed), config)), made)


@pytest.mark.parametrize("name", list(DTYPES))
def test_every_dtype_goes_through(name: str) -> None:
    for shape in ((3, 5), (), (0, 4)):
        tensor = (fixed(3, 5) * 3).to(DTYPES[name])
        tensor = tensor if shape == (3, 5) else tensor[0, 0] if not shape else torch.empty(shape, dtype=DTYPES[name])
        made = Quantised({"t": QuantisedTensor(tensor, None, "as_is", tensor.dtype)})
        assert same(unpack(pack(made, QuantConfig())), made)
    odd = Quantised({"t": QuantisedTensor(torch.zeros(2, dtype=torch.complex64), None, "as_is", torch.complex64)})
    with pytest.raises(ArtifactError, match="complex64"):
        pack(odd, QuantConfig())


def test_nan_and_infinity_keep_their_bits() -> None:
    tensor = torch.tensor([0x7FC01234, 0x7F800000, -0x80000000], dtype=torch.int32).view(torch.float32)
    made = Quantised({"t": QuantisedTensor(tensor, None, "float32", torch.float32)})
    back = unpack(pack(made, QuantConfig())).tensors["t"].values
    assert torch.equal(back.view(torch.int32), tensor.view(torch.int32))


@pytest.mark.parametrize(("compressor", "level"), COMPRESSORS)
def test_cut_and_changed_artifacts_are_refused(compressor: Compressor, level: int) -> None:
    config = QuantConfig(keep_float_numel=16, compressor=compressor, compressor_level=level)
    made = quantise(state(), config)
    data = pack(made, config)
    for end in {0, 3, PREAMBLE.size - 1, PREAMBLE.size, len(data) // 2, len(data) - 1}:
        with pytest.raises(ArtifactError):
            unpack(data[:end])
    for place in range(0, len(data), max(len(data) // 150, 1)):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(ArtifactError) as found:
            unpack(bytes(damaged))
        assert "\n" not in str(found.value)


def packed(raw: bytes) -> bytes:
    """Any raw bytes as an artifact whose checksum is right."""
    stream = zlib.compress(raw)
    return PREAMBLE.pack(MAGIC, VERSION, 2, len(raw), zlib.crc32(stream)) + stream


def with_header(header: Any, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return packed(struct.pack("<I", len(text)) + text + body)


ENTRY = {"name": "a", "form": "int8_row", "dtype": "float32", "parts": [["int8", [2, 3]], ["float16", [2]]]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"form": "int4"}, "wrongly"), ({"form": ["x"]}, "wrongly"), ({"dtype": "object"}, "wrongly"),
        ({"dtype": []}, "wrongly"), ({"parts": None}, "wrongly"), ({"name": 3}, "header"),
        ({"parts": [["int8", [2, 3]]]}, "1 parts"), ({"parts": [["int8", [2, 3]], ["float16", [3]]]}, "bytes|fit|ends"),
        ({"parts": [["int8", [2, -3]], ["float16", [2]]]}, "shape"), ({"parts": [["int8", [2, 3e9]], 1]}, "shape"),
        ({"parts": [["int8", [10**6, 10**6]], ["float16", [2]]]}, "ends"),
        ({"parts": [["uint8", [2, 3]], ["float16", [2]]]}, "fit"),
        ({"parts": [["int8", [2, 3]], ["int16", [2]]]}, "fit"),
        ({"parts": [["int8", [2, 2]], ["float16", [2]]]}, "no tensor claims"),
    ],
)  # fmt: skip
def test_headers_that_lie_are_refused(changes: dict[str, Any], says: str) -> None:
    assert unpack(with_header({"tensors": [ENTRY]}, bytes(10))).tensors["a"].values.shape == (2, 3)
    with pytest.raises(ArtifactError, match=says):
        unpack(with_header({"tensors": [{**ENTRY, **changes}]}, bytes(10)))


@pytest.mark.parametrize("header", [[], {}, {"tensors": 3}, {"tensors": ["a"]}, {"tensors": [[]]}, None, "x"])
def test_headers_of_another_shape_are_refused(header: Any) -> None:
    with pytest.raises(ArtifactError, match="header"):
        unpack(with_header(header))


def test_other_lies_are_refused() -> None:
    with pytest.raises(ArtifactError, match="twice"):
        unpack(with_header({"tensors": [ENTRY, ENTRY]}, bytes(20)))
    for raw in (
        b"",
        b"\x00",
        struct.pack("<I", 1 << 30) + b"{}",
        struct.pack("<I", 4) + b"\xff\xfe{}",
        b"\x02\0\0\0[[",
    ):
        with pytest.raises(ArtifactError, match="header"):
            unpack(packed(raw))
    with pytest.raises(ArtifactError, match="header"):
        unpack(packed(struct.pack("<I", 200_000) + b"[" * 200_000))
    bools = {"name": "a", "form": "as_is", "dtype": "bool", "parts": [["bool", [2]]]}
    with pytest.raises(ArtifactError, match="truth"):
        unpack(with_header({"tensors": [bools]}, b"\x01\x02"))
    good = pack(quantise(state(), QuantConfig()), QuantConfig())
    with pytest.raises(ArtifactError, match="version 9"):
        unpack(good[:4] + b"\x09" + good[5:])
    with pytest.raises(ArtifactError, match="more than 100"):
        unpack(good, limit=100)
    with pytest.raises(ArtifactError, match="no artifact"):
        unpack(b"GOLD" + good[4:])


@given(st.binary(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_refused_in_one_sentence(noise: bytes) -> None:
    for data in (noise, MAGIC + noise, packed(noise), packed(struct.pack("<I", len(noise)) + noise)):
        with pytest.raises(ArtifactError) as found:
            unpack(data)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(("compressor", "level"), COMPRESSORS)
def test_a_bomb_stays_small(compressor: Compressor, level: int) -> None:
    bomb = compress(bytes(30_000_000), compressor, min(level, 6))
    assert len(bomb) < 50_000
    with pytest.raises(CompressionError, match="more than 1,000 bytes"):
        decompress(bomb, compressor, 1000)
    assert decompress(bomb, compressor, 30_000_000) == bytes(30_000_000)
    with pytest.raises(CompressionError):
        decompress(bomb[: len(bomb) // 2], compressor)


def test_the_accounting_is_right_to_the_byte() -> None:
    config = QuantConfig(matrices="int6_row", keep_float_numel=16, compressor="zstd", compressor_level=22)
    made = quantise(state(), config)
    data = pack(made, config)
    found = account(made, data, 1234, config)
    assert found.total == len(data) + 1234 and found.fits
    assert found.log_lines() == (
        "Code size: 1234 bytes",
        f"Serialized model int6+zstd-22: {len(data)} bytes",
        f"Total submission size int6+zstd-22: {len(data) + 1234} bytes",
    )
    lines = {line.part: line for line in found.lines}
    assert lines["embeddings int8_row"].raw == 32 * 16 + 32 * 2 and lines["embeddings int8_row"].parameters == 512
    assert (
        lines["attention int6_row"].raw == 16 * 16 + 16 * 2 + 8 * 16 + 8 * 2
        and lines["attention int6_row"].tensors == 2
    )
    assert lines["kept in float32"].raw == 4 * (16 + 4) and lines["kept in int64"].raw == 40
    tensors = sum(line.raw for line in found.lines)
    header = struct.unpack_from("<I", raw_bytes(made))[0]
    assert tensors + 4 + header == len(raw_bytes(made))
    table = found.table().splitlines()
    assert table[-1].split()[-1] == f"{LIMIT - found.total:,}" and len({line.rfind(" ") for line in table[:1]}) == 1


def test_the_cap_is_16_000_000_and_one_byte_more_is_too_much() -> None:
    assert Accounting(500_000, 15_500_000, "x").fits
    over = Accounting(500_000, 15_500_001, "x")
    assert not over.fits and over.table().splitlines()[-1].split() == ["over", "the", "cap", "1"]


@pytest.mark.parametrize(
    ("preset", "text"),
    [("gepa_644", "int6+zstd-22"), ("gepa_598", "int6+zstd-22"), ("int5_861", "int5+zstd-22"),
     ("recur_1406", "int6+lzma"), ("baseline", "int8+zlib")],
)  # fmt: skip
def test_labels(preset: str, text: str) -> None:
    assert label(load_preset(preset).quant) == text


def test_selective_pruning_reaches_the_size() -> None:
    config = replace(load_preset("muon_ttt_1406").quant, keep_float_numel=16, compressor="zlib", compressor_level=9)
    small = {name: tensor / 9 if tensor.is_floating_point() else tensor for name, tensor in state().items()}
    plain = build(small, config, 100)
    assert plain.ones == plain.pruned_ones == 0
    plain_total = plain.accounting.total
    roomy = build(small, replace(config, selective_prune_bytes=plain_total), 100)
    assert roomy.data == plain.data and roomy.pruned_ones == 0 < roomy.ones
    hopeless = build(small, replace(config, selective_prune_bytes=200), 100)
    assert hopeless.pruned_ones == hopeless.ones and hopeless.accounting.total > 200
    limit = (plain_total + hopeless.accounting.total) // 2
    tight = build(small, replace(config, selective_prune_bytes=limit), 100)
    assert tight.accounting.total == len(tight.data) + 100 <= limit and 0 < tight.pruned_ones < tight.ones
    assert same(unpack(tight.data), tight.quantised)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "payload"), [("gepa_644", 27_530_604), ("gepa_598", 27_522_422)])
def test_full_size_artifacts_hold_as_many_bytes_as_the_logs_say(preset: str, payload: int) -> None:
    """``payload:`` of the log lines of #644 and #598: bytes of all stored tensors before compression."""
    chosen = load_preset(preset)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in GPT(chosen.model).state_dict().items()}
    made = quantise(zeros, replace(chosen.quant, clip_candidates=0))
    tensors = [t for entry in made.tensors.values() for t in (entry.values, entry.scale) if t is not None]
    assert sum(t.numel() * t.element_size() for t in tensors) == payload


GOLDEN_SMALL = 16
"""Elements of a small tensor there."""
GOLDEN = {
    "baseline": "8b11d991063a58f1",
    "gepa_644": "0e9c5e1cdf9abc3b",
    "gepa_598": "a2866d2c5d896737",
    "int5_861": "9cd4775579c36a65",
    "muon_ttt_1406": "69d17d9dda17e31d",
}
"""First digits of the sha256 of the artifact before compression, from `state`."""


@pytest.mark.parametrize("preset", list(GOLDEN))
def test_golden_artifacts(preset: str) -> None:
    config = replace(load_preset(preset).quant, keep_float_numel=GOLDEN_SMALL, prune_fraction=0.0)
    assert hashlib.sha256(raw_bytes(quantise(state(), config))).hexdigest()[:16] == GOLDEN[preset]


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def lists() -> dict[str, Any]:
    """A dictionary as the baseline's script and the GEPA ones save it."""
    return {
        "__quant_format__": "int6_clean_per_row_v1",
        "quantized": {
            "a.weight": torch.tensor([[1, -32], [3, 31]], dtype=torch.int8),
            "b": torch.ones(3).to(torch.int8),
        },
        "scales": {"a.weight": torch.tensor([0.5, 0.25]).half(), "b": torch.tensor(2.0)},
        "dtypes": {"a.weight": "bfloat16", "b": "float32"},
        "passthrough": {"c": torch.ones(2).half(), "d": torch.ones(2), "n": torch.arange(2)},
        "qmeta": {"a.weight": {"scheme": "per_row", "axis": 0}},
        "passthrough_orig_dtypes": {"c": "float32"},
    }


@pytest.mark.parametrize(("compressor", "level"), COMPRESSORS[:3])
def test_artifacts_of_the_first_kind(compressor: Compressor, level: int) -> None:
    found = read(compress(saved(lists()), compressor, level))
    weights = dequantise(found)
    assert weights["a.weight"].tolist() == [[0.5, -16.0], [0.75, 7.75]] and weights["a.weight"].dtype == torch.bfloat16
    assert weights["b"].tolist() == [2, 2, 2] and weights["c"].dtype == weights["d"].dtype == torch.float32
    assert found.tensors["a.weight"].form == "int6_row" and found.tensors["n"].form == "as_is"
    assert same(unpack(pack(found, QuantConfig())), found)


def test_artifacts_of_the_second_kind() -> None:
    w = {"x.q": torch.tensor([[2, -31]], dtype=torch.int8), "x.scale": torch.tensor([0.5]).half(),
         "y.q": torch.tensor([[100]], dtype=torch.int8), "y.scale": torch.tensor([0.5]).half(),
         "s": torch.ones(2).half(), "c": torch.ones(2)}  # fmt: skip
    m = {"x": {"type": "int6"}, "y": {"type": "int8"}, "s": "passthrough", "c": "passthrough_ctrl"}
    found = read(compress(saved({"w": w, "m": m}), "lzma", 9))
    assert {name: entry.form for name, entry in found.tensors.items()} == {
        "x": "int6_row", "y": "int8_row", "s": "float16", "c": "float32",
    }  # fmt: skip
    weights = dequantise(found)
    assert weights["x"].tolist() == [[1.0, -15.5]] and weights["s"].dtype == torch.float32
    del w["y.scale"]
    with pytest.raises(ArtifactError, match=r"lacks y\.scale"):
        quantised_of({"w": w, "m": m})


def test_a_plain_state_dict_is_taken_as_it_is() -> None:
    weights = dequantise(read(saved(state())))
    assert all(
        torch.equal(weights[name], tensor) and weights[name].dtype == tensor.dtype for name, tensor in state().items()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"scales": {}}, {"quantized": None}, {"dtypes": {"a.weight": "object", "b": "float32"}}, {"dtypes": 3},
        {"passthrough": {"c": 3}}, {"passthrough": {"a.weight": torch.ones(1)}},
        {"scales": {"a.weight": torch.ones(3), "b": torch.tensor(2.0)}},
        {"quantized": {"a.weight": torch.ones(2, 2), "b": torch.ones(3)}},
    ],
)  # fmt: skip
def test_dictionaries_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError) as found:
        quantised_of({**lists(), **change})
    assert "\n" not in str(found.value)


def test_a_tensor_that_shows_more_than_it_stores_is_refused() -> None:
    with pytest.raises(ArtifactError, match="plain tensor"):
        quantised_of({"w": torch.ones(1).expand(10**6)})
    with pytest.raises(ArtifactError, match="plain tensor"):
        quantised_of({"w": torch.ones(2, 2).to_sparse()})


def test_the_command_writes_an_artifact_and_prints_what_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, script, out = tmp_path / "weights.pt", tmp_path / "train_gpt.py", tmp_path / "model.golf"
    weights.write_bytes(saved(state()))
    script.write_text("print('hello')\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["quantize", "--preset", "gepa_598", "--weights", str(weights), "--out", str(out),
                  "--code", str(script), "--set", "keep_float_numel=16"])  # fmt: skip
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and f"Serialized model int6+zstd-22: {out.stat().st_size} bytes" in printed
    assert "Code size: 15 bytes" in printed and f"{out.stat().st_size + 15:,}" in printed
    config = replace(load_preset("gepa_598").quant, keep_float_numel=16)
    assert same(unpack(out.read_bytes()), quantise(state(), config))
    weights.write_bytes(b"no weights")
    with pytest.raises(SystemExit) as ended:
        cli.main(["quantize", "--preset", "gepa_598", "--weights", str(weights), "--out", str(out)])
    assert ended.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1
