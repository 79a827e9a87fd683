"""From a graph to a program: steps over named tensors, and which constants are weights.

Constants are weights where training is meant to change them; running statistics of batch norm are state;
all others are known beforehand, and so is every node that reads nothing else. What is known is computed
here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from taut.graph.ir import Graph, Node
from taut.graph.torch_ops import OPERATORS
from taut.graph.torch_ops.base import Known, Modes, Run, Site, Unsupported
from taut.graph.torch_ops.opaque import opaque
from taut.graph.torch_ops.tensors import is_tensor_type, to_array, to_tensor
from taut.graph.torch_ops.weights import statistics, trainable


@dataclass(frozen=True)
class Step:
    """One node that runs at every call. An absent input is the empty string."""

    node: str
    modes: Modes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...] = ()
    """Values that no later step reads"""


@dataclass
class Program:
    """What a module needs to run a graph."""

    weights: frozenset[str]
    state: frozenset[str]
    known: dict[str, np.ndarray]
    """Values and constants that do not depend on data, weights or state"""
    steps: list[Step] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)

    def known_at_run_time(self, outputs: Sequence[str]) -> list[str]:
        """Names of known values that steps or the caller still read as tensors."""
        read = dict.fromkeys([name for step in self.steps for name in step.inputs] + list(outputs))
        return [name for name in read if name in self.known]


def compile_graph(graph: Graph) -> Program:
    """Compile node by node, in order."""
    weights, state = trainable(graph), statistics(graph)
    known = {name: array for name, array in graph.constants.items() if name not in weights | state}
    program = Program(weights, state, known)
    for node in graph:
        _compile_node(program, graph, node)
    program.steps = _with_done(program.steps, {output.name for output in graph.outputs})
    return program


def _compile_node(program: Program, graph: Graph, node: Node) -> None:
    built = _build(program, graph, node)
    if built is None:
        inputs, run = opaque(graph, node, program.known)
        program.steps.append(Step(node.name, Modes(run, run), inputs, node.outputs))
        program.opaque.append(node.name)
    elif isinstance(built, Known):
        program.known[node.outputs[0]] = built.array
    elif isinstance(built, Modes):
        program.steps.append(Step(node.name, built, node.inputs, node.outputs))
    elif all(name in program.known for name in node.inputs if name):
        program.known.update(zip(node.outputs, _fold(built, node, program), strict=False))
    else:
        program.steps.append(Step(node.name, Modes(built, built), node.inputs, node.outputs))


def _build(program: Program, graph: Graph, node: Node) -> Run | Modes | Known | None:
    """What the table makes of a node; None where it has to stay whole."""
    builder = OPERATORS.get(f"{node.domain}:{node.op}" if node.domain else node.op)
    if builder is None or not _has_kernels(graph, node, program):
        return None
    try:
        return builder(Site(graph, node, program.known))
    except Unsupported:
        return None


def _has_kernels(graph: Graph, node: Node, program: Program) -> bool:
    """Whether torch has the types that the node reads; it can little but convert the wider unsigned ones."""
    types = {value.dtype for name in node.inputs if (value := graph.value(name)) is not None}
    types |= {str(program.known[name].dtype) for name in node.inputs if name in program.known}
    is_converted = node.op in _CONVERSIONS or not _CONVERTED_ONLY & types
    return is_converted and all(is_tensor_type(dtype) for dtype in types)


_CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")
_CONVERTED_ONLY = {"uint16", "uint32", "uint64"}


def _fold(run: Run, node: Node, program: Program) -> list[np.ndarray]:
    inputs = [to_tensor(program.known[name]) if name else None for name in node.inputs]
    with torch.no_grad():
        result = run(*inputs)
    return [to_array(tensor) for tensor in (result if isinstance(result, tuple) else (result,))]


def _with_done(steps: list[Step], outputs: set[str]) -> list[Step]:
    """Note at each step which of the values made by steps are read for the last time."""
    made = {name for step in steps for name in step.outputs}
    seen, noted = set(outputs), []
    for step in reversed(steps):
        last = [name for name in dict.fromkeys((*step.inputs, *step.outputs)) if name and name not in seen]
        seen.update(last)
        done = tuple(name for name in last if name in made)
        noted.append(Step(step.node, step.modes, step.inputs, step.outputs, done))
    return noted[::-1]
