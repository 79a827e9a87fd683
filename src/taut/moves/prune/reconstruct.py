"""Refitting what reads the cut channels, so that it gives what it gave before.

He et al. (arXiv 1707.06168) and AMC (arXiv 1802.03494) regress the layer's original outputs on sampled
inputs that are left. Those outputs are linear in all inputs, Y = XW, so the regression needs nothing but the
second moments M = XᵀX of the ORIGINAL inputs:

    W' = W_kept + (M_kk + λI)⁻¹ M_kr W_removed

One pass over the data thereby serves every choice of channels; what it costs is that inputs which earlier
cuts disturb are not seen. With λ (1e-4 of M's mean diagonal) directions without data keep their weights.
Refitted are convolutions without groups, Gemm and MatMul with a weight of their own; a convolution without
bias gets one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from taut.core.move import Context
from taut.core.task import Split
from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import Channels
from taut.moves.prune.stored import stored_arrays
from taut.moves.prune.trace import Role
from taut.runtimes.evaluate import Evaluator

SAMPLES = 512
POSITIONS = 10
"""Of each picture's output positions, as in both papers"""
MAX_FAN_IN = 2560
"""A larger regression would have more unknowns than half its samples"""
RIDGE = 1e-4
_PART_BYTES = 128 * 2**20
"""Values held at a time"""


Moments = Mapping[str, np.ndarray]
"""Node -> second moments of its inputs and a one: (fan_in + 1, fan_in + 1), summed over samples"""


