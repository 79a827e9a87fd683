from __future__ import annotations

import copy
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from small_nets import parse, random_array, random_inputs, residual_net, run, runnable_graphs
from torch import nn

from taut.graph import Graph, Node, Value
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import TorchGraph, follows_batch, to_torch


def evaluate(module: TorchGraph, graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        outputs = module(*[torch.from_numpy(inputs[value.name]) for value in graph.inputs])
    return {value.name: tensor.numpy() for value, tensor in zip(graph.outputs, outputs, strict=True)}


def assert_like_onnxruntime(graph: Graph, seed: int = 0) -> TorchGraph:
    module, inputs = to_torch(graph), random_inputs(graph, seed)
    wanted, got = run(graph, **inputs), evaluate(module, graph, inputs)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)
    return module


# Values, weights


@given(runnable_graphs())
@settings(max_examples=25)
def test_module_agrees_with_onnxruntime_on_random_graphs(graph: Graph) -> None:
    assert_like_onnxruntime(graph)


def test_module_agrees_with_onnxruntime_on_a_residual_net() -> None:
    assert assert_like_onnxruntime(residual_net()).opaque == ()


def test_module_agrees_with_onnxruntime_when_shapes_depend_on_inputs() -> None:
    graph = parse("""net (float[rows, 6] x) => (float[n, m] y) <int64[1] last = {-1}, int64[1] zero = {0}> {
        sizes = Shape (x)
        rows = Gather (sizes, zero)
        target = Concat <axis = 0> (last, rows)
        y = Reshape (x, target)
    }""")
    module, x = to_torch(graph), random_array(2, 6)
    np.testing.assert_allclose(evaluate(module, graph, {"x": x})["y"], x.reshape(6, 2))


def test_constant_as_output_is_returned() -> None:
    graph = parse("net (float[2] x) => (float[2] y, float[2] z) <float[2] z = {1, 2}> { y = Neg (x) }")
    assert to_torch(graph)(torch.zeros(2))[1].tolist() == [1, 2]


def test_intermediate_values_can_be_asked_for() -> None:
    graph = residual_net()
    values = to_torch(graph).values_of([torch.randn(1, 3, 8, 8)], ["r1", "logits"])
    assert values["r1"].shape == (1, 4, 8, 8)
    assert values["logits"].shape == (1, 5)


def test_weights_are_parameters_and_formula_numbers_are_not() -> None:
    graph = parse("""net (float[2, 4] x) => (float[2, 4] y)
        <float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, float[4] b = {1, 2, 3, 4},
         float six = {6}, float[4] mask = {0, -1e9, 0, 0}, int64[2] shape = {2, 4}> {
        p = MatMul (x, w)
        q = Add (p, b)
        r = Div (q, six)
        s = Reshape (r, shape)
        y = Add (s, mask)
    }""")
    assert set(to_torch(graph).weights) == {"w", "b"}


def test_weight_behind_a_transpose_is_a_parameter() -> None:
    graph = parse("""net (float[2, 3] x) => (float[2, 2] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}> {
        turned = Transpose <perm = [1, 0]> (w)
        y = MatMul (x, turned)
    }""")
    module = assert_like_onnxruntime(graph)
    module(torch.ones(2, 3))[0].sum().backward()
    assert torch.equal(module.weights["w"].grad, torch.full((2, 3), 2.0))


# Training


