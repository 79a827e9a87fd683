"""What becomes one kernel: values that readers take in, and ways that part and meet again."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from programs import TARGETS, needs_compiler, relative_error, run_compiled

from taut.graph import Graph, Node, Value
from taut.graph.onnx_export import to_onnx
from taut.graph.shapes import with_shapes
from taut.runtimes.aot.lower import lower
from taut.runtimes.aot.program import Program

_GELU = (
    Node("div", "Div", ("h", "root"), ("d",)),
    Node("erf", "Erf", ("d",), ("e",)),
    Node("add", "Add", ("e", "one"), ("a",)),
    Node("mul", "Mul", ("h", "a"), ("m",)),
    Node("half", "Mul", ("m", "half_of"), ("y",)),
)
_HARD_SWISH = (
    Node("shift", "Add", ("h", "one"), ("s",)),
    Node("clip", "Clip", ("s", "zero", "six"), ("c",)),
    Node("mul", "Mul", ("h", "c"), ("y",)),
)
_TWO_KERNELS = (
    Node("other", "MatMul", ("x", "w"), ("o",)),
    Node("tanh", "Tanh", ("h",), ("t",)),
    Node("sum", "Add", ("t", "o"), ("s",)),
    Node("mul", "Mul", ("h", "s"), ("y",)),
)
_LEFT_OUT = (
    Node("tanh", "Tanh", ("h",), ("t",)),
    Node("mul", "Mul", ("h", "t"), ("m",)),
    Node("reduce", "ReduceSum", ("t",), ("r",), {"keepdims": 1}),
    Node("sum", "Add", ("m", "r"), ("y",)),
)


def _behind_product(nodes: tuple[Node, ...]) -> Graph:
    """A product whose result h the nodes read."""
    constants = {
        "w": np.random.default_rng(0).standard_normal((12, 21)).astype(np.float32),
        "root": np.array(np.sqrt(2), np.float32),
        "one": np.array(1, np.float32),
        "half_of": np.array(0.5, np.float32),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
    }
    used = {name: constants[name] for node in nodes for name in node.inputs if name in constants}
    product = Node("product", "MatMul", ("x", "w"), ("h",))
    ends = (Value("x", "float32", (5, 12)),), (Value("y", "float32", (5, 21)),)
    graph = Graph("net", *ends, (product, *nodes), {"w": constants["w"], **used}, opsets={"": 17})
    return with_shapes(graph)


def _names(program: Program) -> list[str]:
    return [step.kernel.name for step in program.steps]


@pytest.mark.parametrize(
    ("nodes", "kernels"),
    [
        (_GELU, ["matmul"]),
        (_HARD_SWISH, ["matmul"]),
        (_TWO_KERNELS, ["matmul", "matmul"]),
        (_LEFT_OUT, ["matmul", "map", "reduce", "map"]),
    ],
)
@needs_compiler
def test_ways_that_part_and_meet_are_computed_once(nodes: tuple[Node, ...], kernels: list[str]) -> None:
    graph = _behind_product(nodes)
    program = lower(graph)
    assert _names(program) == kernels
    x = np.random.default_rng(1).standard_normal((5, 12)).astype(np.float32)
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    (expected,) = session.run(None, {"x": x})
    (found,) = run_compiled(program, [x], TARGETS[-1])
    assert relative_error(found.reshape(expected.shape), expected) < 1e-5