@dataclass(frozen=True)
class Reader:
    """A node with a weight that reads channels and can be refitted."""

    node: Node
    weight: str
    channel_axis: int
    """The weight's axis of inputs"""
    kernel: tuple[int, ...]
    """Of a convolution, else empty"""

    @property
    def data(self) -> str:
        return self.node.inputs[0]

    @property
    def out_axis(self) -> int:
        return 0 if self.node.op == "Conv" else 1 - self.channel_axis

    def matrix(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight as (fan_in, out)."""
        return np.moveaxis(weight, self.out_axis, -1).reshape(-1, weight.shape[self.out_axis])

    def weight_of(self, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return a matrix (fan_in, out) as a weight of the given shape."""
        moved = [size for axis, size in enumerate(shape) if axis != self.out_axis]
        return np.moveaxis(matrix.reshape(*moved, -1), -1, self.out_axis)


def readers(channels: Channels) -> tuple[Reader, ...]:
    """Return the nodes that can be refitted, in the graph's order."""
    cuts = [cut for group in channels.groups for cut in group.having(Role.CONSUMES)]
    axes = {cut.node: (cut.constant, cut.axis) for cut in cuts}
    found = [_reader(channels.graph, node, *axes[node.name]) for node in channels.graph if node.name in axes]
    return tuple(reader for reader in found if _can_refit(channels.graph, reader))


def _reader(graph: Graph, node: Node, weight: str, axis: int) -> Reader:
    kernel = graph.constants[weight].shape[2:] if node.op == "Conv" else ()
    return Reader(node, weight, axis, kernel)


def _can_refit(graph: Graph, reader: Reader) -> bool:
    node, weight = reader.node, graph.constants[reader.weight]
    is_own = len(graph.consumers(reader.weight)) == 1 and node.inputs[1] == reader.weight
    fan_in = weight.size // weight.shape[reader.out_axis]
    if not is_own or fan_in > MAX_FAN_IN or weight.dtype != np.float32:
        return False
    if node.op == "Conv":
        is_plain = node.attributes.get("auto_pad", "NOTSET") == "NOTSET"
        return is_plain and node.attributes.get("group", 1) == 1
    return node.op == "MatMul" or {node.attributes.get(name, 1.0) for name in ("alpha", "beta")} == {1.0}


def stored_moments(channels: Channels, context: Context) -> Moments:
    """Return the moments of all readers on the train split, from the work folder once they were taken."""
    task = context.task
    assert task.train is not None, "reconstruction needs inputs"
    split = task.train
    made_from = f"moments {channels.graph.digest()} {task.name} {task.digest} {SAMPLES} {POSITIONS}"
    names = [reader.node.name for reader in readers(channels)]
    compute = partial(input_moments, channels, split, context.threads)
    return stored_arrays(context.work_folder, made_from, names, compute)


def input_moments(channels: Channels, split: Split, threads: int) -> Moments:
    """Run the graph on samples of a split and sum up the second moments of every reader's inputs."""
    found = readers(channels)
    values = tuple(dict.fromkeys(reader.data for reader in found))
    evaluator = Evaluator(channels.graph, values, threads)
    moments: dict[str, np.ndarray] = {}
    for part, indices in enumerate(parts(channels.graph, values, len(split), SAMPLES)):
        data = evaluator.run_many(split.take(indices).inputs)
        for reader in found:
            rows = sampled_rows(reader, data[reader.data], part)
            rows = np.append(rows, np.ones((len(rows), 1), np.float32), axis=1)
            moments[reader.node.name] = moments.get(reader.node.name, 0.0) + rows.T @ rows
    return moments


def parts(graph: Graph, values: Sequence[str], count: int, wanted: int) -> list[np.ndarray]:
    """Return indices of at most so many samples, in parts whose values fit in memory together."""
    known = [graph.value(name) for name in values]
    sample_bytes = sum(4 * math.prod(value.static_shape) for value in known if value is not None)
    size = max(1, _PART_BYTES // max(1, sample_bytes))
    chosen = np.random.default_rng(0).permutation(count)[:wanted]
    return [chosen[start : start + size] for start in range(0, len(chosen), size)]


def sampled_rows(reader: Reader, data: np.ndarray, seed: int) -> np.ndarray:
    """Return inputs of the reader's matrix at random places of its data (samples, ...): (rows, fan_in)."""
    random = np.random.default_rng(seed)
    if reader.node.op == "Conv":
        return _patches(reader, data, random)
    per_sample = data.reshape(len(data), -1, data.shape[-1])
    places = random.integers(0, per_sample.shape[1], (len(data), min(POSITIONS, per_sample.shape[1])))
    return np.take_along_axis(per_sample, places[:, :, None], axis=1).reshape(-1, data.shape[-1])


def _patches(reader: Reader, data: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Receptive fields of random output positions: (rows, channels * kernel)."""
    node, kernel = reader.node, reader.kernel
    rank = len(kernel)
    pads = node.attributes.get("pads", [0] * 2 * rank)
    strides = node.attributes.get("strides", [1] * rank)
    dilations = node.attributes.get("dilations", [1] * rank)
    padded = np.pad(data, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    count = POSITIONS * len(data)
    index: list[Any] = [np.repeat(np.arange(len(data)), POSITIONS).reshape(-1, *[1] * rank), slice(None)]
    for axis, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        places = (padded.shape[2 + axis] - dilation * (size - 1) - 1) // stride + 1
        first = random.integers(0, places, count) * stride
        field = first[:, None] + dilation * np.arange(size)
        index.append(field.reshape(count, *[size if other == axis else 1 for other in range(rank)]))
    fields = padded[tuple(index)]  # the slice between index arrays puts channels last
    return np.moveaxis(fields, -1, 1).reshape(count, -1)


def cut_and_refit(kept: Kept, moments: Moments) -> Graph:
    """Cut the graph, then refit every reader that lost inputs and whose moments are given."""
    small = cut_channels(kept)
    edit = Editor(small)
    for reader in readers(kept.channels):
        stays = stays_of(kept, reader)
        if stays is not None and reader.node.name in moments:
            wanted = wanted_matrix(kept, reader)
            bias = bias_of(small, reader)
            change = projection(moments[reader.node.name], stays, bias is not None) @ wanted[~stays]
            write_fit(edit, reader, small.constants[reader.weight], wanted[stays] + change[: stays.sum()])
            if bias is not None:
                write_bias(edit, reader, bias + change[-1].reshape(bias.shape))
    return edit.graph()


def stays_of(kept: Kept, reader: Reader) -> np.ndarray | None:
    """Return which rows of the reader's matrix stay; None where all do."""
    mask = kept.mask(reader.weight, reader.channel_axis)
    if mask is None or mask.all():
        return None
    return np.repeat(mask, len(wanted_matrix(kept, reader)) // len(mask))


def wanted_matrix(kept: Kept, reader: Reader) -> np.ndarray:
    """Return the original matrix (fan_in, out) with the outputs that stay."""
    matrix = reader.matrix(kept.channels.graph.constants[reader.weight])
    outputs = kept.mask(reader.weight, reader.out_axis)
    return matrix if outputs is None else matrix[:, outputs]


def projection(moments: np.ndarray, stays: np.ndarray, has_bias: bool) -> np.ndarray:
    """Return (M_kk + λI)⁻¹ M_kr: how inputs that stay, and a one, make up for those that go."""
    left = np.flatnonzero(np.append(stays, has_bias))
    gone = np.flatnonzero(~stays)
    among = moments[np.ix_(left, left)].astype(np.float64)
    ridge = RIDGE * max(float(np.diag(among).mean()), 1e-12)  # 1e-12: inputs that are always zero
    among[np.diag_indices_from(among)] += ridge
    return cho_solve(cho_factor(among), moments[np.ix_(left, gone)].astype(np.float64))


def bias_of(graph: Graph, reader: Reader) -> np.ndarray | None:
    """Return the reader's bias, zeros where a convolution has none; None where there is no place for one."""
    node = graph.by_name[reader.node.name]
    outputs = graph.constants[reader.weight].shape[reader.out_axis]
    if len(node.inputs) < 3 or not node.inputs[2]:
        return np.zeros(outputs, np.float32) if node.op == "Conv" else None
    bias = graph.constants.get(node.inputs[2])
    return bias if bias is not None and bias.size == outputs else None


def write_fit(edit: Editor, reader: Reader, weight: np.ndarray, matrix: np.ndarray) -> None:
    """Replace the reader's weight by the matrix (fan_in, out)."""
    edit.set_constant(reader.weight, reader.weight_of(matrix, weight.shape).astype(weight.dtype))


def write_bias(edit: Editor, reader: Reader, bias: np.ndarray) -> None:
    """Replace the reader's bias, or give it one."""
    node = reader.node
    if len(node.inputs) > 2 and node.inputs[2]:
        edit.set_constant(node.inputs[2], bias.astype(np.float32))
    else:
        name = edit.set_constant(edit.fresh(f"{node.name}.bias"), bias.astype(np.float32))
        edit.change(node.name, inputs=(*node.inputs[:2], name))
