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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from taut.core.move import Context
from taut.core.task import Arrays, Split
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
_CHUNK_BYTES = 128 * 2**20


Moments = Mapping[str, np.ndarray]
"""Node -> second moments of its inputs and a one: (fan_in + 1, fan_in + 1), summed over samples"""


@dataclass(frozen=True)
class Reader:
    """A node with a weight that reads channels and can be refitted."""

    node: Node
    weight: str
    channel_axis: int
    """The weight's axis of inputs"""

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
    found = [Reader(node, *axes[node.name]) for node in channels.graph.nodes if node.name in axes]
    return tuple(reader for reader in found if _can_refit(channels.graph, reader))


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
    graph, found = channels.graph, readers(channels)
    evaluator = Evaluator(graph, tuple(dict.fromkeys(reader.data for reader in found)), threads)
    random = np.random.default_rng(0)
    moments: dict[str, np.ndarray] = {}
    for inputs in _chunks(graph, evaluator.values, split, random):
        values = evaluator.run_many(inputs)
        for reader in found:
            rows = _rows(reader, values[reader.data], graph.constants[reader.weight], random)
            rows = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
            moments[reader.node.name] = moments.get(reader.node.name, 0.0) + rows.T @ rows
    return moments


def _chunks(
    graph: Graph, values: Sequence[str], split: Split, random: np.random.Generator
) -> Iterator[Arrays]:
    """Yield inputs of SAMPLES samples, so many at once that their values fit in memory."""
    known = [graph.value(name) for name in values]
    sample_bytes = sum(4 * math.prod(value.static_shape) for value in known if value is not None)
    size = max(1, _CHUNK_BYTES // max(1, sample_bytes))
    chosen = random.permutation(len(split))[:SAMPLES]
    for start in range(0, len(chosen), size):
        yield split.take(chosen[start : start + size]).inputs


def _rows(reader: Reader, data: np.ndarray, weight: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Inputs of the reader's matrix at random places: (rows, fan_in)."""
    if reader.node.op == "Conv":
        return _patches(reader.node, data, weight.shape[2:], random)
    per_sample = data.reshape(len(data), -1, data.shape[-1])
    places = random.integers(0, per_sample.shape[1], (len(data), min(POSITIONS, per_sample.shape[1])))
    return np.take_along_axis(per_sample, places[:, :, None], axis=1).reshape(-1, data.shape[-1])


def _patches(
    node: Node, data: np.ndarray, kernel: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    """Receptive fields of random output positions: (rows, channels * kernel)."""
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
        mask = kept.mask(reader.weight, reader.channel_axis)
        if mask is not None and not mask.all() and reader.node.name in moments:
            _refit(edit, small, reader, kept, moments[reader.node.name])
    return edit.graph()


def _refit(edit: Editor, small: Graph, reader: Reader, kept: Kept, moments: np.ndarray) -> None:
    original = reader.matrix(kept.channels.graph.constants[reader.weight])
    outputs, channels = (
        kept.mask(reader.weight, reader.out_axis),
        kept.mask(reader.weight, reader.channel_axis),
    )
    wanted = original if outputs is None else original[:, outputs]
    assert channels is not None
    stays = np.repeat(channels, len(original) // len(channels))
    bias = _bias(small, reader, wanted.shape[1])
    correction = projection(moments, stays, has_bias=bias is not None) @ wanted[~stays]
    weight = small.constants[reader.weight]
    fitted = wanted[stays] + correction[: stays.sum()]
    edit.set_constant(reader.weight, reader.weight_of(fitted, weight.shape).astype(weight.dtype))
    if bias is not None:
        _add_bias(edit, reader, bias, correction[-1])


def projection(moments: np.ndarray, stays: np.ndarray, has_bias: bool) -> np.ndarray:
    """Return (M_kk + λI)⁻¹ M_kr: how inputs that stay, and a one, make up for those that go."""
    left = np.flatnonzero(np.append(stays, has_bias))
    gone = np.flatnonzero(~stays)
    among = moments[np.ix_(left, left)].astype(np.float64)
    ridge = RIDGE * max(float(np.diag(among).mean()), 1e-12)  # 1e-12: inputs that are always zero
    among[np.diag_indices_from(among)] += ridge
    return cho_solve(cho_factor(among), moments[np.ix_(left, gone)].astype(np.float64))


def _bias(small: Graph, reader: Reader, outputs: int) -> np.ndarray | None:
    """The bias to correct, zeros where a convolution has none; None where there is no place for one."""
    name = small.by_name[reader.node.name].inputs[2:3]
    if not name or not name[0]:
        return np.zeros(outputs, np.float32) if reader.node.op == "Conv" else None
    bias = small.constants.get(name[0])
    return bias if bias is not None and bias.size == outputs else None


def _add_bias(edit: Editor, reader: Reader, bias: np.ndarray, correction: np.ndarray) -> None:
    node = reader.node
    has_name = len(node.inputs) > 2 and node.inputs[2]
    name = node.inputs[2] if has_name else edit.fresh(f"{node.name}.bias")
    edit.set_constant(name, (bias + correction.reshape(bias.shape)).astype(bias.dtype))
    if not has_name:
        edit.change(node.name, inputs=(*node.inputs[:2], name))
