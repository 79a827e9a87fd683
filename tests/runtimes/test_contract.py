"""What every runtime must do, in every precision that it names."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.runtimes.runtime_nets import conv_graph, image, network, quantized_graph, reference

from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.devices.local import local_device
from taut.graph.editor import Editor
from taut.graph.ir import Graph, Node, Value
from taut.runtimes import RUNTIMES, get_runtime
from taut.runtimes.artifact import ArtifactRecord, artifact_spec, load_artifact, save_artifact
from taut.runtimes.base import Session

PRECISIONS = {
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bfloat16"),
    "aot": ("float32", "bfloat16"),
    "torch": ("float32", "bfloat16"),
}
CASES = [(name, precision) for name, precisions in PRECISIONS.items() for precision in precisions]
# bfloat16 keeps 8 bits of each factor; sums of a few hundred products err by about this share of the signal.
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}

FRESH_PROCESS = """
import importlib, json, sys
import numpy as np
from taut.core.runner import Item, RunnerSpec
spec, image, target = json.loads(sys.argv[1])
runner = RunnerSpec(**spec).build()
runner.open()
np.savez(target, **runner.run(Item(dict(np.load(image)))).outputs)
runner.close()
"""


@pytest.fixture(params=CASES, ids="-".join)
def stage(request: pytest.FixtureRequest) -> Stage:
    name, precision = request.param
    if name not in local_device().runtimes:
        pytest.skip(f"{name} is not installed")
    return Stage(name, precision)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return conv_graph()


def opened(graph: Graph, stage: Stage, folder: Path, threads: int = 1) -> Session:
    runtime = get_runtime(stage.runtime)
    return runtime.open(folder, runtime.save(graph, stage, folder, "main"), stage, threads)


def assert_close(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], precision: str) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_allclose(got[name], array, atol=TOLERANCE[precision] * np.abs(array).max())


def test_every_registered_runtime_is_in_the_suite() -> None:
    assert set(PRECISIONS) == set(RUNTIMES)


def test_precisions_are_those_of_the_suite(stage: Stage) -> None:
    runtime = get_runtime(stage.runtime)
    assert runtime.name == stage.runtime
    assert runtime.precisions == PRECISIONS[stage.runtime]


def test_outputs_equal_the_reference(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    session = opened(graph, stage, tmp_path)
    assert_close(session.run(image()), reference(graph, image()), stage.precision)
    session.close()


def test_outputs_differ_from_float32_when_the_precision_is_bfloat16(
    stage: Stage, graph: Graph, tmp_path: Path
) -> None:
    outputs = opened(graph, stage, tmp_path).run(image())["logits"]
    error = np.abs(outputs - reference(graph, image())["logits"]).max()
    assert (error > 1e-5) == (stage.precision == "bfloat16")


def test_session_opens_again_after_it_was_closed(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    session = opened(graph, stage, tmp_path)
    first = {name: array.copy() for name, array in session.run(image()).items()}
    session.close()
    again = get_runtime(stage.runtime).open(tmp_path, ["main.onnx"], stage, 1).run(image())
    np.testing.assert_array_equal(again["logits"], first["logits"])


def test_outputs_stay_when_the_next_run_follows_unless_buffers_are_reused(
    stage: Stage, graph: Graph, tmp_path: Path
) -> None:
    session = opened(graph, stage, tmp_path)
    kept = session.run(image(seed=1))["logits"]
    before = kept.copy()
    session.run(image(seed=2))
    assert session.reuses_buffers or np.array_equal(kept, before)


def test_inputs_may_be_read_only_or_strided(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    session = opened(graph, stage, tmp_path)
    plain = image()["image"]
    wanted = session.run({"image": plain})["logits"].copy()
    strided = np.asfortranarray(plain)
    strided.setflags(write=False)
    np.testing.assert_array_equal(session.run({"image": strided})["logits"], wanted)
    np.testing.assert_array_equal(strided, plain)


def test_every_node_is_placed(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    placed = opened(graph, stage, tmp_path).placement()
    assert [(item.node, item.op) for item in placed] == [(node.name, node.op) for node in graph]
    convolution = next(item for item in placed if item.node == "conv1")
    assert convolution.precision == stage.precision


def test_quantized_convolution_runs_in_integers_unless_the_runtime_only_imitates_them(
    stage: Stage, tmp_path: Path
) -> None:
    graph = quantized_graph()
    session = opened(graph, stage, tmp_path)
    inputs = {"x": np.random.default_rng(3).standard_normal((1, 16, 8, 8)).astype(np.float32)}
    wanted = reference(graph, inputs)["y"]
    # One step of the output's scale: rounding may fall either way.
    steps = 2 if stage.precision == "bfloat16" else 1
    np.testing.assert_allclose(session.run(inputs)["y"], wanted, atol=steps * 0.051)
    placed = {item.node: item.precision for item in session.placement()}
    assert (placed["conv"] == "int8") == (stage.runtime != "torch")


def test_placement_is_the_same_when_opened_again(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    assert opened(graph, stage, tmp_path).placement() == opened(graph, stage, tmp_path).placement()


def test_profile_attributes_its_time_to_nodes_of_the_graph(
    stage: Stage, graph: Graph, tmp_path: Path
) -> None:
    runtime = get_runtime(stage.runtime)
    files = runtime.save(graph, stage, tmp_path, "main")
    begin = time.perf_counter()
    times = runtime.profile(tmp_path, files, stage, 1, [image(seed=seed) for seed in range(5)])
    elapsed_ms = (time.perf_counter() - begin) * 1e3
    total_ms = sum(kernel.latency_ms for kernel in times)
    known_ms = sum(kernel.latency_ms for kernel in times if kernel.nodes)
    assert 0 < total_ms < elapsed_ms
    assert known_ms >= 0.9 * total_ms
    names = {name for kernel in times for name in kernel.nodes}
    assert {"conv1", "conv2", "classifier"} <= names <= set(graph.by_name)


def test_no_more_threads_work_than_allowed(stage: Stage, tmp_path: Path) -> None:
    graph = conv_graph(channels=32, size=64)
    session = opened(graph, stage, tmp_path, threads=1)
    session.run(image(64))
    begin, begin_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < 0.2:
        session.run(image(64))
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    # A second thread at work or spinning would add up to 100%; the clocks' own steps are far below 30%.
    assert cpu_s < 1.3 * wall_s


def test_variants_give_the_same_outputs_and_the_first_is_the_default(
    stage: Stage, graph: Graph, tmp_path: Path
) -> None:
    variants = get_runtime(stage.runtime).variants(local_device(), 2)
    assert (variants[0].runtime, variants[0].options) == (stage.runtime, {})
    assert len({(one.precision, json.dumps(one.options)) for one in variants}) == len(variants)
    for number, variant in enumerate(variants):
        if variant.precision == stage.precision:
            folder = tmp_path / str(number)
            folder.mkdir()
            outputs = opened(graph, variant, folder, threads=2).run(image())
            assert_close(outputs, reference(graph, image()), stage.precision)


def test_unknown_precision_is_refused(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="float7"):
        opened(graph, Stage(stage.runtime, "float7"), tmp_path)


def test_unknown_option_is_refused(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no_such_option"):
        opened(graph, Stage(stage.runtime, stage.precision, {"no_such_option": 1}), tmp_path)


def test_fresh_process_gives_the_same_outputs(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    folder = save_artifact(network(graph, stage), tmp_path / "art", ArtifactRecord(1, local_device()))
    here = load_artifact(folder)(image())
    np.savez(tmp_path / "image.npz", **image())
    spec = artifact_spec(folder)
    given = [
        {"factory": spec.factory, "arguments": dict(spec.arguments)},
        *(str(tmp_path / name) for name in ("image.npz", "outputs.npz")),
    ]
    subprocess.run([sys.executable, "-c", FRESH_PROCESS, json.dumps(given)], check=True)
    there = dict(np.load(tmp_path / "outputs.npz"))
    assert there.keys() == here.keys()
    np.testing.assert_array_equal(there["logits"], here["logits"])


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("onnxruntime", {"intra_op_num_threads": 3}),
        ("onnxruntime", {"execution_mode": "ORT_PARALLEL", "inter_op_num_threads": 2}),
        ("onnxruntime", {"intra_op_num_threads": 0}),
        ("onnxruntime", {"graph_optimization_level": "ORT_ENABLE_EVERYTHING"}),
        ("openvino", {"INFERENCE_NUM_THREADS": 3}),
    ],
)
def test_option_is_refused_when_it_takes_more_than_allowed(
    runtime: str, options: dict[str, object], graph: Graph, tmp_path: Path
) -> None:
    if runtime not in local_device().runtimes:
        pytest.skip(f"{runtime} is not installed")
    with pytest.raises(BadInput, match=r"threads|is not known"):
        get_runtime(runtime).open(
            tmp_path,
            get_runtime(runtime).save(graph, Stage(runtime), tmp_path, "main"),
            Stage(runtime, "float32", options),
            2,
        )


def test_importing_the_family_imports_no_runtime() -> None:
    code = "import sys, taut.runtimes; print({'onnxruntime', 'openvino', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_unknown_runtime_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="one of: onnxruntime, openvino, aot, torch"):
        get_runtime("tensorfast")


def test_file_that_the_runtime_refuses_is_bad_input(stage: Stage, graph: Graph, tmp_path: Path) -> None:
    edit = Editor(graph)
    edit.change("relu1", op="NoSuchOperator", domain="nowhere")
    edit.require_opset(1, "nowhere")
    with pytest.raises(BadInput, match=r"does not load|no kernel computes NoSuchOperator"):
        opened(edit.graph(), stage, tmp_path)


def test_values_that_the_network_cannot_be_run_on_are_bad_input_unless_the_runtime_takes_them(
    stage: Stage, tmp_path: Path
) -> None:
    nodes = (Node("gather", "Gather", ("table", "x"), ("y",)),)
    ends = Value("x", "int64", (3,)), Value("y", "float32", (3, 2))
    table = np.ones((2, 2), np.float32)
    lookup = Graph("lookup", (ends[0],), (ends[1],), nodes, {"table": table}, opsets={"": 19})
    session = opened(lookup, stage, tmp_path)
    assert session.run({"x": np.ones(3, np.int64)})["y"].shape == (3, 2)
    beyond = {"x": np.full(3, 7, np.int64)}
    if stage.runtime == "openvino":  # gives zeros beyond the table
        assert not session.run(beyond)["y"].any()
    elif stage.runtime == "aot":  # takes the last row
        assert session.run(beyond)["y"].all()
    else:
        with pytest.raises(BadInput, match="check their values"):
            session.run(beyond)
