"""The artifacts of the submissions' scripts: recognised by their shape, read without running anything.

Two kinds are known, both dictionaries written by ``torch.save`` and then compressed:

- **lists**: ``__quant_format__``, ``quantized``, ``scales``, ``dtypes``, ``passthrough`` and, where needed, ``qmeta``
  and ``passthrough_orig_dtypes``: the competition's baseline, #598, #644, #861;
- **flat**: ``w``, tensors by name (``<name>.q`` and ``<name>.scale`` for quantised ones), and ``m``, how each is
  stored: the three folders of #1406.

A plain state dict of float tensors is taken as it is. Files are read as data (`artifact.saved`) and never unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from reference_model.artifact.compress import MAX_RAW, CompressionError, decompress, recognise
from reference_model.artifact.container import DTYPES, MAGIC, ArtifactError, unpack
from reference_model.artifact.saved import SavedError, load_saved
from reference_model.quantisation.quantised import Form, Quantised, QuantisedTensor

ZIP = b"PK\x03\x04"
"""How a file of ``torch.save`` begins."""


def read(data: bytes, limit: int = MAX_RAW) -> Quantised:
    """An artifact of the reference, of a known script, or a plain state dict. Raises `ArtifactError`."""
    if data.startswith(MAGIC):
        return unpack(data, limit)
    return quantised_of(load(data, limit))


def load(data: bytes, limit: int = MAX_RAW) -> Any:
    """What ``torch.save`` wrote, decompressed where it is compressed, read as data. Raises `ArtifactError`."""
    compressor = recognise(data)
    if compressor is None and not data.startswith(ZIP):
        compressor = "brotli"  # has no mark
    try:
        return load_saved(data if compressor is None else decompress(data, compressor, limit), limit)
    except CompressionError as error:
        if compressor == "brotli":
            sentence = f"the file is no archive of torch.save, and {error}, if it is one of brotli"
            raise ArtifactError(sentence) from error
        raise ArtifactError(f"the file cannot be decompressed: {error}") from error
    except SavedError as error:
        raise ArtifactError(str(error)) from error


def quantised_of(loaded: Any) -> Quantised:
    """Quantised tensors from what a script saved. Raises `ArtifactError`."""
    if not isinstance(loaded, dict):
        raise ArtifactError("the file holds no dictionary")
    if "__quant_format__" in loaded:
        return _from_lists(loaded)
    if set(loaded) == {"w", "m"}:
        return _from_flat(loaded)
    return Quantised({name: _kept(name, tensor, None) for name, tensor in _tensors(loaded).items()})


def _from_lists(loaded: Mapping[str, Any]) -> Quantised:
    quantized, scales = _tensors(loaded.get("quantized")), _tensors(loaded.get("scales"))
    kept = _tensors(loaded.get("passthrough"))
    dtypes, originals = _words(loaded.get("dtypes")), _words(loaded.get("passthrough_orig_dtypes", {}))
    if set(quantized) != set(scales) or not set(quantized) <= set(dtypes) or set(quantized) & set(kept):
        raise ArtifactError("values, scales and dtypes of the artifact do not name the same tensors")
    out = {
        name: _integer(
            name, values, scales[name], _form(loaded["__quant_format__"], values, scales[name]), dtypes[name]
        )
        for name, values in quantized.items()
    }
    out.update((name, _kept(name, tensor, originals.get(name))) for name, tensor in kept.items())
    return Quantised(out)


def _from_flat(loaded: Mapping[str, Any]) -> Quantised:
    tensors, meta = _tensors(loaded["w"]), loaded["m"]
    if not isinstance(meta, dict):
        raise ArtifactError("the artifact does not say how its tensors are stored")
    out: dict[str, QuantisedTensor] = {}
    for name, how in meta.items():
        wanted = [f"{name}.q", f"{name}.scale"] if isinstance(how, dict) else [name]
        missing = [key for key in wanted if key not in tensors]
        if missing:
            raise ArtifactError(f"the artifact lacks {missing[0]}")
        if isinstance(how, dict):
            values, scale = (tensors[key] for key in wanted)
            form: Form = "int6_row" if how.get("type") == "int6" else "int8_row"
            out[name] = _integer(name, values, scale, form, "float32")
        else:
            half = tensors[name].dtype == torch.float16
            out[name] = _kept(name, tensors[name], "float32" if half else None)
    return Quantised(out)


def _form(label: object, values: Tensor, scale: Tensor) -> Form:
    """The form that a label of the first kind and the tensors themselves tell."""
    if scale.ndim == 0:
        return "int8_tensor"
    if isinstance(label, str) and label.startswith("int8"):
        return "int8_row"
    largest = int(values.abs().max()) if values.numel() else 0
    return "int8_row" if largest > 32 else "int5_row" if str(label).startswith("int5") else "int6_row"


def _integer(name: str, values: Tensor, scale: Tensor, form: Form, dtype: str) -> QuantisedTensor:
    if values.dtype != torch.int8 or not scale.is_floating_point() or scale.shape not in ((), values.shape[:1]):
        raise ArtifactError(f"values and scale of {name} do not fit each other")
    return QuantisedTensor(values, scale, form, _dtype(name, dtype))


def _kept(name: str, tensor: Tensor, original: str | None) -> QuantisedTensor:
    """A tensor that was not quantised; ``original``: its dtype before it was stored."""
    forms: dict[torch.dtype, Form] = {torch.float16: "float16", torch.float32: "float32"}
    dtype = tensor.dtype if original is None else _dtype(name, original)
    return QuantisedTensor(tensor, None, forms.get(tensor.dtype, "as_is"), dtype)


def _dtype(name: str, word: str) -> torch.dtype:
    if word not in DTYPES:
        raise ArtifactError(f"{name} has a dtype that is not known")
    return DTYPES[word]


def _tensors(found: Any) -> dict[str, Tensor]:
    """``found`` as a dictionary of honest tensors. Raises `ArtifactError`."""
    if not isinstance(found, dict):
        raise ArtifactError("a dictionary of tensors is missing")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArtifactError("the file holds something other than tensors by name")
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ArtifactError(f"{name} is no plain tensor")
    return {name: tensor.detach() for name, tensor in found.items()}


def _words(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(x, str) for pair in found.items() for x in pair):
        raise ArtifactError("the artifact's dtypes cannot be read")
    return found
