from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_nets import parse, random_array, residual_net
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from taut.core.errors import BadInput
from taut.graph import Editor, Graph, Node, Value
from taut.graph.costs import NodeCost, element_bits, node_costs, total_costs, value_bytes


def _cost(text: str) -> NodeCost:
    """Cost of the last node of a graph."""
    return node_costs(parse(text))[-1]


def _alone(op: str, shapes: dict[str, tuple[int, ...]], domain: str = "", **attributes: object) -> NodeCost:
    """Cost of one node whose inputs are all activations; its output is inferred."""
    inputs = tuple(Value(name, "float32", shape) for name, shape in shapes.items())
    node = Node("it", op, tuple(shapes), ("y",), attributes, domain)
    output = Value("y", "float32", None)
    return node_costs(
        Graph("alone", inputs, (output,), (node,), {}, opsets={"": 23, domain: 1 if domain else 23})
    )[0]


_TORCH: dict[str, tuple[str, list[tuple[int, ...]], dict[str, object], Callable[..., Tensor]]] = {
    "convolution": (
        "Conv",
        [(2, 6, 9, 8), (8, 6, 3, 3)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        lambda x, w: F.conv2d(x, w, stride=2, padding=1),
    ),
    "1-d convolution": (
        "Conv",
        [(1, 3, 20), (5, 3, 4)],
        {"dilations": [2]},
        lambda x, w: F.conv1d(x, w, dilation=2),
    ),
    "transposed convolution": (
        "ConvTranspose",
        [(1, 6, 5, 5), (6, 4, 2, 2)],
        {"strides": [2, 2]},
        lambda x, w: F.conv_transpose2d(x, w, stride=2),
    ),
    "gemm": ("Gemm", [(3, 7), (5, 7)], {"transB": 1}, lambda a, b: a @ b.T),
    "gemm transposed": ("Gemm", [(7, 3), (7, 5)], {"transA": 1}, lambda a, b: a.T @ b),
    "batched product": ("MatMul", [(4, 3, 7), (4, 7, 5)], {}, torch.bmm),
    "product of vectors": ("MatMul", [(7,), (7, 5)], {}, lambda a, b: a[None] @ b),
    "einsum": ("Einsum", [(2, 3, 4), (2, 4, 5)], {"equation": "bij,bjk->bik"}, torch.bmm),
    "attention": ("Attention", [(2, 4, 6, 8)] * 3, {}, lambda q, k, v: (q @ k.mT).softmax(-1) @ v),
}


@pytest.mark.parametrize(("op", "shapes", "attributes", "reference"), _TORCH.values(), ids=_TORCH.keys())
def test_macs_are_half_of_the_operations_that_torch_counts(
    op: str, shapes: list[tuple[int, ...]], attributes: dict[str, object], reference: Callable[..., Tensor]
) -> None:
    with FlopCounterMode(display=False) as counter:
        reference(*(torch.zeros(shape) for shape in shapes))
    cost = _alone(op, {f"in{place}": shape for place, shape in enumerate(shapes)}, **attributes)
    assert 2 * cost.macs == counter.get_total_flops() > 0


def test_macs_of_a_grouped_convolution_divide_its_input_channels() -> None:
    whole = _alone("Conv", {"x": (1, 8, 5, 5), "w": (8, 8, 3, 3)})
    depthwise = _alone("Conv", {"x": (1, 8, 5, 5), "w": (8, 1, 3, 3)}, group=8)
    assert whole.macs == 8 * 3 * 3 * 8 * 9 and depthwise.macs * 8 == whole.macs


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_macs_of_recurrent_layers_count_gates_directions_and_steps(op: str, gates: int) -> None:
    steps, batch, size, hidden = 7, 2, 5, 3
    shapes = {"x": (steps, batch, size), "w": (2, gates * hidden, size), "r": (2, gates * hidden, hidden)}
    cost = _alone(op, shapes, hidden_size=hidden, direction="bidirectional")
    assert cost.macs == steps * batch * 2 * gates * hidden * (size + hidden)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk", [(2, 3), (3, 4)], 2 * 3 * 4),
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (5, 6, 3, 4)], 5 * 6 * 2 * 3 * 4),
        ("ij->ji", [(2, 3)], 0),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5),
        ("i,i->", [(7,), (7,)], 7),
    ],
)
def test_macs_of_einsum_contract_from_left_to_right(
    equation: str, shapes: list[tuple[int, ...]], macs: int
) -> None:
    cost = _alone("Einsum", {f"in{place}": shape for place, shape in enumerate(shapes)}, equation=equation)
    assert cost.macs == macs


def test_macs_of_attention_count_groups_and_the_past() -> None:
    shapes = {
        "q": (1, 2, 32),
        "k": (1, 2, 16),
        "v": (1, 2, 8),
        "": (),
        "pk": (1, 2, 5, 8),
        "pv": (1, 2, 5, 4),
    }
    inputs = tuple(Value(name, "float32", shape) for name, shape in shapes.items() if name)
    node = Node("it", "Attention", tuple(shapes), ("y", "nk", "nv"), {"q_num_heads": 4, "kv_num_heads": 2})
    outputs = tuple(Value(name, "float32", None) for name in node.outputs)
    (cost,) = node_costs(Graph("alone", inputs, outputs, (node,), {}, opsets={"": 23}))
    # 4 query heads, 2 queries, 2 + 5 keys, sizes 8 and 4
    assert cost.macs == 4 * 2 * 7 * (8 + 4)


