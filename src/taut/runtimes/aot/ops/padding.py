"""Pad: a border of one number, or elements repeated around; negative padding cuts off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from taut.graph.ir import Node
from taut.kernels.expression import Load
from taut.kernels.map import Map
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Border, Lowering, NotLowered, text_of, widened
from taut.runtimes.aot.ops.indexing import taken

_Sides = tuple[int, int]
_REPEATING: Mapping[str, Callable[[np.ndarray, _Sides], np.ndarray]] = {
    "reflect": lambda numbers, sides: np.pad(numbers, sides, mode="reflect"),
    "edge": lambda numbers, sides: np.pad(numbers, sides, mode="edge"),
    "wrap": lambda numbers, sides: np.pad(numbers, sides, mode="wrap"),
}


def _pad(lowering: Lowering, node: Node) -> None:
    name, output, mode = node.inputs[0], node.outputs[0], text_of(node, "mode", "constant")
    border = _border(lowering, node)
    if mode == "constant":
        _fill_around(lowering, name, output, border, _fill(lowering, node))
    elif mode in _REPEATING:
        lowering.move(name, output, lambda view: _repeated(lowering, view, border, mode))
    else:
        raise NotLowered(f"Pad {node.name!r} has the mode {mode!r}")


def _border(lowering: Lowering, node: Node) -> Border:
    """Of every axis, from attributes before opset 11 and from inputs since."""
    rank = len(lowering.shape(node.inputs[0]))
    pads = node.attributes.get("pads")
    if pads is None:
        pads = lowering.known(node.inputs[1], node).tolist()
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [axis % rank for axis in lowering.known(node.inputs[3], node).tolist()]
    border = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        border[axis] = (int(pads[place]), int(pads[place + len(axes)]))
    return tuple(border)


def _fill(lowering: Lowering, node: Node) -> float:
    if len(node.inputs) > 2 and node.inputs[2]:
        return lowering.known(node.inputs[2], node).item()
    return node.attributes.get("value", 0.0)


def _fill_around(lowering: Lowering, name: str, output: str, border: Border, fill: float) -> None:
    """Codes have one that is exactly zero; other numbers are none of theirs."""
    codes = lowering.codes.get(name)
    if codes is not None and fill == 0:
        view = _filled(lowering, codes.view, border, codes.affine.zero)
        lowering.define_codes(output, replace(codes, view=view))
    else:
        lowering.define(output, _filled(lowering, lowering.view(name), border, fill))


def _filled(lowering: Lowering, view: View, border: Border, fill: float) -> View:
    """The fill may lie around the value already; what is cut off as well is copied into a border."""
    added = tuple((max(before, 0), max(after, 0)) for before, after in border)
    if added == border:
        return lowering.bordered(view, border, fill)
    kept = _cropped(view, border)
    if not any(side for pair in added for side in pair):
        return kept
    place = lowering.allocate(kept.shape, kept.dtype, kept.order, added, fill)
    lowering.add(Map(place, Load(kept), "copy"))
    return widened(place, added)


def _cropped(view: View, border: Sequence[tuple[int, int]]) -> View:
    slices = [
        slice(max(-before, 0), size - max(-after, 0))
        for size, (before, after) in zip(view.shape, border, strict=True)
    ]
    return view.slice(slices)


def _repeated(lowering: Lowering, view: View, border: Border, mode: str) -> View:
    """Axis by axis by number; numbers are padded as the elements would be, after what is cut off."""
    view = _cropped(view, border)
    for axis, (before, after) in enumerate(border):
        sides = (max(before, 0), max(after, 0))
        if any(sides):
            view = taken(lowering, view, axis, _REPEATING[mode](np.arange(view.shape[axis]), sides))
    return view


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {"Pad": _pad}
