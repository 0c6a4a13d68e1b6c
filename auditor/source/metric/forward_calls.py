"""Calls of a forward pass: the submission's own functions and modules, torch's layers, attention, tensor operations."""

from __future__ import annotations

import ast
from dataclasses import replace

from auditor.core.types import PathStep
from auditor.source.metric import tensor_ops as ops
from auditor.source.metric.axes import (
    ONE,
    UNKNOWN,
    D,
    Module,
    Parts,
    Plain,
    Size,
    Sizes,
    T,
    Tensor,
    Trail,
    Value,
    combine,
    is_unknown,
)
from auditor.source.metric.codeindex import Function
from auditor.source.metric.forward_core import Scope, forgotten
from auditor.source.metric.forward_expressions import Expressions

_FLASH = frozenset(
    {
        "flash_attn_func",
        "flash_attn_3_func",
        "flash_attn_varlen_func",
        "fa3_func",
        "flash_attn_qkvpacked_func",
    }
)


class Calls(Expressions):
    """Adds `call`."""

    def call(self, node: ast.Call, scope: Scope) -> Value:
        """What a call gives: a submodule, a method or function of the submission, else an operation of torch."""
        args = [self.value_of(a, scope) for a in node.args]
        named = {k.arg: self.value_of(k.value, scope) for k in node.keywords if k.arg}
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        receiver = self.value_of(func.value, scope) if isinstance(func, ast.Attribute) else None
        if isinstance(func, ast.Subscript):
            module = self.value_of(func, scope)
            if isinstance(module, Module):
                return self.module_call(module, args, named, node, scope)
        local = scope.names.get(name) if isinstance(func, ast.Name) else None
        if isinstance(local, Module):
            return self.module_call(local, args, named, node, scope)
        if isinstance(receiver, Module):
            inner = self.module(receiver.name, name)
            if isinstance(inner, Module):
                return self.module_call(inner, args, named, node, scope)
            method = self.method_of(receiver.name, name)
            if method is not None:
                return self.enter(method, self.bind(method, args, named, receiver), receiver.name)
        if not isinstance(receiver, Tensor):
            own = [f for f in self._index.resolve(func) if f.class_name is None]
            if own and (isinstance(func, ast.Name) or not _is_torch(func)):
                return self.enter(own[-1], self.bind(own[-1], args, named, None), None)
        special = self._attention(name, args, named, node, scope)
        if special is not None:
            return special
        return self._operation(name, receiver, args, named, node, scope)

    def method_of(self, cls: str, name: str) -> Function | None:
        """The method ``name`` of a class of the submission, its own or inherited."""
        for function in self._index.by_name.get(name, []):
            if function.class_name == cls:
                return function
        if cls in self._index.classes:
            for base in self._index.classes[cls][1].bases:
                if isinstance(base, ast.Name) and base.id != cls and base.id in self._index.classes:
                    return self.method_of(base.id, name)
        return None

    def module_call(
        self, module: Module, args: list[Value], named: dict[str, Value], node: ast.Call, scope: Scope
    ) -> Value:
        """What calling ``module`` gives."""
        if module.name in self._index.classes:
            forward = self.method_of(module.name, "forward") or self.method_of(module.name, "__call__")
            if forward is not None:
                return self.enter(forward, self.bind(forward, args, named, module), module.name)
            bases = [getattr(b, "attr", getattr(b, "id", "")) for b in self._index.classes[module.name][1].bases]
            return self._nn_call(bases[0] if bases else "", module, args, named, node, scope)
        return self._nn_call(module.name, module, args, named, node, scope)

    def _nn_call(
        self, name: str, module: Module, args: list[Value], named: dict[str, Value], node: ast.Call, scope: Scope
    ) -> Value:
        first = args[0] if args else next(iter(named.values()), UNKNOWN)
        if not isinstance(first, Tensor):
            return UNKNOWN
        options = dict(module.options)
        if name in {"Embedding", "EmbeddingBag"}:
            self._embedded = self._embedded or first.is_input
            return replace(first, dims=(*first.dims, D) if first.dims is not None else None, is_input=False)
        if name == "MultiheadAttention":
            masks = [named.get("attn_mask", Plain(None)), named.get("is_causal", Plain(False)), *args[4:]]
            open_ = all(isinstance(m, Plain) and not m.value and not is_unknown(m) for m in masks)
            step = self.step_at(node, "nn.MultiheadAttention without a causal mask", scope)
            both = combine(args[:3], step)
            if open_ and isinstance(both, Tensor) and all(isinstance(a, Tensor) and a.has_sequence for a in args[:2]):
                both = replace(both, mixed=both.mixed or Trail((step,)))
            return Parts((both, UNKNOWN))
        if name in {"LSTM", "GRU", "RNN"}:
            if options.get("bidirectional") is True:
                step = self.step_at(node, f"nn.{name} runs in both directions", scope)
                return Parts((replace(first, mixed=first.mixed or Trail((step,)), is_input=False), UNKNOWN))
            return Parts((replace(first, is_input=False), UNKNOWN))
        if name == "Conv1d":
            return self._conv(first, options, node, scope)
        if name in {"TransformerEncoder", "TransformerEncoderLayer"}:
            masks = [*args[1:], *named.values()]
            if not masks:
                step = self.step_at(node, f"nn.{name} without a mask", scope)
                return replace(first, mixed=first.mixed or Trail((step,)))
        return replace(first, is_input=False)

    def _conv(self, value: Tensor, options: dict[str, object], node: ast.Call, scope: Scope) -> Value:
        kernel, padding = options.get("kernel_size", options.get("2", ...)), options.get("padding", options.get("4", 0))
        dilation = options.get("dilation", 1)
        if value.axis(-1) != T or value.shift is None:
            return replace(value, is_input=False)
        if not isinstance(kernel, int) or not isinstance(padding, int) or not isinstance(dilation, int):
            return replace(value, shift=None, is_input=False)
        shift = value.shift + (kernel - 1) * dilation - padding
        step = self.step_at(
            node, f"a convolution of {kernel} taps with {padding} padded sees {shift} positions ahead", scope
        )
        return replace(value, shift=shift, ahead=Trail((step,)) if shift > 0 else None, is_input=False)

    def _attention(
        self, name: str, args: list[Value], named: dict[str, Value], node: ast.Call, scope: Scope
    ) -> Value | None:
        if name == "scaled_dot_product_attention":
            masks = [named.get("attn_mask", args[3] if len(args) > 3 else Plain(None)), named.get("mask", Plain(None))]
            causal = named.get("is_causal", args[5] if len(args) > 5 else Plain(False))
            what, need = "scaled_dot_product_attention without a causal mask", -2
        elif name in _FLASH:
            masks, causal = [], named.get("causal", UNKNOWN if len(args) > 4 else Plain(False))
            what, need = f"{name} with causal=False", -3
        elif name == "flex_attention":
            masks = [
                named.get("block_mask", args[4] if len(args) > 4 else Plain(None)),
                named.get("score_mod", args[3] if len(args) > 3 else Plain(None)),
            ]
            causal, what, need = Plain(False), "flex_attention without a mask", -2
        else:
            return None
        query = [named.get(k, UNKNOWN) for k in ("query", "key", "value")] if not args else args[:3]
        tensors = [q for q in query if isinstance(q, Tensor)]
        both = combine(list(tensors), self.step_at(node, what, scope))
        if not isinstance(both, Tensor):
            return UNKNOWN
        both = replace(both, dims=tensors[0].dims)
        if any(k.arg is None for k in node.keywords) or len(tensors) < 2:
            return both
        open_ = all(isinstance(m, Plain) and m.value is None for m in masks)
        free = isinstance(causal, Plain) and causal.value in (False, 0, None) and not is_unknown(causal)
        if open_ and free and tensors[0].axis(need) == T and tensors[1].axis(need) == T and both.mixed is None:
            return replace(both, mixed=Trail((self.step_at(node, what, scope),)))
        return both

    def _operation(
        self,
        name: str,
        receiver: Value | None,
        args: list[Value],
        named: dict[str, Value],
        node: ast.Call,
        scope: Scope,
    ) -> Value:
        subject = (
            receiver if isinstance(receiver, Tensor) else args[0] if args and isinstance(args[0], Tensor) else None
        )
        rest = args if isinstance(receiver, Tensor) else args[1:]
        step = self.step_at(node, f"{name}() over the sequence axis", scope)
        if name in {"cross_entropy", "linear_cross_entropy", "softcapped_entropy", "nll_loss"}:
            first = args[0] if args else UNKNOWN
            if isinstance(first, Tensor):
                target = args[1] if len(args) > 1 else named.get("target", UNKNOWN)
                ahead = target.shift if isinstance(target, Tensor) else None
                self._losses.append((first, ahead, self.step_at(node, "the loss is taken of it", scope)))
            return UNKNOWN
        if name in {"cat", "concat", "stack", "concatenate"} and args and isinstance(args[0], Parts):
            return self._cat(name, args, named, node, step)
        if name == "embedding" and args and isinstance(args[0], Tensor):
            first = args[0]
            self._embedded = self._embedded or first.is_input
            return replace(first, dims=(*first.dims, D) if first.dims is not None else None, is_input=False)
        if name in {"where", "baddbmm"}:
            value = combine(args, self.step_at(node, "spread over all positions, earlier ones included", scope))
            return replace(value, masked=True) if isinstance(value, Tensor) and value.axis(-1) == "K" else value
        if name == "checkpoint" and len(node.args) > 1:
            call = ast.Call(node.args[0], node.args[1:], [])
            return self.call(ast.copy_location(call, node), scope)
        if subject is None:
            given = [a for a in [*args, *named.values()] if isinstance(a, Tensor | Parts)]
            return forgotten(list(given)) if given else UNKNOWN
        return self._tensor_operation(name, subject, rest, named, node, scope, step)

    def _tensor_operation(
        self,
        name: str,
        subject: Tensor,
        rest: list[Value],
        named: dict[str, Value],
        node: ast.Call,
        scope: Scope,
        step: PathStep,
    ) -> Value:
        axis = named.get("dim", named.get("axis", rest[0] if rest else None))
        number = axis.value if isinstance(axis, Plain) and isinstance(axis.value, int) else None
        ints = [r.value for r in rest if isinstance(r, Plain) and isinstance(r.value, int)]
        if (ops.is_reduction(name) and name not in {"max", "min"}) or (name in {"max", "min"} and number is not None):
            keep = named.get("keepdim", rest[1] if len(rest) > 1 else Plain(False))
            if name in {"norm", "vector_norm"}:
                axis = named.get("dim", rest[1] if len(rest) > 1 and name == "norm" else None)
            axes = axis_numbers(axis)
            if axes == []:
                return replace(subject, dims=None, is_input=False)
            value = ops.reduce_over(subject, axes, isinstance(keep, Plain) and keep.value is True, step, name)
            return Parts((value, value)) if name in {"max", "min", "median"} else value
        if name in {"max", "min"} and not rest:
            return ops.reduce_over(subject, None, False, step, name)
        if ops.is_scan(name):
            return replace(subject, is_input=False)
        if name in {"softmax", "log_softmax"}:
            return ops.softmax(
                subject, number, self.step_at(node, "attention over the whole sequence without a causal mask", scope)
            )
        if name in {"masked_fill", "masked_fill_", "tril", "tril_"}:
            return replace(subject, masked=True, is_input=False)
        if name in {"view", "reshape", "expand", "view_as", "expand_as", "reshape_as"}:
            if name.endswith("_as"):
                other = rest[0] if rest else UNKNOWN
                return replace(subject, dims=other.dims if isinstance(other, Tensor) else None)
            value = ops.reshape(subject, rest)
            if (
                name == "expand"
                and isinstance(value, Tensor)
                and subject.pooled
                and value.has_sequence
                and not value.mixed
            ):
                value = replace(
                    value, mixed=subject.pooled.then(self.step_at(node, "expanded over all positions", scope))
                )
            return value
        if name in {"transpose", "swapaxes"} and len(ints) == 2:
            return subject.with_dims(ops.moved(subject.dims, ints[0], ints[1]))
        if name == "permute":
            order = [
                r.value
                for r in (rest[0].items if rest and isinstance(rest[0], Parts) else rest)
                if isinstance(r, Plain)
            ]
            return subject.with_dims(ops.permuted(subject.dims, [o for o in order if isinstance(o, int)]))
        if name == "unsqueeze" and number is not None and subject.dims is not None:
            at = number if number >= 0 else len(subject.dims) + 1 + number
            return subject.with_dims((*subject.dims[:at], ONE, *subject.dims[at:]))
        if name == "squeeze" and number is not None and subject.dims is not None:
            at = number % len(subject.dims) if subject.dims else 0
            dims = (
                tuple(d for i, d in enumerate(subject.dims) if i != at) if subject.axis(number) != T else subject.dims
            )
            return subject.with_dims(dims)
        if name == "size":
            if number is None:
                return Sizes(subject.dims)
            return Size(subject.axis(number) or D)
        if name == "roll":
            return self._roll(subject, rest, named, step)
        if name in {"flip", "fliplr"}:
            axes = axis_numbers(named.get("dims", rest[0] if rest else None))
            over = axes is not None and any(subject.axis(a) == T for a in axes)
            return replace(subject, shift=None if over else subject.shift, dims=subject.dims if not over else None)
        if name == "pad":
            return self._pad(subject, rest)
        if name in {"chunk", "split", "unbind", "tensor_split"}:
            along = named.get("dim", rest[1] if len(rest) > 1 else Plain(0))
            if isinstance(along, Plain) and isinstance(along.value, int) and subject.axis(along.value) not in {T, None}:
                return subject if name != "unbind" else replace(subject, dims=None)
            return replace(subject, dims=None, shift=None)
        if name in {"matmul", "bmm", "mm"} and rest:
            return ops.matmul(
                subject, rest[0], self.step_at(node, "attention over the whole sequence without a causal mask", scope)
            )
        if name in ops.KEEP:
            return self.spread([subject, *rest, *named.values()], node, scope)
        value = forgotten([subject, *rest, *named.values()])
        return value

    def _cat(self, name: str, args: list[Value], named: dict[str, Value], node: ast.Call, step: PathStep) -> Value:
        parts = list(args[0].items) if isinstance(args[0], Parts) else []
        axis = named.get("dim", named.get("axis", args[1] if len(args) > 1 else Plain(0)))
        number = axis.value if isinstance(axis, Plain) and isinstance(axis.value, int) else None
        if name == "stack" or number is None:
            value = combine(parts, step)
            return replace(value, dims=None) if isinstance(value, Tensor) else value
        lengths: list[int | None] = []
        for part in parts:
            single = isinstance(part, Tensor) and part.axis(number) == ONE
            lengths.append(1 if single else None)
        source = node.args[0] if node.args else None
        if isinstance(source, ast.List | ast.Tuple):
            for i, element in enumerate(source.elts):
                if lengths[i] is None and i < len(parts) and not isinstance(parts[i], Tensor):
                    lengths[i] = _literal_length(element, number)
        return ops.concatenated(parts, number, step, lengths)

    def _roll(self, subject: Tensor, rest: list[Value], named: dict[str, Value], step: PathStep) -> Value:
        by = named.get("shifts", rest[0] if rest else UNKNOWN)
        axes = axis_numbers(named.get("dims", rest[1] if len(rest) > 1 else None))
        if axes is None or not any(subject.axis(a) == T for a in axes):
            return replace(subject, is_input=False, dims=subject.dims)
        if not isinstance(by, Plain) or not isinstance(by.value, int) or subject.shift is None:
            return replace(subject, shift=None)
        shift = subject.shift - by.value
        note = PathStep(step.file, step.line, f"roll by {by.value} along the sequence axis")
        return replace(subject, shift=shift, ahead=Trail((note,)) if shift > 0 else None, is_input=False)

    def _pad(self, subject: Tensor, rest: list[Value]) -> Value:
        amounts = (
            [p.value for p in rest[0].items if isinstance(p, Plain)] if rest and isinstance(rest[0], Parts) else []
        )
        if subject.dims is None or T not in subject.dims:
            return subject
        at = len(subject.dims) - 1 - subject.dims.index(T)
        if not isinstance(rest[0] if rest else None, Parts) or len(amounts) != len(rest[0].items):  # type: ignore[attr-defined]
            return replace(subject, shift=None)
        front = amounts[2 * at] if len(amounts) > 2 * at else 0
        if not isinstance(front, int) or subject.shift is None:
            return replace(subject, shift=None)
        shift = subject.shift - front
        return replace(subject, shift=shift, ahead=subject.ahead if shift > 0 else None, is_input=False)


