"""Loop nests over several views at once: axes sorted by where the result lies in memory, and merged."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from taut.kernels.expression import C_TYPES
from taut.kernels.view import View


@dataclass(frozen=True)
class Axis:
    """A loop: how often, and how far each view goes on."""

    size: int
    strides: tuple[int, ...]


def nest(shape: Sequence[int], views: Sequence[View]) -> tuple[Axis, ...]:
    """Return as few loops as will do over views of one shape, innermost last; the first view leads the order.

    Neighbouring axes are one loop where every view runs through both without a jump.
    """
    axes = [
        Axis(size, tuple(view.strides[place] for view in views))
        for place, size in enumerate(shape)
        if size != 1
    ]
    axes.sort(key=lambda axis: [-abs(stride) for stride in axis.strides])
    merged: list[Axis] = []
    for axis in axes:
        if merged and merged[-1].strides == tuple(axis.size * stride for stride in axis.strides):
            merged[-1] = Axis(merged[-1].size * axis.size, axis.strides)
        else:
            merged.append(axis)
    return tuple(merged)


def index(terms: Sequence[tuple[str, int]], constant: int = 0) -> str:
    """Return C for a sum of variables times strides."""
    parts = [name if stride == 1 else f"{name} * {stride}" for name, stride in terms if stride]
    if constant or not parts:
        parts.append(str(constant))
    return " + ".join(parts)


def loop(variable: str, size: int, body: str, start: str = "0", step: int = 1) -> str:
    """Return a C loop, or the body alone where there is nothing to repeat."""
    increment = f"{variable}++" if step == 1 else f"{variable} += {step}"
    return f"for (long {variable} = {start}; {variable} < {size}; {increment}) {{\n{indented(body)}\n}}"


def terms_of(prefix: str, axes: Sequence[Axis], which: int) -> list[tuple[str, int]]:
    """Terms of an index: a variable for each axis, and how far one of the views goes on."""
    return [(f"{prefix}{place}", axis.strides[which]) for place, axis in enumerate(axes)]


def loops(prefix: str, axes: Sequence[Axis], body: str, first: int = 0) -> str:
    """Return a C loop for each axis around a body, numbered from the first."""
    for place, axis in reversed(list(enumerate(axes, first))):
        body = loop(f"{prefix}{place}", axis.size, body)
    return body


def indented(text: str) -> str:
    return textwrap.indent(text, "  ")


def pointer(view: View, name: str, *, is_written: bool = False) -> str:
    """Return a C parameter."""
    return f"{'' if is_written else 'const '}{C_TYPES[view.dtype]} *{name}"
