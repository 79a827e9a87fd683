from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper
from small_nets import parse, random_inputs, residual_net, run, runnable_graphs

from taut.core.errors import BadInput
from taut.graph import Editor, Graph, Value
from taut.graph.onnx_import import from_onnx
from taut.graph.shapes import with_shapes


def _shapes(graph: Graph) -> dict[str, object]:
    return {name: value.shape for node in graph for name in node.outputs if (value := graph.value(name))}


def _run_every_value(graph: Graph) -> dict[str, np.ndarray]:
    """What onnxruntime computes for every value of a static graph."""
    edit = Editor(graph)
    made = [value for node in graph for name in node.outputs if (value := graph.value(name))]
    edit.set_outputs(made)
    return run(edit.graph(), **random_inputs(graph))


@settings(max_examples=25, deadline=None)
@given(runnable_graphs())
def test_with_shapes_agrees_with_what_runs_on_random_graphs(graph: Graph) -> None:
    shaped = with_shapes(graph)
    contents = _run_every_value(shaped)
    assert set(contents) == {name for node in shaped for name in node.outputs}
    assert {name: array.shape for name, array in contents.items()} == _shapes(shaped)


def test_with_shapes_types_every_value_of_a_network() -> None:
    shaped = with_shapes(residual_net())
    assert _shapes(shaped)["r2"] == (1, 4, 8, 8) and _shapes(shaped)["flat"] == (1, 4)
    assert {name: array.shape for name, array in _run_every_value(shaped).items()} == _shapes(shaped)


def test_with_shapes_follows_a_shape_that_is_cut_and_glued_together() -> None:
    graph = parse(
        """
        agraph (float[n, 4, h, w] x) => (float[a, b, c] y)
        <int64[1] start = {0}, int64[1] end = {2}, int64[1] rest = {-1}> {
            size = Shape(x)
            front = Slice(size, start, end)
            as_float = Cast<to: int = 1>(front)
            same = Floor(as_float)
            back = Cast<to: int = 7>(same)
            target = Concat<axis: int = 0>(back, rest)
            y = Reshape(x, target)
        }
        """
    )
    shaped = with_shapes(graph, {"x": (2, 4, 3, 5)})
    assert shaped.outputs == (Value("y", "float32", (2, 4, 15)),)
    assert shaped.nodes == graph.nodes


def test_with_shapes_takes_the_branch_whose_condition_is_known() -> None:
    graph = parse(
        """
        agraph (float[n, 3] x) => (float[] y) <int64 one = {1}, int64 zero = {0}, int64[1] axes = {0}> {
            size = Shape(x)
            first = Gather(size, zero)
            is_single = Equal(first, one)
            y = If (is_single) <
                then_branch = yes () => (float[] t) { t = Squeeze(x, axes) },
                else_branch = no () => (float[] e) { e = Neg(x) }
            >
        }
        """
    )
    assert with_shapes(graph, {"x": (1, 3)}).outputs[0].shape == (3,)
    assert with_shapes(graph, {"x": (2, 3)}).outputs[0].shape == (2, 3)


def test_with_shapes_asks_the_runtime_about_operators_that_onnx_does_not_know() -> None:
    nodes = [
        helper.make_node("QuickGelu", ["x"], ["a"], domain="com.microsoft"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Nowhere", ["b"], ["y"], domain="nobody"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    opsets = [
        helper.make_opsetid("", 20),
        helper.make_opsetid("com.microsoft", 1),
        helper.make_opsetid("nobody", 1),
    ]
    graph = from_onnx(helper.make_model(helper.make_graph(nodes, "odd", [x], [y]), opset_imports=opsets))
    # The last one cannot be run: its output keeps what the file says, with n now known.
    assert _shapes(with_shapes(graph, {"x": (2, 4)})) == {"a": (2, 4), "b": (2, 4), "y": (2, 4)}


def test_with_shapes_leaves_what_depends_on_data_dynamic() -> None:
    graph = parse("agraph (float[4] x) => (int64[k, n] y) { places = NonZero(x) y = Neg(places) }")
    shaped = with_shapes(graph)
    assert shaped.value("places") == Value("places", "int64", (1, None))
    assert not shaped.outputs[0].is_static


def test_with_shapes_does_not_compute_random_contents() -> None:
    graph = parse(
        """
        agraph (float[1] x) => (float[n] y) {
            noise = RandomUniform<shape = [1], low = 1.0, high = 9.0>()
            count = Cast<to: int = 7>(noise)
            y = Expand(x, count)
        }
        """
    )
    assert not with_shapes(graph).outputs[0].is_static


_TWO_INPUTS = "agraph (float[batch, 3, h, w] x, float[batch, 2] y) => (float[batch, 2] z) { z = Relu(y) }"


def test_with_shapes_names_the_flag_when_a_dynamic_input_has_no_size() -> None:
    message = r"input 'x' has the dynamic shape \(batch, 3, h, w\).*give --shape x=1x3x224x224"
    with pytest.raises(BadInput, match=message):
        with_shapes(parse(_TWO_INPUTS))


def test_with_shapes_fixes_another_input_through_a_shared_name() -> None:
    shaped = with_shapes(parse(_TWO_INPUTS), {"x": (5, 3, 8, 8)})
    assert [value.shape for value in (*shaped.inputs, *shaped.outputs)] == [(5, 3, 8, 8), (5, 2), (5, 2)]


@pytest.mark.parametrize(
    ("sizes", "rule"),
    [
        ({"z": (1, 2)}, "--shape z: names no input of the model; its inputs are x, y"),
        ({"x": (1, 3, 8)}, "--shape x=1x3x8: has 3 sizes where the model wants 4"),
        ({"x": (1, 4, 8, 8)}, "gives 4 where the model has 3"),
        ({"x": (1, 3, 8, 0)}, "has a size below 1"),
        ({"x": (1, 3, 8, 8), "y": (2, 2)}, r"--shape y=2x2: gives 2 where the model has 1 \(batch\)"),
    ],
)
def test_with_shapes_refuses_sizes_that_contradict_the_model(
    sizes: dict[str, tuple[int, ...]], rule: str
) -> None:
    with pytest.raises(BadInput, match=rule):
        with_shapes(parse(_TWO_INPUTS), sizes)


def test_with_shapes_takes_any_size_when_the_rank_is_unknown() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> agraph (float[] x) => (float[] y) { y = Relu(x) }'
    )
    model.graph.input[0].type.tensor_type.ClearField("shape")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    graph = from_onnx(model)
    assert graph.inputs[0].shape is None
    assert with_shapes(graph, {"x": (2, 7)}).outputs[0].shape == (2, 7)
    with pytest.raises(BadInput, match="of unknown rank"):
        with_shapes(graph)


def test_with_shapes_computes_no_large_constant() -> None:
    graph = parse(
        """
        agraph (float[1] x) => (float[n] y) <int64[1] huge = {1000000000000}> {
            zeros = ConstantOfShape(huge)
            y = Add(zeros, x)
        }
        """
    )
    assert with_shapes(graph).outputs[0].shape == (10**12,)
