"""Multiply-accumulates of one node from the shapes it reads and makes; one formula per kind of operator.

Counts are those of the definition: padding counts, Winograd and zeros in the weights do not. A recurrent
layer is counted at its full sequence length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """What a formula may use. An absent optional input or output has the shape None."""

    inputs: tuple[Sizes | None, ...]
    outputs: tuple[Sizes | None, ...]
    attributes: Mapping[str, Any]

    def input(self, place: int) -> Sizes:
        shape = self.inputs[place]
        assert shape is not None, f"input {place} is not optional"
        return shape

    @property
    def output(self) -> Sizes:
        shape = self.outputs[0]
        assert shape is not None, "the first output is not optional"
        return shape


Formula = Callable[[Shapes], int]


def _convolution(weight: int) -> Formula:
    """Each output is a sum over (input channels / groups) x kernel: all axes of the weight but the first."""
    return lambda shapes: math.prod(shapes.output) * math.prod(shapes.input(weight)[1:])


def _transposed_convolution(shapes: Shapes) -> int:
    """Each input goes to (output channels / groups) x kernel outputs."""
    return math.prod(shapes.input(0)) * math.prod(shapes.input(1)[1:])


def _gemm(shapes: Shapes) -> int:
    inner = shapes.input(0)[0 if shapes.attributes.get("transA", 0) else 1]
    return math.prod(shapes.output) * inner


def _matmul(shapes: Shapes) -> int:
    inner = shapes.input(0)[-2 if shapes.attributes.get("transA", 0) else -1]
    return math.prod(shapes.output) * inner


def _blocked_matmul(shapes: Shapes) -> int:
    return math.prod(shapes.output) * int(shapes.attributes["K"])


def _recurrent(shapes: Shapes) -> int:
    """At each step, the input and the previous state times their weights, all gates and directions."""
    steps_times_batch = math.prod(shapes.input(0)[:2])
    return steps_times_batch * (math.prod(shapes.input(1)) + math.prod(shapes.input(2)))


def _attention(shapes: Shapes) -> int:
    """Scores and weighted values of (batch, heads, length, size) or (batch, length, heads * size)."""
    query, key, value = (shapes.input(place) for place in range(3))
    heads = query[1] if len(query) == 4 else shapes.attributes["q_num_heads"]
    groups = key[1] if len(key) == 4 else shapes.attributes["kv_num_heads"]
    size = key[-1] if len(key) == 4 else key[-1] // groups
    value_size = value[-1] if len(value) == 4 else value[-1] // groups
    past = shapes.inputs[4] if len(shapes.inputs) > 4 else None
    length = key[-2] + (past[2] if past is not None else 0)
    return query[0] * heads * query[-2] * length * (size + value_size)


def _einsum(shapes: Shapes) -> int:
    """Operands are contracted from left to right; one operand alone is moved or summed, not multiplied."""
    operands = [shapes.input(place) for place in range(len(shapes.inputs))]
    terms, output, sizes = _einsum_labels(shapes.attributes["equation"], operands)
    total, left = 0, terms[0]
    for place, right in enumerate(terms[1:], start=1):
        both = dict.fromkeys([*left, *right])
        total += math.prod(sizes[label] for label in both)
        needed = {label for term in (*terms[place + 1 :], output) for label in term}
        left = [label for label in both if label in needed]
    return total


def _einsum_labels(
    equation: str, operands: Sequence[Sizes]
) -> tuple[list[list[str]], list[str], dict[str, int]]:
    """Labels of each operand and of the output, and their sizes; axes of "..." are named from the right."""
    left, _, right = equation.replace(" ", "").partition("->")
    terms = []
    sizes: dict[str, int] = {}
    for text, shape in zip(left.split(","), operands, strict=True):
        term = _spelled_out(text, len(shape) - len(text.replace("...", "")))
        terms.append(term)
        for label, size in zip(term, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    letters = [label for term in terms for label in term]
    once = sorted(label for label in set(letters) if letters.count(label) == 1 or label.startswith("."))
    hidden = max(sum(label.startswith(".") for label in term) for term in terms)
    output = _spelled_out(right, hidden) if "->" in equation else once
    return terms, output, sizes


def _spelled_out(text: str, hidden: int) -> list[str]:
    before, dots, after = text.partition("...")
    middle = [f".{place}" for place in range(hidden, 0, -1)] if dots else []
    return [*before, *middle, *after]


FORMULAS: dict[tuple[str, str], Formula] = {
    ("", "Conv"): _convolution(1),
    ("", "DeformConv"): _convolution(1),
    ("", "ConvInteger"): _convolution(1),
    ("", "QLinearConv"): _convolution(3),
    ("com.microsoft", "FusedConv"): _convolution(1),
    ("", "ConvTranspose"): _transposed_convolution,
    ("", "Gemm"): _gemm,
    ("com.microsoft", "FusedGemm"): _gemm,
    ("", "MatMul"): _matmul,
    ("", "MatMulInteger"): _matmul,
    ("", "QLinearMatMul"): _matmul,
    ("com.microsoft", "FusedMatMul"): _matmul,
    ("com.microsoft", "DynamicQuantizeMatMul"): _matmul,
    ("com.microsoft", "MatMulIntegerToFloat"): _matmul,
    ("com.microsoft", "MatMulNBits"): _blocked_matmul,
    ("", "RNN"): _recurrent,
    ("", "GRU"): _recurrent,
    ("", "LSTM"): _recurrent,
    ("com.microsoft", "DynamicQuantizeLSTM"): _recurrent,
    ("", "Einsum"): _einsum,
    ("", "Attention"): _attention,
}
"""(domain, operator) -> formula"""
