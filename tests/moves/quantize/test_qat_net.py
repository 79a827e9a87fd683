from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.moves.quantize.quantize_nets import concat_net, images, mixed_net, residual_net, swish_net

from taut.graph import Editor, Graph
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import to_torch
from taut.moves.quantize.integer import compile_integer
from taut.moves.quantize.qat_net import QatNet, QatSettings


def normalised_net(seed: int = 0) -> Graph:
    """The residual net with a batch norm behind three of its convolutions."""
    graph = residual_net(seed)
    edit = Editor(graph)
    rng = np.random.default_rng(seed)
    for name, channels in (("conv1", 8), ("depthwise", 8), ("conv3", 16)):
        statistics = (
            rng.uniform(0.5, 2, channels),
            rng.normal(0, 0.3, channels),
            rng.normal(0, 0.3, channels),
            rng.uniform(0.5, 2, channels),
        )
        names = [
            edit.set_constant(f"{name}.{role}", array.astype(np.float32))
            for role, array in zip(("gamma", "beta", "mean", "variance"), statistics, strict=True)
        ]
        edit.redirect(f"{name}_out", f"{name}_normal")
        edit.add("BatchNormalization", (f"{name}_out", *names), (f"{name}_normal",), name=f"{name}_norm")
    return with_shapes(edit.graph())


def trained(graph: Graph, settings: QatSettings, steps: int = 6) -> QatNet:
    """A few steps towards random targets."""
    torch.manual_seed(0)
    net = QatNet(graph, settings).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for step in range(steps):
        (y,) = net(torch.from_numpy(images(16, seed=step)))
        optimizer.zero_grad()
        (y - torch.randn_like(y)).square().mean().backward()
        optimizer.step()
    return net.eval()


@pytest.mark.parametrize("make", [residual_net, concat_net, mixed_net, swish_net, normalised_net])
@pytest.mark.parametrize("settings", [QatSettings(), QatSettings(weight_bits=4, is_per_channel=False)])
def test_engine_reproduces_the_trained_net(make: object, settings: QatSettings) -> None:
    net = trained(make(), settings)  # type: ignore[operator]
    program = compile_integer(net.to_qdq())
    batch = images(32, seed=99)
    with torch.no_grad():
        (simulated,) = net(torch.from_numpy(batch))
    codes = program.execute(program.encode({"image": batch}))
    ((name, output),) = program.outputs.items()
    apart = np.abs(program.decode(codes)[name] - simulated.numpy()) / output.scale
    assert np.mean(apart <= 1.01) >= 0.999


def test_activations_are_quantized_from_their_step_on() -> None:
    net = QatNet(residual_net(), QatSettings(activations_from_step=2)).train()
    levels = [net(torch.from_numpy(images(64)))[0].unique().numel() for _ in range(3)]
    assert min(levels[:2]) > 500 > 256 >= levels[2]


def test_folded_norms_compute_what_the_norms_do_but_for_quantization() -> None:
    net = QatNet(normalised_net(), QatSettings()).eval()
    batch = torch.from_numpy(images(8))
    with torch.no_grad():
        noise = (net(batch)[0] - to_torch(normalised_net())(batch)[0]).square().mean()
        signal = net(batch)[0].square().mean()
    assert noise < 0.01 * signal


def test_statistics_move_until_their_step_and_no_further() -> None:
    net = QatNet(normalised_net(), QatSettings(statistics_until_step=1)).train()
    means = []
    for step in range(3):
        net(torch.from_numpy(images(16, seed=step)))
        means.append(net.net.to_graph().constants["conv1.mean"].copy())
    assert not np.array_equal(means[0], normalised_net().constants["conv1.mean"])
    assert np.array_equal(means[0], means[1]) and np.array_equal(means[1], means[2])


def test_gradients_reach_every_weight() -> None:
    net = QatNet(normalised_net(), QatSettings()).train()
    net(torch.from_numpy(images(8)))[0].square().sum().backward()
    without = [
        name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    # A summand before a norm is taken out again by its mean, so the convolution's own bias may stay still.
    assert not [name for name in without if not name.endswith("bias")]


def test_the_state_holds_ranges_and_steps() -> None:
    net = trained(normalised_net(), QatSettings(activations_from_step=3))
    again = QatNet(normalised_net(), QatSettings(activations_from_step=3))
    again.load_state_dict(net.state_dict())
    batch = torch.from_numpy(images(4))
    with torch.no_grad():
        assert torch.equal(again.eval()(batch)[0], net(batch)[0])


def test_only_chosen_nodes_are_quantized() -> None:
    net = trained(residual_net(), replace(QatSettings(), nodes=("conv3",), target="onnxruntime"))
    qdq = net.to_qdq()
    assert {
        array.dtype for name, array in qdq.constants.items() if name.startswith("conv3.weight_codes")
    } == {np.dtype(np.int8)}
    assert qdq.constants["conv1.weight"].dtype == np.float32