def reference_net(graph: Graph) -> nn.Sequential:
    """The start of the residual net in plain torch, with the same weights."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, eps=1e-3))
    names = {"0.weight": "conv1.w", "1.weight": "bn1.scale", "1.bias": "bn1.bias"}
    names |= {"1.running_mean": "bn1.mean", "1.running_var": "bn1.var"}
    state = {key: torch.from_numpy(graph.constants[name].copy()) for key, name in names.items()}
    net.load_state_dict(state, strict=False)
    return net


def test_training_step_is_the_same_as_in_plain_torch() -> None:
    graph = residual_net()
    module, reference, images = to_torch(graph), reference_net(graph), torch.randn(6, 3, 8, 8)
    module.train()
    got, wanted = module.values_of([images], ["b1"])["b1"], reference.train()(images)
    got.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(module.weights["conv1.w"].grad, reference[0].weight.grad)
    torch.testing.assert_close(module.weights["bn1.scale"].grad, reference[1].weight.grad)
    constants = module.to_graph().constants
    np.testing.assert_allclose(constants["bn1.mean"], reference[1].running_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(constants["bn1.var"], reference[1].running_var.numpy(), rtol=1e-6)


def test_trained_graph_runs_in_onnxruntime_as_the_module_evaluates() -> None:
    graph = residual_net()
    module = to_torch(graph).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(2):
        module(torch.randn(4, 3, 8, 8))[0].square().mean().backward()
        optimizer.step()
    trained, inputs = module.to_graph(), random_inputs(graph)
    stored = graph.constants.items()
    unmoved = {name for name, array in stored if np.allclose(array, trained.constants[name])}
    assert unmoved == {"conv2.b"}  # a bias before batch norm has no effect while training
    got = evaluate(module.eval(), graph, inputs)["logits"]
    np.testing.assert_allclose(got, run(trained, **inputs)["logits"], rtol=1e-5, atol=1e-5)


def test_evaluation_changes_nothing() -> None:
    graph = residual_net()
    module = to_torch(graph)
    evaluate(module, graph, random_inputs(graph))
    assert module.to_graph().digest() == graph.digest()


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_weights_keep_their_type(dtype: str) -> None:
    number_type = np.dtype(getattr(ml_dtypes, dtype, dtype))
    weight = random_array(3, 2).astype(number_type)
    node = Node("product", "MatMul", ("x", "w"), ("y",))
    graph = Graph("net", (Value("x", dtype, (2, 3)),), (Value("y", dtype, (2, 2)),), (node,), {"w": weight})
    module = to_torch(graph)
    assert module(torch.ones(2, 3, dtype=getattr(torch, dtype)))[0].dtype == getattr(torch, dtype)
    assert module.to_graph().digest() == graph.digest()


def test_copy_trains_apart_from_its_original() -> None:
    graph = residual_net()
    module = to_torch(graph)
    twin = copy.deepcopy(module).train()
    twin(torch.randn(4, 3, 8, 8))[0].sum().backward()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    assert module.to_graph().digest() == graph.digest()
    assert twin.to_graph().digest() != graph.digest()


def test_state_can_be_saved_and_loaded() -> None:
    graph = residual_net()
    module, other = to_torch(graph), to_torch(graph)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(1)
    other.load_state_dict(module.state_dict())
    assert other.to_graph().digest() == module.to_graph().digest()


def test_statistics_that_two_layers_share_are_kept_apart() -> None:
    graph = residual_net()
    nodes = [
        replace(node, inputs=(*node.inputs[:3], "bn1.mean", "bn1.var")) if node.name == "bn2" else node
        for node in graph
    ]
    constants = {
        name: array for name, array in graph.constants.items() if name not in ("bn2.mean", "bn2.var")
    }
    module = to_torch(replace(graph, nodes=tuple(nodes), constants=constants)).train()
    module(torch.randn(4, 3, 8, 8))
    trained = module.to_graph()
    means = [trained.constants[trained.by_name[name].inputs[3]] for name in ("bn1", "bn2")]
    assert np.any(means[0] != means[1])


def test_gradient_reaches_a_quantized_weight() -> None:
    graph = parse("""net (float[1, 2] x) => (float[1, 2] y)
        <float[2, 2] w = {0.11, 0.2, 0.3, 0.4}, float s = {0.05}, int8 z = {0}> {
        whole = QuantizeLinear (w, s, z)
        rounded = DequantizeLinear (whole, s, z)
        y = MatMul (x, rounded)
    }""")
    module = assert_like_onnxruntime(graph)
    module(torch.tensor([[1.0, 2.0]]))[0].sum().backward()
    torch.testing.assert_close(module.weights["w"].grad, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))


def recurrent_net() -> Graph:
    """Operators that take several tensors of one type, which autocast hands over in two."""
    gru = ("projected", "w", "r", "b", "", "state")
    nodes = (
        Node("project", "MatMul", ("x", "m"), ("projected",)),
        Node("gru", "GRU", gru, ("all", "last"), {"hidden_size": 5, "linear_before_reset": 1}),
        Node("flatten", "Squeeze", ("all",), ("flat",)),
        Node("norm", "LayerNormalization", ("flat", "scale", "bias"), ("normal",)),
        Node("slope", "PRelu", ("normal", "slopes"), ("sloped",)),
        Node("row", "Reshape", ("last", "row_shape"), ("row",)),
        Node("mix", "MatMul", ("row", "k"), ("mixed",)),
        Node("write", "ScatterND", ("sloped", "place", "mixed"), ("y",)),
    )
    shapes = {"m": (3, 3), "w": (1, 15, 3), "r": (1, 15, 5), "b": (1, 30), "k": (5, 5)}
    shapes |= {"scale": (5,), "bias": (5,), "slopes": (5,)}
    constants = {name: random_array(*shape, seed=place) for place, (name, shape) in enumerate(shapes.items())}
    constants |= {"row_shape": np.array([1, 5]), "place": np.array([[2]])}
    inputs = (Value("x", "float32", (4, 1, 3)), Value("state", "float32", (1, 1, 5)))
    return with_shapes(Graph("net", inputs, (Value("y", "float32", (4, 5)),), nodes, constants))


def test_module_agrees_with_onnxruntime_on_a_recurrent_net() -> None:
    assert assert_like_onnxruntime(recurrent_net()).opaque == ()


def test_mixed_precision_trains_every_weight() -> None:
    module = to_torch(recurrent_net()).train()
    with torch.autocast("cpu", torch.bfloat16):
        (y,) = module(torch.randn(4, 1, 3), torch.randn(1, 1, 5))
    y.float().square().sum().backward()
    assert set(module.weights) == {"m", "w", "r", "b", "k", "scale", "bias", "slopes"}
    assert all(torch.isfinite(weight.grad).all() for weight in module.weights.values())


# What torch does not know


def test_unknown_node_runs_whole_and_stops_gradients_there_only() -> None:
    graph = parse("""net (float[2, 3] x) => (float[2, 3] y, float[2, 3] z)
        <float[3] before = {1, 2, 3}, float[3] after = {1, 2, 3}> {
        a = Mul (x, before)
        b = Hardmax <axis = 1> (a)
        y = Mul (b, after)
        z = Neg (a)
    }""")
    graph = replace(graph, nodes=tuple(replace(n, name="hard") if n.op == "Hardmax" else n for n in graph))
    module = assert_like_onnxruntime(graph)
    assert module.opaque == ("hard",)
    y, z = module(torch.randn(2, 3))
    y.sum().backward()
    assert module.weights["before"].grad is None
    assert module.weights["after"].grad.sum() == 2
    z.sum().backward()
    assert module.weights["before"].grad is not None


def test_subgraph_runs_whole_with_what_it_captures() -> None:
    graph = parse("""net (float[2] x) => (float[2] y) <float zero = {0}, float[2] two = {2, 2}> {
        total = ReduceSum <keepdims = 0> (x)
        doubled = Mul (x, two)
        positive = Greater (total, zero)
        y = If (positive) <then_branch = yes () => (float[2] a) { a = Neg (doubled) },
                           else_branch = no () => (float[2] b) { b = Identity (x) }>
    }""")
    module = to_torch(graph)
    assert len(module.opaque) == 1
    assert module(torch.tensor([1.0, 2.0]))[0].tolist() == [-2, -4]
    assert module(torch.tensor([-1.0, -2.0]))[0].tolist() == [-1, -2]


def test_type_that_torch_lacks_stays_whole() -> None:
    four_bit = np.array([[1, -2], [3, 4]], ml_dtypes.int4)
    nodes = (
        Node("dequantize", "DequantizeLinear", ("w", "scale"), ("real",)),
        Node("product", "MatMul", ("x", "real"), ("y",)),
    )
    constants = {"w": four_bit, "scale": np.array(0.5, np.float32)}
    ends = (Value("x", "float32", (1, 2)),), (Value("y", "float32", (1, 2)),)
    graph = Graph("net", *ends, nodes, constants, opsets={"": 21})
    assert assert_like_onnxruntime(graph).opaque == ("dequantize",)


# Batches


def test_constants_made_for_one_sample_follow_the_batch() -> None:
    graph = with_shapes(
        parse("""net (float[1, 4, 6] x) => (float[n, m] y)
            <int64[4] heads = {1, 4, 2, 3}, int64[1] two = {2}, int64[2] flat = {1, 12},
             float[1, 4, 1, 3] token = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}> {
            a = Reshape (x, heads)
            b = Concat <axis = 2> (a, token)
            c = ReduceSum <keepdims = 0> (b, two)
            y = Reshape (c, flat)
        }""")
    )
    assert follows_batch(graph)
    module, x = to_torch(graph), torch.randn(3, 4, 6)
    torch.testing.assert_close(module(x)[0], torch.cat([module(sample[None])[0] for sample in x]))


def test_reshape_follows_a_batch_that_is_not_its_first_axis() -> None:
    graph = with_shapes(
        parse("""net (float[1, 5, 4] x) => (float[n, m, k] y)
            <int64[4] sides = {5, 1, 2, 2}, int64[3] joined = {5, 1, 4}> {
            turned = Transpose <perm = [1, 0, 2]> (x)
            a = Reshape (turned, sides)
            b = Transpose <perm = [0, 1, 3, 2]> (a)
            c = Reshape (b, joined)
            y = Transpose <perm = [1, 0, 2]> (c)
        }""")
    )
    assert follows_batch(graph)


@pytest.mark.parametrize(
    "body",
    [
        "y = ReduceMean <keepdims = 1> (x, zero)",
        "y = Softmax <axis = 0> (x)",
        "c = Reshape (x, columns) y = Softmax <axis = 0> (c)",
        "y = Gather <axis = 0> (x, zero)",
    ],
)
def test_graph_that_mixes_samples_does_not_follow_the_batch(body: str) -> None:
    constants = "<int64[1] zero = {0}, int64[2] columns = {4, 1}>"
    graph = with_shapes(parse(f"net (float[1, 4] x) => (float[n, m] y) {constants} {{ {body} }}"))
    assert not follows_batch(graph)


def test_residual_net_follows_the_batch() -> None:
    assert follows_batch(residual_net())


def test_wrapped_node_is_computed_by_what_wraps_it_in_both_modes() -> None:
    module, image = to_torch(residual_net()), torch.randn(2, 3, 8, 8)
    module.wrap("fc", lambda run: lambda *inputs: 2 * run(*inputs))
    module.wrap("bn1", lambda _run: lambda x, *_statistics: x)
    plain = to_torch(residual_net())
    plain.wrap("bn1", lambda _run: lambda x, *_statistics: x)
    for is_training in (False, True):
        torch.testing.assert_close(
            module.train(is_training)(image), (2 * plain.train(is_training)(image)[0],)
        )
    with pytest.raises(KeyError, match="nowhere"):
        module.wrap("nowhere", lambda run: run)
