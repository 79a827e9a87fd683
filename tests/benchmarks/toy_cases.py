"""Small networks as cases of the benchmark, and runners of known behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from peers.base import Case
from taut.core.network import MAIN, Network, Part
from taut.core.quantities import P50, Quantity
from taut.core.runner import Item, Sample
from taut.core.task import Arrays, ArraySplit, Sealed, Task
from taut.fit.feedback import find_feedback
from taut.graph.onnx_import import load_onnx

Shapes = Mapping[str, tuple[int, ...]]


@dataclass
class Toy:
    """Counts to a number, then gives its input back, or (wrongly) the input's size."""

    count: int
    is_right: bool = True
    quantities: tuple[Quantity, ...] = (P50,)

    def open(self) -> None:
        """Need nothing."""

    def run(self, item: Item) -> Sample:
        total = 0
        for index in range(self.count):
            total += index
        x = item.inputs["x"]
        return Sample({"y": x if self.is_right else np.abs(x)})

    def close(self) -> None:
        """Keep nothing."""


def convolution_case(folder: Path) -> Case:
    """Two convolutions, pooling and a classifier: (1, 3, 16, 16) -> (1, 10)."""
    random = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "w2": (16, 8, 3, 3), "w3": (16, 10)}
    constants = {
        name: (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w3"], ["y"]),
    ]
    values = {"x": (1, 3, 16, 16)}, {"y": (1, 10)}
    images = random.standard_normal((40, 3, 16, 16)).astype(np.float32)
    return _case(folder, nodes, values, constants, {"x": images})


def recurrent_case(folder: Path) -> Case:
    """next state = tanh(x + 0.5 state), y = 2 next state; sequences are up to the caller."""
    nodes = [
        helper.make_node("Mul", ["state_in", "half"], ["a"]),
        helper.make_node("Add", ["x", "a"], ["b"]),
        helper.make_node("Tanh", ["b"], ["state_out"]),
        helper.make_node("Add", ["state_out", "state_out"], ["y"]),
    ]
    values = {"x": (1, 4), "state_in": (1, 4)}, {"y": (1, 4), "state_out": (1, 4)}
    steps = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    return _case(folder, nodes, values, {"half": np.float32(0.5).reshape(1)}, {"x": steps})


def recurrent_oracle(steps: list[np.ndarray]) -> list[np.ndarray]:
    """What the recurrent network answers to one sequence."""
    state, answers = np.zeros((1, 4), np.float32), []
    for x in steps:
        state = np.tanh(x + 0.5 * state)
        answers.append(2 * state)
    return answers


def plain_task(inputs: Arrays) -> Task:
    """Three splits of the same samples, without labels."""
    split = ArraySplit(inputs)
    return Task("toy", split, split, Sealed(split), (), digest="toy")


def _case(
    folder: Path,
    nodes: list[onnx.NodeProto],
    values: tuple[Shapes, Shapes],
    constants: Arrays,
    inputs: Arrays,
) -> Case:
    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in values
    )
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "toy", given, made, stored)
    file = folder / "toy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    imported = load_onnx(file)
    network = Network("toy", {MAIN: Part(imported, source_file=file)}, feedback=find_feedback(imported))
    return Case(file, network, plain_task(inputs), 1, folder / "prepared")
