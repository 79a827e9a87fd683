"""Stages in a chain: cutting a network between runtimes and precisions changes no output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtimes.runtime_nets import (
    conv_graph,
    image,
    network,
    reference,
    streaming_graph,
    streaming_network,
)

from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.runner import Item
from taut.devices.local import local_device
from taut.graph.split import single_tensor_edges
from taut.runtimes.artifact import ArtifactRecord, load_artifact, profile_artifact, save_artifact
from taut.runtimes.manifest import read_manifest

RUNTIMES = ("onnxruntime", "openvino", "torch")
WITHOUT_TAUT = (
    "import runpy, sys; sys.modules['taut'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
)


def installed(*names: str) -> None:
    for name in names:
        if name not in local_device().runtimes:
            pytest.skip(f"{name} is not installed")


def saved(folder: Path, *stages: Stage) -> Path:
    return save_artifact(network(conv_graph(), *stages), folder / "art", ArtifactRecord(1, local_device()))


@pytest.mark.parametrize("cut", single_tensor_edges(conv_graph()))
def test_chain_equals_the_reference_wherever_it_is_cut(cut: str, tmp_path: Path) -> None:
    loaded = load_artifact(saved(tmp_path, Stage(until=(cut,)), Stage()))
    np.testing.assert_allclose(
        loaded(image())["logits"], reference(conv_graph(), image())["logits"], atol=1e-5
    )
    assert [item.node for item in loaded.placement()] == [node.name for node in conv_graph()]


@pytest.mark.parametrize("first", RUNTIMES)
@pytest.mark.parametrize("second", RUNTIMES)
def test_chain_passes_values_between_any_two_runtimes(first: str, second: str, tmp_path: Path) -> None:
    installed(first, second)
    loaded = load_artifact(saved(tmp_path, Stage(first, until=("relu1_out",)), Stage(second)))
    for seed in range(2):
        wanted = reference(conv_graph(), image(seed=seed))["logits"]
        np.testing.assert_allclose(loaded(image(seed=seed))["logits"], wanted, atol=1e-4)


def test_chain_of_three_stages_keeps_the_precision_of_each(tmp_path: Path) -> None:
    installed("openvino")
    stages = (
        Stage("openvino", "float32", until=("relu1_out",)),
        Stage("openvino", "bfloat16", until=("pool_out",)),
        Stage("onnxruntime", "float32"),
    )
    loaded = load_artifact(saved(tmp_path, *stages))
    precisions = {item.node: item.precision for item in loaded.placement()}
    assert precisions["conv1"] == "float32"
    assert precisions["conv2"] == "bfloat16"
    assert precisions["classifier"] == "float32"
    wanted = reference(conv_graph(), image())["logits"]
    np.testing.assert_allclose(loaded(image())["logits"], wanted, atol=0.03 * np.abs(wanted).max())


def test_chain_carries_state_across_the_cut(tmp_path: Path) -> None:
    installed("openvino")
    net = streaming_network(Stage("openvino", until=("state_out",)), Stage("onnxruntime"))
    loaded = load_artifact(save_artifact(net, tmp_path / "art", ArtifactRecord(1, local_device())))
    loaded.open()
    state = np.zeros((1, 4), np.float32)
    for number in range(3):
        step = np.full((1, 4), number - 1, np.float32)
        wanted = reference(streaming_graph(), {"x": step, "state_in": state})
        outputs = loaded.run(Item({"x": step}, starts_sequence=number == 0)).outputs
        np.testing.assert_allclose(outputs["y"], wanted["y"], atol=1e-4)
        state = wanted["state_out"]


def test_profile_covers_the_stages_in_order(tmp_path: Path) -> None:
    folder = saved(tmp_path, Stage(until=("relu1_out",)), Stage())
    kernels = profile_artifact(folder, [Item(image(seed=seed)) for seed in range(2)])
    nodes = [name for kernel in kernels for name in kernel.nodes]
    assert nodes.index("conv1") < nodes.index("conv2") < nodes.index("classifier")


def test_manifest_names_each_stage_and_its_file(tmp_path: Path) -> None:
    folder = saved(tmp_path, Stage(until=("relu1_out",)), Stage())
    first, second = read_manifest(folder).stages
    assert (first.inputs, first.outputs) == (("image",), ("relu1_out",))
    assert (second.inputs, second.outputs) == (("relu1_out",), ("logits",))
    assert [file.path for saved in (first, second) for file in saved.files] == ["main.0.onnx", "main.1.onnx"]


def test_use_script_chains_two_runtimes_without_taut(tmp_path: Path) -> None:
    installed("openvino")
    script = saved(tmp_path, Stage(until=("relu1_out",)), Stage("openvino", "bfloat16")) / "use.py"
    assert len(script.read_text().splitlines()) <= 20
    command = [sys.executable, "-c", WITHOUT_TAUT, str(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{'logits': (1, 10)}"


def test_cut_that_leaks_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="relu1_out"):
        saved(tmp_path, Stage(until=("conv2_out",)), Stage())
    assert list(tmp_path.iterdir()) == []
