from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_nets import parse, random_inputs, residual_net, run
from tflite_cases import CASES
from tflite_writer import write_tflite
from torch import nn

from taut.core.errors import BadInput
from taut.core.network import MAIN, Network, Part, Run, Stage
from taut.devices.local import local_device
from taut.fit import models
from taut.fit.models import network_from_module, open_model, parse_shape
from taut.graph.onnx_export import save_onnx
from taut.graph.shapes import with_shapes
from taut.nets.base import NetSpec
from taut.runtimes.artifact import ArtifactRecord, save_artifact
from taut.train.recipe import Recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder whose modules can be imported, and are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)


def write_onnx(folder: Path, text: str) -> Path:
    path = folder / "net.onnx"
    save_onnx(parse(text), path)
    return path


# --shape


@given(
    st.text(st.characters(blacklist_categories=["Cs", "Zs", "Cc"]), min_size=1).map(str.strip).filter(bool),
    st.lists(st.integers(1, 4096), min_size=1, max_size=5),
)
def test_shape_is_parsed(name: str, sizes: list[int]) -> None:
    shape = parse_shape(f"{name}={'x'.join(map(str, sizes))}@0.5")
    assert (shape.name, shape.sizes, shape.weight) == (name, tuple(sizes), 0.5)


def test_shape_without_weight_counts_once() -> None:
    assert parse_shape("x=1x3x640x640") == models.Shape("x", (1, 3, 640, 640), 1.0)


@pytest.mark.parametrize(
    "text", ["", "x", "x=", "=1x3", "x=1x", "x=1,3", "x=1x-3", "x=0x3", "x=1x3@0", "x=1x3@a"]
)
def test_malformed_shape_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--shape"):
        parse_shape(text)


# ONNX files


def test_static_onnx_file_keeps_its_source(tmp_path: Path) -> None:
    path = tmp_path / "residual.onnx"
    save_onnx(residual_net(), path)
    network = open_model(str(path))
    assert network.name == "residual"
    assert network.parts[MAIN].source_file == path
    assert network.graph.value("r1").shape == (1, 4, 8, 8)
    assert network.run == Run()


def test_open_batch_is_fixed_to_the_batch(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, "net (float[batch, 3] x) => (float[batch, 3] y) { y = Relu (x) }")
    network = open_model(str(path), batch=4)
    assert network.graph.inputs[0].shape == (4, 3)
    assert network.parts[MAIN].source_file is None


def test_open_sizes_are_asked_for_by_their_flag(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, "net (float[n, 3, h, w] x) => (float[n, 3, h, w] y) { y = Relu (x) }")
    with pytest.raises(BadInput, match="--shape x=1x3x224x224"):
        open_model(str(path))
    network = open_model(str(path), {"x": (1, 3, 8, 9)})
    assert network.graph.outputs[0].shape == (1, 3, 8, 9)
    assert network.parts[MAIN].source_file is None


def test_given_shape_settles_the_batch_of_other_inputs(tmp_path: Path) -> None:
    text = "net (float[n, t] x, float[n, 1] g) => (float[n, t] y) { y = Mul (x, g) }"
    network = open_model(str(write_onnx(tmp_path, text)), {"x": (2, 5)})
    assert [value.shape for value in network.graph.inputs] == [(2, 5), (2, 1)]


def test_batch_that_a_file_cannot_have_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, "net (float[1, 3] x) => (float[1, 3] y) { y = Relu (x) }")
    with pytest.raises(BadInput, match="--batch 4"):
        open_model(str(path), batch=4)


def test_state_is_fed_back(tmp_path: Path) -> None:
    text = """net (float[1, 3] x, float[1, 3] state) => (float[1, 3] y, float[1, 3] state_out) {
        state_out = Add (x, state)
        y = Relu (state_out)
    }"""
    assert open_model(str(write_onnx(tmp_path, text))).feedback == {"state_out": "state"}


# Torch


def test_pt2_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "linear.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.ones(1, 3),)), path)
    network = open_model(str(path))
    assert (network.name, [node.op for node in network.graph]) == ("linear", ["Gemm"])
    with pytest.raises(BadInput, match="--shape input"):
        open_model(str(path), {"input": (1, 4)})


FUNCTIONS = """
import numpy as np
from torch import nn
from taut.core.network import Network, Part
from taut.graph import Graph, Node, Value

def module(): return nn.Linear(3, 2)
def with_inputs(): return nn.Linear(3, 2), {"features": np.ones((1, 3), np.float32)}
def network():
    value = Value("x", "float32", (1,))
    graph = Graph("g", (value,), (Value("y", "float32", (1,)),), (Node("n", "Relu", ("x",), ("y",)),), {})
    return Network("mine", {"main": Part(graph)})
def fails(): raise RuntimeError("no")
def other(): return 3
"""


