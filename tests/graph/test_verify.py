from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from small_nets import parse, random_array, residual_net, runnable_graphs

from taut.graph import Editor, Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.graph.verify import InvariantBroken, verify


def _changed(target: str, **fields: object) -> Graph:
    """The residual network with fields of one node replaced, unsorted and unchecked."""
    graph = residual_net()
    nodes = [replace(node, **fields) if node.name == target else node for node in graph]  # type: ignore[arg-type]
    return replace(graph, nodes=tuple(nodes))


def _constant(name: str, array: np.ndarray) -> Graph:
    graph = residual_net()
    return replace(graph, constants={**graph.constants, name: array})


def _typed(value: Value) -> Graph:
    edit = Editor(residual_net())
    edit.set_value(value)
    return edit.graph()


def _reversed() -> Graph:
    graph = residual_net()
    return replace(graph, nodes=graph.nodes[::-1])


def _quantized(scale: np.ndarray, zero_point: np.ndarray, axis: int = 0) -> Graph:
    """fc's weights (5, 4) stored as int8."""
    edit = Editor(residual_net())
    weight = np.zeros((5, 4), np.int8)
    names = [
        edit.set_constant(name, array) for name, array in zip("qsz", (weight, scale, zero_point), strict=True)
    ]
    edit.add("DequantizeLinear", names, ["w"], name="dequantize", attributes={"axis": axis})
    edit.redirect("fc.w", "w")
    return edit.graph()


_FIVE = np.full(5, 0.1, np.float32)
_BROKEN: dict[str, tuple[Callable[[], Graph], str, str]] = {
    "repeated node": (lambda: _changed("relu1", name="bn1"), "unique node names", "'bn1'"),
    "unnamed node": (lambda: _changed("relu1", name=""), "unique node names", "a Relu node has no name"),
    "value made twice": (lambda: _changed("relu1", outputs=("c1",)), "unique value names", "'c1'"),
    "value and constant": (lambda: _constant("r1", random_array(2)), "unique value names", "'r1'"),
    "ghost": (
        lambda: _changed("add", inputs=("b2", "ghost")),
        "every read value is made",
        "'add' reads 'ghost'",
    ),
    "output": (lambda: _changed("fc", outputs=("scores",)), "every read value is made", "output 'logits'"),
    "order": (_reversed, "topological order", "'fc' comes before the node that makes its 'flat'"),
    "cycle": (lambda: _changed("conv1", inputs=("sum", "conv1.w")), "topological order", "cycle.*'conv1'"),
    "boundary": (
        lambda: _typed(Value("logits", "float31", (1, 5))),
        "boundary types are known",
        "'logits'.*'float31'",
    ),
    "opset": (lambda: _changed("relu1", domain="mine"), "every domain has an opset", "'relu1'.*'mine'"),
    "NaN": (
        lambda: _constant("fc.b", np.float32([0, np.nan, 0, 0, 0])),
        "constants are numbers",
        "'fc.b', read by 'fc'",
    ),
    "bfloat16 NaN": (
        lambda: _constant("fc.b", np.full(5, np.nan, ml_dtypes.bfloat16)),
        "constants are numbers",
        "'fc.b'",
    ),
    "channels": (
        lambda: _constant("conv2.w", random_array(4, 3, 3, 3)),
        "weights fit their inputs",
        r"'conv2.w' of node 'conv2' has the shape \(4, 3, 3, 3\), not \(4, 4, 3, 3\)",
    ),
    "bias": (lambda: _constant("conv2.b", random_array(3)), "weights fit their inputs", "'conv2.b'"),
    "statistics": (lambda: _constant("bn1.var", random_array(3)), "weights fit their inputs", "'bn1.var'"),
    "columns": (lambda: _constant("fc.w", random_array(5, 3)), "recorded types are right", "'fc'"),
    "wrong type": (
        lambda: _typed(Value("r1", "float16", (1, 4, 8, 8))),
        "recorded types are right",
        "'r1' of node 'relu1' is recorded as float16 but is float32",
    ),
    "wrong shape": (
        lambda: _typed(Value("r1", "float32", (1, 4, 8, 9))),
        "recorded types are right",
        r"\(1, 4, 8, 9\) but has \(1, 4, 8, 8\)",
    ),
    "wrong rank": (lambda: _typed(Value("logits", "float32", (5,))), "recorded types are right", "'logits'"),
    "scale": (
        lambda: _quantized(np.float32([1, 1, 0, 1, 1]), np.zeros(5, np.int8)),
        "quantization is well-formed",
        "'dequantize': scale 's' is not positive",
    ),
    "zero point type": (
        lambda: _quantized(_FIVE, np.zeros(5, np.uint8)),
        "quantization is well-formed",
        "zero point is uint8 but the quantized value is int8",
    ),
    "zero point shape": (
        lambda: _quantized(_FIVE, np.zeros((), np.int8)),
        "quantization is well-formed",
        r"zero point has the shape \(\) but the scale \(5,\)",
    ),
    "scale axis": (
        lambda: _quantized(_FIVE, np.zeros(5, np.int8), axis=1),
        "quantization is well-formed",
        r"5 scales do not fit axis 1 of \(5, 4\)",
    ),
}


@pytest.mark.parametrize(("make", "invariant", "where"), _BROKEN.values(), ids=_BROKEN.keys())
def test_verify_says_stage_invariant_and_place_when_one_is_broken(
    make: Callable[[], Graph], invariant: str, where: str
) -> None:
    with pytest.raises(InvariantBroken, match=f"after pruning: {invariant} does not hold: .*{where}"):
        verify(make(), "pruning")


@settings(max_examples=25, deadline=None)
@given(runnable_graphs())
def test_verify_passes_sound_graphs(graph: Graph) -> None:
    verify(graph, "import")
    verify(with_shapes(graph), "shapes")


def test_verify_passes_sound_quantization() -> None:
    verify(with_shapes(_quantized(_FIVE, np.zeros(5, np.int8))), "int8")


def test_verify_passes_a_dynamic_graph_and_one_with_foreign_operators() -> None:
    verify(parse("agraph (float[batch, 3] x) => (float[batch, 3] y) { y = Relu(x) }"), "import")
    node = Node("odd", "Thing", ("x",), ("y",), {}, "nobody")
    x, y = Value("x", "float32", (2,)), Value("y", "int8", (9, None))
    verify(Graph("odd", (x,), (y,), (node,), {}, opsets={"": 20, "nobody": 1}), "import")


def test_verify_finds_a_reshape_that_no_longer_fits() -> None:
    graph = parse(
        """
        agraph (float[2, 6] x) => (float[n, m] y) <int64[2] target = {3, 5}> { y = Reshape(x, target) }
        """
    )
    with pytest.raises(InvariantBroken, match=r"'Reshape_0' makes \(3, 5\) of \(2, 6\)"):
        verify(graph, "pruning")
