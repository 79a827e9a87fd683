"""Resize and Upsample, axis by axis: repeated, looked up or blended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from taut.graph.ir import Node
from taut.graph.sampling import COORDINATES, SampledAxis, Sampling, taps
from taut.kernels.blend import Blend
from taut.kernels.expression import Load
from taut.kernels.map import Map
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Lowering, NotLowered, text_of
from taut.runtimes.aot.ops.indexing import taken

_MODES = ("nearest", "linear", "cubic")


def _resize(lowering: Lowering, node: Node) -> None:
    """Axes that grow come last, so that the others have less to do."""
    opset, output = lowering.graph.opsets[""], node.outputs[0]
    sampling = Sampling.of(node.op, node.attributes, opset)
    _require_known(node, sampling)
    name = node.inputs[0]
    if sampling.mode != "nearest" and lowering.dtype(name) != "float32":
        raise NotLowered(f"{node.op} {node.name!r} interpolates in float32 only")
    axes = _changed_axes(lowering, node, 1 if node.op == "Upsample" or opset < 11 else 2)
    if axes and lowering.shape(name) == lowering.shape(output):
        # Its definition moves elements still; onnxruntime does nothing.
        raise NotLowered(f"{node.op} {node.name!r} has scales that change no size")
    if sampling.mode == "nearest" and all(_is_repeated(axis, sampling) for axis in axes):
        lowering.move(name, output, lambda view: _repeated(lowering, view, output))
        return
    view = lowering.plain(name)
    for axis in sorted(axes, key=lambda one: one.target / one.source):
        view = _sampled(lowering, view, axis, sampling)
    lowering.define(output, view)


def _is_repeated(axis: SampledAxis, sampling: Sampling) -> bool:
    """Whether each element is taken so many times in turn."""
    places = np.arange(axis.source).repeat(axis.target // axis.source)
    return np.array_equal(taps(axis, sampling)[0].places, places)


def _repeated(lowering: Lowering, view: View, output: str) -> View:
    """One copy for all axes, into the border that a convolution wants around it."""
    shape = lowering.shape(output)
    factors = [made // size for made, size in zip(shape, view.shape, strict=True)]
    place = lowering.place_of(output, view.order, view.dtype)
    spread, apart = view, place
    for axis in reversed(range(len(shape))):
        spread = spread.split(axis, (view.shape[axis], 1))
        apart = apart.split(axis, (view.shape[axis], factors[axis]))
    lowering.add(Map(apart, Load(spread.broadcast(apart.shape)), "copy"))
    return place


def _require_known(node: Node, sampling: Sampling) -> None:
    named = f"{node.op} {node.name!r}"
    if node.attributes.get("antialias", 0):
        raise NotLowered(f"{named} has antialiasing")
    if text_of(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotLowered(f"{named} keeps the ratio of sides")
    if sampling.mode not in _MODES or sampling.coordinates not in COORDINATES:
        raise NotLowered(f"{named} has mode {sampling.mode!r} and coordinates {sampling.coordinates!r}")
    if sampling.excludes_outside and sampling.mode != "cubic":
        raise NotLowered(f"{named} excludes what is outside, though it is not cubic")


def _changed_axes(lowering: Lowering, node: Node, scales_index: int) -> list[SampledAxis]:
    """Axes that are sampled: by sizes (input 3), else by scales, which need not be the ratio of sizes."""
    before, after = lowering.shape(node.inputs[0]), lowering.shape(node.outputs[0])
    listed = [axis % len(before) for axis in node.attributes.get("axes") or range(len(before))]
    if len(node.inputs) > 3 and node.inputs[3]:
        scales = [after[axis] / before[axis] for axis in listed]
    elif "scales" in node.attributes:
        scales = list(node.attributes["scales"])
    else:
        scales = lowering.known(node.inputs[scales_index], node).tolist()
    axes = [
        SampledAxis(axis, before[axis], after[axis], scale)
        for axis, scale in zip(listed, scales, strict=True)
    ]
    return [axis for axis in axes if axis.scale != 1]


def _sampled(lowering: Lowering, view: View, axis: SampledAxis, sampling: Sampling) -> View:
    summed = taps(axis, sampling)
    if sampling.mode == "nearest":
        return taken(lowering, view, axis.index, np.array(summed[0].places))
    shape = [axis.target if place == axis.index else size for place, size in enumerate(view.shape)]
    out = lowering.allocate(shape, view.dtype, view.order)
    places = np.array([tap.places for tap in summed]).T
    weights = np.array([tap.weights for tap in summed], np.float32).T
    lowering.add(Blend(out, view, axis.index, places, weights))
    return out


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {"Resize": _resize, "Upsample": _resize}