def test_function_may_return_a_module_with_its_inputs(here: Path) -> None:
    (here / "mine.py").write_text(FUNCTIONS)
    network = open_model("mine:with_inputs", batch=2)
    assert [(value.name, value.shape) for value in network.graph.inputs] == [("features", (2, 3))]
    assert network.graph.outputs[0].shape == (2, 2)
    with pytest.raises(BadInput, match="its inputs are features"):
        open_model("mine:with_inputs", {"x": (1, 3)})


def test_function_may_return_a_module_for_given_shapes(here: Path) -> None:
    (here / "mine.py").write_text(FUNCTIONS)
    assert open_model("mine:module", {"input": (5, 3)}).graph.outputs[0].shape == (5, 2)
    with pytest.raises(BadInput, match="--shape NAME="):
        open_model("mine:module")


def test_function_may_return_a_network(here: Path) -> None:
    (here / "mine.py").write_text(FUNCTIONS)
    assert open_model("mine:network").name == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine:fails", "raised RuntimeError: no"),
        ("mine:other", "neither a torch module"),
        ("mine:none", "imported"),
    ],
)
def test_function_that_gives_no_model_is_refused(here: Path, name: str, message: str) -> None:
    (here / "mine.py").write_text(FUNCTIONS)
    with pytest.raises(BadInput, match=message):
        open_model(name, {"x": (1, 3)})


def test_net_of_ours_gives_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NetSpec("tiny", lambda: nn.Flatten(), (1, 1, 2, 2), "digits", Recipe(epochs=1))
    monkeypatch.setattr("taut.nets.load.load_net", lambda _name: (nn.Flatten(), spec))
    network = open_model("taut:tiny", batch=3)
    assert (network.name, network.graph.outputs[0].name) == ("tiny", "logits")
    assert network.graph.inputs[0].shape == (3, 1, 2, 2)


def test_unknown_net_of_ours_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="resnet20-cifar10"):
        open_model("taut:resnet21")


def test_module_needs_example_inputs() -> None:
    with pytest.raises(BadInput, match="example_inputs"):
        network_from_module(nn.Linear(2, 2), None)


# Artifacts


def two_stages() -> Network:
    stages = (Stage(until=("r1",)), Stage(options={"enable_cpu_mem_arena": False}))
    return Network("residual", {MAIN: Part(with_shapes(residual_net()))}, run=Run(stages))


@pytest.mark.parametrize("run_of", [Run(), two_stages().run])
def test_artifact_is_opened_as_it_was_saved(tmp_path: Path, run_of: Run) -> None:
    network = two_stages().with_run(run_of)
    save_artifact(network, tmp_path / "best", ArtifactRecord(1, local_device()))
    opened, inputs = open_model(str(tmp_path / "best")), random_inputs(network.graph)
    assert opened.run == run_of
    assert [node.name for node in opened.graph] == [node.name for node in network.graph]
    assert opened.graph.value("r1") == network.graph.value("r1")
    wanted = run(network.graph, **inputs)["logits"]
    np.testing.assert_array_equal(run(opened.graph, **inputs)["logits"], wanted)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no artifact"):
        open_model(str(tmp_path))


def test_tensorflow_lite_file_keeps_its_boundary(tmp_path: Path) -> None:
    case = CASES["int8 conv"]
    (tmp_path / "net.tflite").write_bytes(write_tflite(case.model))
    network = open_model(str(tmp_path / "net.tflite"))
    boundary = [*network.graph.inputs, *network.graph.outputs]
    assert [(value.name, value.dtype, value.shape) for value in boundary] == [
        ("x", "int8", (1, 5, 6, 4)),
        ("y", "int8", (1, 5, 6, 3)),
    ]
    # The runtime cannot load that file, so the network is exported where one is needed.
    assert network.parts[MAIN].source_file is None


def test_tensorflow_lite_file_has_the_batch_it_was_converted_with(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(write_tflite(CASES["conv same"].model))
    with pytest.raises(BadInput, match=r"--batch 4: the model's inputs are fixed: x \(1, 5, 6, 4\)"):
        open_model(str(tmp_path / "net.tflite"), batch=4)


# What is no model


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.bin", "net.ckpt", "net.pkl", "NET.PTH"])
def test_pickled_checkpoint_is_refused_with_the_safe_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=r"pickled checkpoint.*\.pt2.*ONNX"):
        open_model(str(tmp_path / name))


def test_later_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(BadInput, match="later release; convert it to ONNX"):
        open_model("net.gguf")


def test_bare_weights_are_refused() -> None:
    with pytest.raises(BadInput, match="without the network"):
        open_model("net.safetensors")


@pytest.mark.parametrize("text", ["", "nothing", "net.txt", "nowhere/net.onnx", "taut:", "a b:c"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        open_model(text)
