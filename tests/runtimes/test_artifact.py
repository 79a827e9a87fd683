"""Artifacts: they appear whole or not at all, load as they were saved, and say where they were proven."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.move import NameMap
from taut.core.network import Network, Part, Stage
from taut.core.quantities import P50, P99, PEAK_MEMORY
from taut.core.runner import Item
from taut.devices.local import local_device
from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node, Value
from taut.graph.onnx_export import save_onnx
from taut.graph.onnx_import import load_onnx
from taut.runtimes import artifact
from taut.runtimes.artifact import (
    ArtifactRecord,
    artifact_spec,
    file_bytes,
    load_artifact,
    profile_artifact,
    save_artifact,
)
from taut.runtimes.batching import with_batch
from taut.runtimes.manifest import read_manifest

KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from taut.devices.local import local_device
from taut.runtimes import artifact
from tests.runtimes.runtime_nets import conv_graph, network
setattr(artifact, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
artifact.save_artifact(network(conv_graph()), Path(sys.argv[1]), artifact.ArtifactRecord(1, local_device()))
"""
WITHOUT_TAUT = (
    "import runpy, sys; sys.modules['taut'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
)


def record(**fields: Any) -> ArtifactRecord:
    return ArtifactRecord(1, local_device(), **fields)


def saved(net: Network, folder: Path, **fields: Any) -> Path:
    return save_artifact(net, folder / "art", record(**fields))