def test_other_operators_count_elements() -> None:
    x = "agraph (float[1, 4, 6, 6] x)"
    relu = _cost(f"{x} => (float[1, 4, 6, 6] y) {{ y = Relu(x) }}")
    pool = _cost(
        f"{x} => (float[1, 4, 3, 3] y) {{ y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }}"
    )
    mean = _cost(f"{x} => (float[1, 4, 1, 1] y) {{ y = GlobalAveragePool(x) }}")
    view = _cost(f"{x} => (float[1, 144] y) {{ y = Flatten(x) }}")
    counts = [cost.element_operations for cost in (relu, pool, mean, view)]
    assert counts == [144, 4 * 9 * 4, 144, 0]
    assert not any(cost.macs for cost in (relu, pool, mean, view))
    assert (relu.moved_bytes, view.moved_bytes) == (2 * 144 * 4, 0)


def test_parameters_and_bytes_of_a_convolution() -> None:
    cost = next(cost for cost in node_costs(residual_net()) if cost.node == "conv2")
    assert cost.parameters == 4 * 4 * 9 + 4
    assert cost.weight_bytes == 4 * cost.parameters
    assert cost.input_bytes == cost.output_bytes == 4 * 4 * 64
    assert cost.moved_bytes == cost.weight_bytes + cost.input_bytes + cost.output_bytes


def test_total_parameters_match_a_count_by_hand() -> None:
    total = total_costs(residual_net())
    assert total.parameters == sum(array.size for array in residual_net().constants.values())
    assert total.macs == 4 * 3 * 9 * 64 + 4 * 4 * 9 * 64 + 4 * 5 and not total.incomplete


def test_weights_that_are_dequantized_count_where_they_are_used() -> None:
    edit = Editor(residual_net())
    edit.set_constant("fc.q", np.zeros((5, 4), np.int8))
    edit.set_constant("scale", np.float32(0.1))
    edit.add("DequantizeLinear", ["fc.q", "scale"], ["fc.d"], name="dequantize")
    edit.redirect("fc.w", "fc.d")
    costs = {cost.node: cost for cost in node_costs(edit.graph())}
    assert costs["dequantize"] == NodeCost("dequantize", "DequantizeLinear", 0, 0, 0, 0, 0, 0, True)
    assert (costs["fc"].parameters, costs["fc"].weight_bytes) == (20 + 5, 20 + 4 + 20)


def test_a_shared_constant_counts_once_in_total() -> None:
    graph = parse(
        """
        agraph (float[2, 4] x) => (float[2, 4] y)
        <float[4, 4] w = {0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0}> {
            a = MatMul(x, w)
            y = MatMul(a, w)
        }
        """
    )
    assert [cost.parameters for cost in node_costs(graph)] == [16, 16]
    total = total_costs(graph)
    assert (total.parameters, total.weight_bytes, total.macs) == (16, 64, 2 * 2 * 4 * 4)


def test_views_of_one_constant_count_once_in_total() -> None:
    graph = parse(
        """
        agraph (float[4] x) => (float[4] y) <float[4] w = {1.0, 2.0, 3.0, 4.0}> {
            copy = Identity(w)
            a = Mul(x, w)
            y = Add(a, copy)
        }
        """
    )
    total = total_costs(graph)
    assert (total.parameters, total.weight_bytes) == (4, 16)


def test_total_parameters_leave_out_scales_but_not_quantized_biases() -> None:
    edit = Editor(residual_net())
    quantized = {"fc.w": np.zeros((5, 4), np.int8), "fc.b": np.zeros(5, np.int32)}
    for name, array in quantized.items():
        names = [
            edit.set_constant(f"{name}.q", array),
            edit.set_constant(f"{name}.s", np.ones(5, np.float32)),
        ]
        edit.add("DequantizeLinear", names, [f"{name}.d"], name=f"{name}.dequantize", attributes={"axis": 0})
        edit.redirect(name, f"{name}.d")
    assert total_costs(edit.graph()).parameters == total_costs(residual_net()).parameters


def test_a_lookup_moves_only_the_rows_it_takes() -> None:
    edit = Editor(
        parse("agraph (int64[3] ids) => (float[3, 4] y) <float[1] t = {0.0}> { y = Gather(t, ids) }")
    )
    edit.set_constant("t", random_array(1000, 4))
    (cost,) = node_costs(edit.graph())
    assert (cost.parameters, cost.weight_bytes, cost.moved_bytes) == (4000, 16000, 2 * 3 * 4 * 4)


def test_costs_name_nodes_that_are_not_known_in_full() -> None:
    x, y = Value("x", "float32", (2,)), Value("y", "float32", (2,))
    nodes = (Node("odd", "Thing", ("x",), ("a",), {}, "nobody"), Node("relu", "Relu", ("a",), ("y",)))
    graph = Graph("odd", (x,), (y,), nodes, {}, opsets={"": 20, "nobody": 1})
    assert total_costs(graph).incomplete == ("odd", "relu")


def test_costs_refuse_a_dynamic_graph_with_the_flag_to_give() -> None:
    with pytest.raises(BadInput, match="--shape x=1x3"):
        node_costs(parse("agraph (float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }"))


def test_value_bytes_pack_small_elements() -> None:
    assert value_bytes(Value("w", "int4", (3, 3))) == 5
    sizes = {"bool": 8, "bfloat16": 16, "float8_e4m3fn": 8, "float64": 64, "uint4": 4, "complex64": 64}
    assert {dtype: element_bits(dtype) for dtype in sizes} == sizes
