"""GRU, LSTM and plain recurrent layers.

ONNX stacks directions first and orders gates as z, r, n (GRU) and i, o, f, c (LSTM); torch wants one matrix
per direction with gates r, z, n and i, f, c, o. Weights are reordered at each call, so that gradients reach
the stored ones. A GRU whose reset gate comes before the product (``linear_before_reset=0``) has no fused
kernel in torch and runs step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from taut.graph.torch_ops.base import Builder, Run, Site

_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}
_ACTIVATIONS = {
    "GRU": ["Sigmoid", "Tanh"],
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "RNN": ["Tanh"],
}


@dataclass(frozen=True)
class Layer:
    """Settings that all three operators share."""

    kind: str
    hidden: int
    direction: str
    is_batch_first: bool

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


def _read(site: Site) -> Layer:
    layer = Layer(
        site.node.op,
        site.attribute("hidden_size"),
        site.attribute("direction", "forward"),
        bool(site.attribute("layout", 0)),
    )
    site.require("clip" not in site.node.attributes, "clipping")
    site.require(not site.attribute("input_forget", 0), "coupled gates")
    site.require(not site.has_input(4), "lengths of sequences")
    site.require(not site.has_input(7), "peepholes")
    given = site.attribute("activations", _ACTIVATIONS[layer.kind] * layer.directions)
    site.require(given == _ACTIVATIONS[layer.kind] * layer.directions, "activations")
    return layer


def gru(site: Site) -> Run:
    layer = _read(site)
    if site.attribute("linear_before_reset", 0):
        return _fused(layer, torch.gru, states=1)
    return _stepwise_gru(layer)


def lstm(site: Site) -> Run:
    return _fused(_read(site), torch.lstm, states=2)


def rnn(site: Site) -> Run:
    return _fused(_read(site), torch.rnn_tanh, states=1)


def _fused(layer: Layer, kernel: Any, states: int) -> Run:
    is_bidirectional = layer.directions == 2

    def run(
        x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, _lengths: None = None, *given: Tensor | None
    ) -> tuple[Tensor, ...]:
        x, start = _prepared(layer, x, w, _padded(given, states))
        weights, has_bias = _flat_weights(layer, w, r, b), b is not None
        begin = start[0] if states == 1 else start
        y, *last = kernel(x, begin, weights, has_bias, 1, 0.0, False, is_bidirectional, False)
        return _finished(layer, y, *last)

    return run


def _padded(states: Sequence[Tensor | None], count: int) -> list[Tensor | None]:
    return [*states, *[None] * count][:count]


def _prepared(
    layer: Layer, x: Tensor, w: Tensor, states: Sequence[Tensor | None]
) -> tuple[Tensor, list[Tensor]]:
    """Time first, in the order the layer reads it; states (directions, batch, hidden), zero where absent."""
    x = x.to(w.dtype)  # autocast may hand over a smaller type than the weights'
    if layer.is_batch_first:
        x = x.transpose(0, 1)
        states = [None if state is None else state.transpose(0, 1) for state in states]
    if layer.direction == "reverse":
        x = x.flip(0)
    shape = (layer.directions, x.shape[1], layer.hidden)
    zeros = x.new_zeros(shape)
    return x, [zeros if state is None else state.to(x.dtype).expand(shape).contiguous() for state in states]


def _flat_weights(layer: Layer, w: Tensor, r: Tensor, b: Tensor | None) -> list[Tensor]:
    """Input matrix, recurrent matrix and both biases of each direction, in torch's gate order."""
    flat: list[Tensor] = []
    for direction in range(layer.directions):
        stacks = [w[direction], r[direction], *(b[direction].chunk(2) if b is not None else ())]
        flat += [_reordered(stack, _GATES[layer.kind]) for stack in stacks]
    return flat


def _reordered(stack: Tensor, order: Sequence[int]) -> Tensor:
    gates = stack.chunk(len(order))
    return torch.cat([gates[place] for place in order])


def _finished(layer: Layer, y: Tensor, *last: Tensor) -> tuple[Tensor, ...]:
    """From (time, batch, directions * hidden) to (time, directions, batch, hidden), and the last states."""
    y = y.unflatten(-1, (layer.directions, layer.hidden)).transpose(1, 2)
    if layer.direction == "reverse":
        y = y.flip(0)
    if layer.is_batch_first:
        return (y.permute(2, 0, 1, 3), *[state.transpose(0, 1) for state in last])
    return (y, *last)


def _stepwise_gru(layer: Layer) -> Run:
    def run(
        x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, _lengths: None = None, *given: Tensor | None
    ) -> tuple[Tensor, ...]:
        x, (state,) = _prepared(layer, x, w, _padded(given, 1))
        biases = w.new_zeros(layer.directions, 6 * layer.hidden) if b is None else b
        weights = _flat_weights(layer, w, r, biases)
        sides = [_one_direction(x, state[0], weights[:4])]
        if layer.directions == 2:
            backward, last = _one_direction(x.flip(0), state[1], weights[4:])
            sides.append((backward.flip(0), last))
        outputs, states = zip(*sides, strict=True)
        return _finished(layer, torch.cat(outputs, -1), torch.stack(states))

    return run


def _one_direction(x: Tensor, state: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """GRU with the reset gate on the state: n = tanh(W x + U (r * h) + b)."""
    input_weight, state_weight, input_bias, state_bias = weights
    hidden = state.shape[-1]
    from_inputs = F.linear(x, input_weight, input_bias + state_bias)
    gate_weight, new_weight = state_weight[: 2 * hidden], state_weight[2 * hidden :]
    outputs = []
    for from_input in from_inputs.unbind(0):
        gates = torch.sigmoid(from_input[:, : 2 * hidden] + state @ gate_weight.T)
        reset, update = gates.chunk(2, -1)
        new = torch.tanh(from_input[:, 2 * hidden :] + (reset * state) @ new_weight.T)
        state = (1 - update) * new + update * state
        outputs.append(state)
    return torch.stack(outputs), state


OPERATORS: dict[str, Builder] = {"GRU": gru, "LSTM": lstm, "RNN": rnn}