def change_manifest(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_loaded_artifact_gives_the_reference_outputs(tmp_path: Path) -> None:
    graph = conv_graph()
    loaded = load_artifact(saved(network(graph), tmp_path))
    outputs = loaded(image())
    np.testing.assert_allclose(outputs["logits"], reference(graph, image())["logits"], atol=1e-5)
    assert loaded.quantities == (P50, P99, PEAK_MEMORY)


def test_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    plan = [{"move": "fold", "settings": {"nodes": ["bn1"]}}]
    names = NameMap({"bn1": ("conv1",), "dead": ()})
    evidence = {"ratio": {"value": 0.5, "high": float("inf")}, "pairs": np.int64(40)}
    folder = saved(network(conv_graph()), tmp_path, plan=plan, names=names, evidence=evidence)
    manifest = read_manifest(folder)
    assert (manifest.plan, manifest.names) == (plan, names)
    assert manifest.evidence == {"ratio": {"value": 0.5, "high": None}, "pairs": 40}
    assert manifest.device == local_device()
    assert manifest.inputs == conv_graph().inputs
    assert manifest.versions.keys() == {"taut", "onnxruntime"}


def test_placement_counts_every_node(tmp_path: Path) -> None:
    graph = conv_graph()
    stage = read_manifest(saved(network(graph), tmp_path)).stages[0]
    assert sum(sum(places.values()) for places in stage.placement.values()) == len(graph.nodes)
    assert stage.placement["Conv"] == {"CPUExecutionProvider/float32": 2}


def test_file_bytes_are_the_model_files(tmp_path: Path) -> None:
    folder = saved(network(conv_graph()), tmp_path)
    assert file_bytes(folder) == (folder / "main.onnx").stat().st_size


def test_source_file_is_copied_byte_for_byte_when_the_graph_is_unchanged(tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    graph = conv_graph()
    save_onnx(graph, source)
    source.write_bytes(source.read_bytes() + b"\x1a\x00")  # an empty second domain: same model, other bytes
    net = Network("net", {"main": Part(graph, source_file=source)})
    folder = saved(net, tmp_path)
    assert (folder / "main.onnx").read_bytes() == source.read_bytes()
    changed = saved(net.with_graph(graph), tmp_path / "changed")
    assert (changed / "main.onnx").read_bytes() != source.read_bytes()


def test_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        saved(network(conv_graph()), tmp_path)
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("step", ["model_file", "LoadedNetwork", "use_script", "write_manifest"])
def test_no_half_artifact_is_left_when_killed_while_saving(step: str, tmp_path: Path) -> None:
    folder = tmp_path / "art"
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, str(folder), step], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not folder.exists()
    saved(network(conv_graph()), tmp_path)
    assert load_artifact(folder)(image()).keys() == {"logits"}
    assert [path.name for path in tmp_path.iterdir()] == ["art"]


def test_full_disk_is_an_environment_failure_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(artifact, "write_manifest", full)
    with pytest.raises(EnvironmentFailed, match="No space left"):
        saved(network(conv_graph()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_state_is_carried_from_item_to_item_and_reset_when_a_sequence_starts(tmp_path: Path) -> None:
    runner = artifact_spec(saved(streaming_network(), tmp_path)).build()
    steps = [np.full((1, 4), value, np.float32) for value in (0.5, -1.0, 0.25)]
    state, wanted = np.zeros((1, 4), np.float32), []
    for step in steps:
        outputs = reference(streaming_graph(), {"x": step, "state_in": state})
        state = outputs["state_out"]
        wanted.append(outputs["y"])
    runner.open()
    for _ in range(2):
        got = [runner.run(Item({"x": step}, number == 0)).outputs["y"] for number, step in enumerate(steps)]
        np.testing.assert_allclose(np.stack(got), np.stack(wanted), atol=1e-5)
    runner.close()


def test_sequence_starts_from_the_given_state_when_its_first_item_has_one(tmp_path: Path) -> None:
    loaded = load_artifact(saved(streaming_network(), tmp_path))
    inputs = {"x": np.ones((1, 4), np.float32), "state_in": np.full((1, 4), 0.3, np.float32)}
    loaded.open()
    outputs = loaded.run(Item(inputs, starts_sequence=True)).outputs
    np.testing.assert_array_equal(outputs["y"], loaded(inputs)["y"])
    assert not np.array_equal(outputs["y"], loaded({"x": inputs["x"]})["y"])


def test_call_keeps_no_state(tmp_path: Path) -> None:
    loaded = load_artifact(saved(streaming_network(), tmp_path))
    inputs = {"x": np.ones((1, 4), np.float32)}
    loaded.open()
    before = loaded.run(Item(inputs, True)).outputs["y"].copy()
    np.testing.assert_array_equal(loaded(inputs)["y"], before)
    np.testing.assert_array_equal(loaded(inputs)["y"], before)
    assert not np.array_equal(loaded.run(Item(inputs)).outputs["y"], before)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_outputs_of_earlier_calls_stay_when_the_next_follows(runtime: str, tmp_path: Path) -> None:
    if runtime not in local_device().runtimes:
        pytest.skip(f"{runtime} is not installed")
    loaded = load_artifact(saved(network(conv_graph(), Stage(runtime)), tmp_path))
    first = loaded(image(seed=1))["logits"]
    before = first.copy()
    loaded(image(seed=2))
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "lack image"),
        ({"picture": np.zeros((1, 3, 16, 16), np.float32)}, "lack image; add picture"),
        ({"image": np.zeros((1, 3, 16, 16))}, "type float64"),
        ({"image": np.zeros((3, 16, 16), np.float32)}, "shape"),
        ({"image": np.zeros((2, 3, 16, 16), np.float32)}, "shape"),
    ],
)
def test_wrong_inputs_are_refused_with_the_rule(
    inputs: Mapping[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    loaded = load_artifact(saved(network(conv_graph()), tmp_path))
    with pytest.raises(BadInput, match=words):
        loaded(inputs)
    with pytest.raises(BadInput, match=words):
        loaded.run(Item(inputs))


def test_artifact_of_another_device_loads_and_says_so(tmp_path: Path) -> None:
    folder = saved(network(conv_graph()), tmp_path)
    assert load_artifact(folder).is_proven_here
    device = json.loads((folder / "manifest.json").read_text())["device"]
    change_manifest(folder, device={**device, "fingerprint": "0"})
    loaded = load_artifact(folder)
    assert not loaded.is_proven_here
    assert loaded(image()).keys() == {"logits"}


def test_artifact_is_not_proven_when_versions_or_threads_differ(tmp_path: Path) -> None:
    folder = saved(network(conv_graph()), tmp_path)
    assert not load_artifact(folder, threads=2).is_proven_here
    change_manifest(folder, versions={"taut": "0", "onnxruntime": "0.1"})
    assert not load_artifact(folder).is_proven_here


def test_operator_that_runs_elsewhere_is_named_when_the_artifact_is_proven_here(tmp_path: Path) -> None:
    folder = saved(network(conv_graph()), tmp_path)
    parts = json.loads((folder / "manifest.json").read_text())["parts"]
    parts["main"]["stages"][0]["placement"]["Conv"] = {"CUDAExecutionProvider/float32": 2}
    change_manifest(folder, parts=parts)
    with pytest.raises(EnvironmentFailed, match="operator Conv ran as 2 CUDAExecutionProvider/float32"):
        load_artifact(folder)


def test_profile_times_kernels_over_the_items_of_a_sequence(tmp_path: Path) -> None:
    folder = saved(streaming_network(), tmp_path)
    items = [Item({"x": np.full((1, 4), value, np.float32)}, value == 0) for value in range(3)]
    nodes = {name for kernel in profile_artifact(folder, items) for name in kernel.nodes}
    assert {"input", "tanh", "output"} <= nodes


@pytest.mark.parametrize(
    "stage",
    [
        Stage(),
        Stage("onnxruntime", "float32", {"graph_optimization_level": "ORT_ENABLE_BASIC"}),
        Stage("onnxruntime", "float32", {"session.set_denormal_as_zero": "1", "enable_mem_pattern": False}),
        Stage("openvino", "float32", {"ENABLE_CPU_PINNING": False}),
    ],
    ids=lambda stage: f"{stage.runtime}{len(stage.options)}",
)
def test_use_script_runs_without_taut(stage: Stage, tmp_path: Path) -> None:
    if stage.runtime not in local_device().runtimes:
        pytest.skip(f"{stage.runtime} is not installed")
    script = saved(network(conv_graph(), stage), tmp_path) / "use.py"
    assert len(script.read_text().splitlines()) <= 20
    command = [sys.executable, "-c", WITHOUT_TAUT, str(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{'logits': (1, 10)}"


def test_use_script_goes_through_taut_when_the_runtime_is_torch(tmp_path: Path) -> None:
    if "torch" not in local_device().runtimes:
        pytest.skip("torch is not installed")
    script = saved(network(conv_graph(), Stage("torch")), tmp_path) / "use.py"
    assert "load_artifact" in script.read_text()
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{'logits': (1, 10)}"


def test_graph_that_the_runtime_refuses_is_bad_input(tmp_path: Path) -> None:
    graph = conv_graph()
    edit = Editor(graph)
    edit.change("relu1", op="NoSuchOperator", domain="nowhere")
    edit.require_opset(1, "nowhere")
    with pytest.raises(BadInput, match="does not load"):
        saved(network(edit.graph()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_source_file_is_not_copied_when_its_sizes_were_free(tmp_path: Path) -> None:
    source, graph = tmp_path / "net.onnx", conv_graph()
    save_onnx(with_batch(graph, "batch"), source)
    folder = saved(Network("net", {"main": Part(graph, source_file=source)}), tmp_path)
    assert load_onnx(folder / "main.onnx").inputs == graph.inputs


def test_network_that_fails_on_made_up_inputs_is_saved_with_its_nodes_not_run(tmp_path: Path) -> None:
    table = np.zeros((1, 2), np.float32)  # index 1 is out of its range
    nodes = (Node("gather", "Gather", ("table", "x"), ("y",)), Node("relu", "Relu", ("y",), ("z",)))
    ends = Value("x", "int64", (3,)), Value("z", "float32", (3, 2))
    graph = Graph("net", (ends[0],), (ends[1],), nodes, {"table": table}, opsets={"": 17})
    folder = saved(network(graph), tmp_path)
    assert read_manifest(folder).stages[0].placement["Relu"] == {"not run": 1}
    assert load_artifact(folder)({"x": np.zeros(3, np.int64)})["z"].shape == (3, 2)