def axis_numbers(value: Value | None) -> list[int] | None:
    """Axis numbers; None for "all axes", an empty list for "not known"."""
    if value is None or (isinstance(value, Plain) and value.value is None):
        return None
    if isinstance(value, Plain) and isinstance(value.value, int) and not isinstance(value.value, bool):
        return [value.value]
    if isinstance(value, Parts):
        numbers = [v.value for v in value.items if isinstance(v, Plain) and isinstance(v.value, int)]
        return numbers if len(numbers) == len(value.items) else []
    return []


def _is_torch(func: ast.expr) -> bool:
    return (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Name)
        and func.value.id in {"F", "torch", "nn", "np"}
    )


def _literal_length(node: ast.expr, axis: int) -> int | None:
    """The length along ``axis`` of ``torch.zeros(B, 1, D)`` or ``x.new_zeros(...)``, when it is a literal."""
    if not isinstance(node, ast.Call):
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name == "zeros_like" or name == "full_like" or name == "ones_like":
        inner = node.args[0] if node.args else None
        return _slice_length(inner, axis) if isinstance(inner, ast.Subscript) else None
    if name not in {"zeros", "new_zeros", "ones", "full", "new_full", "new_ones", "empty"}:
        return None
    sizes: list[ast.expr] = list(node.args)
    if sizes and isinstance(sizes[0], ast.Tuple | ast.List):
        sizes = list(sizes[0].elts)
    size = sizes[axis] if -len(sizes) <= axis < len(sizes) else None
    return size.value if isinstance(size, ast.Constant) and isinstance(size.value, int) else None


def _slice_length(node: ast.Subscript, axis: int) -> int | None:
    parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    part = parts[axis] if -len(parts) <= axis < len(parts) else None
    upper = part.upper if isinstance(part, ast.Slice) and part.lower is None else None
    return upper.value if isinstance(upper, ast.Constant) and isinstance(upper.value, int) else None
