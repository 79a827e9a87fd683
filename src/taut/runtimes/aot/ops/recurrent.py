"""GRU, LSTM and RNN: one product for the inputs of all steps, one loop over the steps of each direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from taut.graph.ir import Node
from taut.kernels.dense import Dense
from taut.kernels.expression import RESULT, Load, apply
from taut.kernels.recurrent import Cell, Recurrent, gates_of
from taut.kernels.view import View
from taut.runtimes.aot.lowering import Lowering, NotLowered, text_of, weights

_CELLS = {"GRU": Cell.GRU, "LSTM": Cell.LSTM, "RNN": Cell.TANH}
_ACTIVATIONS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}


def _recurrent(lowering: Lowering, node: Node) -> None:
    _require_plain(lowering, node)
    states = [lowering.plain(name) if (name := _optional(node, place)) else None for place in (5, 6)]
    made = {name: lowering.allocate(lowering.shape(name), "float32") for name in node.outputs if name}
    places = [made.get(name) for name in (*node.outputs, "", "")[:3]]
    for direction in range(lowering.known(node.inputs[1], node).shape[0]):
        steps_out, last, last_memory, start, start_memory = (
            view and view.at(axis, direction)
            for view, axis in zip((*places, *states), (1, 0, 0, 0, 0), strict=True)
        )
        projected, weights_inside, inner_bias = _projected(lowering, node, direction)
        kernel = Recurrent(
            cell=_CELLS[node.op],
            projected=projected,
            weights=weights_inside,
            steps_out=steps_out,
            last=last,
            last_memory=last_memory,
            start=start,
            start_memory=start_memory,
            inner_bias=inner_bias,
            is_backward=_is_backward(node, direction),
        )
        lowering.add(kernel)
    for name, place in made.items():
        lowering.define(name, place)


def _projected(lowering: Lowering, node: Node, direction: int) -> tuple[View, np.ndarray, np.ndarray | None]:
    """What the inputs contribute to all gates, the recurrent weights, and a bias that is added inside."""
    x, cell = lowering.view(node.inputs[0]), _CELLS[node.op]
    w, r = (lowering.known(name, node)[direction] for name in node.inputs[1:3])
    bias = lowering.known(name, node)[direction] if (name := _optional(node, 3)) else np.zeros(2 * len(w))
    outside, inside = np.split(bias.astype(np.float32), 2)
    inner_bias = None
    if node.attributes.get("linear_before_reset", 0) and cell is Cell.GRU:
        hidden = r.shape[-1]
        inner_bias = inside[2 * hidden :]
        inside = np.concatenate([inside[: 2 * hidden], np.zeros(hidden, np.float32)])
    projected = lowering.allocate((*x.shape[:2], len(w)), "float32")
    epilogue = apply("add", RESULT, Load(weights(outside + inside).broadcast(projected.shape)))
    lowering.add(Dense(x, np.ascontiguousarray(w.T), projected, 0, 2, epilogue, "project"))
    return projected, gates_of(r, cell), inner_bias


def _require_plain(lowering: Lowering, node: Node) -> None:
    """Refuse what few networks have: other activations, clipping, lengths, peepholes, the batch first."""
    if node.attributes.get("layout", 0):
        raise NotLowered(f"{node.op} {node.name!r} has the batch first")
    given = [
        one.decode() if isinstance(one, bytes) else one for one in node.attributes.get("activations", [])
    ]
    usual = _ACTIVATIONS[node.op]
    if given and given != usual * (len(given) // len(usual)):
        raise NotLowered(f"{node.op} {node.name!r} has the activations {given}")
    if node.attributes.get("clip") or node.attributes.get("input_forget", 0) or _optional(node, 7):
        raise NotLowered(f"{node.op} {node.name!r} clips, couples gates or has peepholes")
    if (lengths := _optional(node, 4)) and (
        lowering.known(lengths, node) != lowering.shape(node.inputs[0])[0]
    ).any():
        raise NotLowered(f"{node.op} {node.name!r} has sequences of several lengths")
    if lowering.dtype(node.inputs[0]) != "float32":
        raise NotLowered(f"{node.op} {node.name!r} is computed in float32 only")


def _is_backward(node: Node, direction: int) -> bool:
    named = text_of(node, "direction", "forward")
    return named == "reverse" or (named == "bidirectional" and direction == 1)


def _optional(node: Node, place: int) -> str:
    return node.inputs[place] if len(node.inputs) > place else ""


RULES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
