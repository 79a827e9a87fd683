from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_nets import random_array, run
from torch import Tensor, nn

from taut.core.errors import BadInput
from taut.graph import Graph
from taut.graph.from_torch import from_torch
from taut.graph.to_torch import to_torch
from taut.graph.verify import verify


class Block(nn.Module):
    """Convolution, batch norm and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.drop(self.bn1(self.conv1(x))) + x)


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Hardswish())
        self.blocks = nn.Sequential(Block(), Block())
        self.classifier = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean(dim=(2, 3)))


class Tokens(nn.Module):
    """Embedding, attention with a mask, and a recurrent layer with its state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.memory = nn.GRU(8, 6, batch_first=True)
        self.head = nn.Sequential(nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 3))

    def forward(self, tokens: Tensor, state: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.embedding(tokens)
        attended, _ = self.attention(x, x, x, key_padding_mask=mask == 0, need_weights=False)
        y, state = self.memory(self.norm(x + attended), state)
        return {"logits": self.head(y), "state": state}


def with_statistics(module: nn.Module) -> nn.Module:
    """Weights and running statistics that are not the initial ones."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(
                    torch.rand_like(tensor) + 0.5 if "var" in name else 0.3 * torch.randn_like(tensor)
                )
    return module


@pytest.fixture(scope="module")
def pictures() -> tuple[nn.Module, Graph, np.ndarray]:
    module, image = with_statistics(Pictures()), random_array(1, 3, 9, 9)
    return module, from_torch(module, {"image": image}), image


@pytest.fixture(scope="module")
def tokens() -> tuple[nn.Module, Graph, dict[str, np.ndarray]]:
    inputs = {
        "mask": np.array([[1, 1, 1, 0]], np.int64),
        "tokens": np.array([[3, 0, 10, 2]], np.int64),
        "state": random_array(1, 1, 6),
    }
    module = with_statistics(Tokens())
    return module, from_torch(module, inputs), inputs


def test_graph_computes_what_the_module_does(pictures) -> None:
    module, graph, image = pictures
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(image)).numpy()
        again = to_torch(graph)(torch.from_numpy(image))[0].numpy()
    np.testing.assert_allclose(run(graph, image=image)["output"], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(again, wanted, rtol=1e-5, atol=1e-5)


def test_nodes_are_called_after_modules_and_batch_norm_stays(pictures) -> None:
    _, graph, _ = pictures
    assert {node.name: node.op for node in graph} == {
        "stem.0": "Conv",
        "stem.1": "BatchNormalization",
        "stem.2": "HardSwish",
        "blocks.0.conv1": "Conv",
        "blocks.0.bn1": "BatchNormalization",
        "blocks.0.add": "Add",
        "blocks.0.relu": "Relu",
        "blocks.1.conv1": "Conv",
        "blocks.1.bn1": "BatchNormalization",
        "blocks.1.add": "Add",
        "blocks.1.relu": "Relu",
        "mean": "ReduceMean",
        "classifier": "Gemm",
    }
    assert graph.by_name["blocks.0.conv1"].inputs[1:] == ("blocks.0.conv1.weight",)
    norm = graph.by_name["blocks.1.bn1"]
    assert norm.inputs[3:] == ("blocks.1.bn1.running_mean", "blocks.1.bn1.running_var")
    assert len(norm.outputs) == 1
    assert graph.is_static
    verify(graph, "export")


def test_weights_keep_the_names_of_the_state(pictures) -> None:
    module, graph, _ = pictures
    state = {name: tensor for name, tensor in module.state_dict().items() if "num_batches" not in name}
    assert state.keys() <= graph.constants.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(graph.constants[name], tensor.numpy())


def test_named_inputs_and_outputs_keep_their_names_and_order(tokens) -> None:
    module, graph, inputs = tokens
    assert [value.name for value in graph.inputs] == ["mask", "tokens", "state"]
    assert [value.name for value in graph.outputs] == ["logits", "state_out"]
    with torch.no_grad():
        wanted = module.eval()(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    outputs = run(graph, **inputs)
    np.testing.assert_allclose(outputs["logits"], wanted["logits"].numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs["state_out"], wanted["state"].numpy(), rtol=1e-5, atol=1e-5)


def test_module_of_a_graph_runs_attention_and_recurrence_in_torch(tokens) -> None:
    _, graph, inputs = tokens
    module = to_torch(graph)
    assert module.opaque == ()
    with torch.no_grad():
        got = module(*[torch.from_numpy(inputs[value.name]) for value in graph.inputs])
    for tensor, wanted in zip(got, run(graph, **inputs).values(), strict=True):
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_module_is_left_as_it_was(capsys) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    module[1].eval()
    state = copy.deepcopy(module.state_dict())
    graph = from_torch(module, {"x": random_array(2, 3)}, ["y"])
    assert [value.name for value in graph.outputs] == ["y"]
    assert [part.training for part in module.modules()] == [True, True, False]
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert capsys.readouterr().out == ""


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


@pytest.mark.parametrize("module", [Branching(), nn.Linear(5, 2)])
def test_module_that_cannot_be_captured_is_refused(module: nn.Module) -> None:
    with pytest.raises(BadInput, match=r"torch\.export cannot capture it"):
        from_torch(module, {"x": random_array(2, 3)})
