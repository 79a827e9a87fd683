from __future__ import annotations

import numpy as np
import pytest
from tests.moves.quantize.quantize_nets import Sketch, concat_net, mixed_net, residual_net

from taut.core.errors import BadInput
from taut.moves.quantize.placement import (
    compute_nodes,
    place,
    quantizable_nodes,
    with_joints,
)


def test_quantizable_nodes_are_those_with_an_integer_kernel_in_order() -> None:
    wanted = ("conv1", "depthwise", "conv2", "add", "conv3", "mean", "classifier")
    assert quantizable_nodes(residual_net()) == wanted


def test_compute_nodes_are_those_that_multiply_matrices() -> None:
    assert compute_nodes(residual_net()) == ("conv1", "depthwise", "conv2", "conv3", "classifier")


def test_joints_come_along_when_all_their_producers_are_chosen() -> None:
    graph = residual_net()
    assert with_joints(graph, ("conv1", "conv2")) == ("conv1", "conv2", "add")
    assert with_joints(graph, ("conv1", "depthwise")) == ("conv1", "depthwise")


def test_a_clamp_is_taken_in_by_the_kernel_before_it() -> None:
    placement = place(residual_net(), ("conv1", "depthwise"))
    assert "relu1_out" in placement.written and "conv1_out" not in placement.groups
    assert "clip_out" in placement.written and "depthwise_out" not in placement.groups


def test_a_constant_summand_behind_a_matrix_product_is_its_bias() -> None:
    graph = mixed_net()
    assert "matmul" in quantizable_nodes(graph) and "bias" not in quantizable_nodes(graph)
    assert "relu_out" in place(graph, ("matmul",), "integer").written


def test_steps_with_constants_do_not_come_along() -> None:
    assert "add" not in with_joints(mixed_net(), compute_nodes(mixed_net()))


def test_a_carrier_between_two_kernels_shares_their_scale() -> None:
    placement = place(residual_net(), ("add", "conv3"))
    assert "pool" in placement.nodes
    assert placement.groups["pool_out"] == placement.groups["add_out"]


def test_a_carrier_after_a_float_node_stays_float() -> None:
    placement = place(residual_net(), ("conv3",))
    assert "pool" not in placement.nodes
    assert set(placement.groups) == {"pool_out", "relu3_out"}


def test_what_is_only_read_quantized_is_not_written() -> None:
    placement = place(residual_net(), ("conv2",))
    assert placement.written == {"conv2_out"}
    assert set(placement.groups) == {"clip_out", "conv2_out"}


def test_a_concatenation_shares_one_scale_on_the_integer_engine() -> None:
    graph = concat_net()
    groups = place(graph, quantizable_nodes(graph, "integer"), "integer").groups
    assert groups["left_out"] == groups["relu_out"] == groups["concat_out"]
    assert groups["last_out"] != groups["concat_out"]


def test_a_relu_keeps_a_scale_of_its_own_where_a_concatenation_can_rescale() -> None:
    groups = place(concat_net(), quantizable_nodes(concat_net())).groups
    assert len({groups["left_out"], groups["relu_out"], groups["concat_out"]}) == 3


def test_everything_ends_quantized_on_the_integer_engine() -> None:
    graph = residual_net()
    assert "classifier_out" in place(graph, quantizable_nodes(graph, "integer"), "integer").written


def test_the_last_matrix_product_may_end_in_float_but_a_convolution_not() -> None:
    graph = residual_net()
    assert "classifier_out" not in place(graph, ("classifier",)).groups
    assert "last_out" in place(concat_net(), ("last",)).groups


def test_openvino_leaves_results_in_float_unless_they_are_read_quantized() -> None:
    placement = place(residual_net(), ("conv1", "depthwise"), "openvino")
    assert placement.written == frozenset()
    assert set(placement.groups) == {"image", "relu1_out"}


@pytest.mark.parametrize(("name", "what"), [("relu1", "is Relu"), ("nowhere", "is not in the network")])
def test_nodes_that_cannot_be_quantized_are_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(BadInput, match=f"{name}.*{what}"):
        place(residual_net(), (name,))


def test_a_convolution_whose_weight_is_computed_is_left_whole() -> None:
    sketch = Sketch()
    weight = sketch.constant("w", np.ones((4, 4, 1, 1), np.float32))
    doubled = sketch.node("double", "Mul", (sketch.node("same", "Relu", ("image",)), "image"))
    computed = sketch.node("computed", "Transpose", (weight,), perm=[1, 0, 2, 3])
    graph = sketch.graph(sketch.node("conv", "Conv", (doubled, computed)))
    assert quantizable_nodes(graph) == ("double",)
