from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tflite_cases import CASES, random_inputs
from tflite_writer import FileModel, FileOperator, FileTensor, constant, write_tflite

from taut.core.errors import BadInput
from taut.graph.editor import Editor
from taut.graph.ir import Graph
from taut.graph.onnx_export import to_onnx
from taut.graph.tflite_import import load_tflite

_GOLDEN = np.load(Path(__file__).parent / "tflite_golden.npz")


def _loaded(model: FileModel, folder: Path) -> Graph:
    (folder / "net.tflite").write_bytes(write_tflite(model))
    return load_tflite(folder / "net.tflite")


def _outputs(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    return dict(zip([value.name for value in graph.outputs], session.run(None, inputs), strict=True))


def _assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Floats to 1e-5 of the largest; codes to one step, since the interpreter rounds in fixed point."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if found.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    else:
        steps = 1 if found.dtype == np.int8 else 0
        np.testing.assert_allclose(found.astype(int), expected.astype(int), rtol=0, atol=steps)


# One operator against the interpreter


@pytest.mark.parametrize("name", CASES)
def test_operator_computes_what_the_interpreter_does(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    outputs = _outputs(_loaded(case.model, tmp_path), case.inputs())
    for output, found in outputs.items():
        _assert_same(found, _GOLDEN[f"{name}:{output}"])


def test_transposed_convolution_of_mediapipe_is_the_one_of_tensorflow(tmp_path: Path) -> None:
    case = CASES["transposed same"]
    _, weight, source, output = case.model.tensors
    options = np.array([1, 2, 2], "<i4").tobytes()
    bias = constant("bias", np.float32([1, 2, 3]))
    operator = FileOperator("Convolution2DTransposeBias", (0, 1, 2), (3,), custom_options=options)
    graph = _loaded(FileModel((source, weight, bias, output), (operator,), (0,), (3,)), tmp_path)
    found = _outputs(graph, case.inputs())["y"]
    _assert_same(found, _GOLDEN["transposed same:y"] + np.float32([1, 2, 3]))


def test_one_transposition_stands_before_and_after_a_run_of_picture_operators(tmp_path: Path) -> None:
    case = CASES["relu6 behind"]
    ops = [node.op for node in _loaded(case.model, tmp_path)]
    assert ops == ["Transpose", "Conv", "Clip", "Transpose"]


def test_both_orders_of_axes_are_read_as_they_meet(tmp_path: Path) -> None:
    """A convolution's output is channels first, an input of the network is not; their sum needs both."""
    case = CASES["add of lower rank behind"]
    graph = _loaded(case.model, tmp_path)
    found = _outputs(graph, case.inputs())["y"]
    _assert_same(found, _GOLDEN["add of lower rank behind:y"])
    assert [value.static_shape for value in (*graph.inputs, *graph.outputs)] == [
        (1, 5, 6, 4),
        (6, 4),
        (1, 5, 6, 4),
    ]


def test_an_input_may_be_an_output_too(tmp_path: Path) -> None:
    case = CASES["relu6"]
    graph = _loaded(replace(case.model, outputs=(0, 1)), tmp_path)
    (given,), array = graph.inputs, case.inputs()["x"]
    found = _outputs(graph, {given.name: array})
    np.testing.assert_array_equal(found["x"], array)
    np.testing.assert_array_equal(found["y"], array.clip(0, 6))


def test_flattening_pooled_channels_needs_no_transposition(tmp_path: Path) -> None:
    pooled, flat = FileTensor("pooled", (1, 1, 1, 4)), FileTensor("flat", (1, 4))
    case = CASES["mean kept behind"]
    tensors = [
        replace(tensor, name="pooled") if tensor.name == "y" else tensor for tensor in case.model.tensors
    ]
    number = tensors.index(pooled)
    reshape = FileOperator("RESHAPE", (number,), (len(tensors),))
    operators = (*case.model.operators, reshape)
    model = replace(case.model, tensors=(*tensors, flat), operators=operators, outputs=(len(tensors),))
    ops = [node.op for node in _loaded(model, tmp_path)]
    assert ops == ["Transpose", "Conv", "ReduceMean", "Reshape"]


# Quantization


def test_quantized_operator_is_written_as_pairs_with_the_scales_of_the_file(tmp_path: Path) -> None:
    graph = _loaded(CASES["int8 conv"].model, tmp_path)
    (conv,) = [node for node in graph if node.op == "Conv"]
    source, weight, bias = (graph.producer(name) for name in conv.inputs)
    assert source and weight and bias
    assert {node.op for node in (source, weight, bias)} == {"DequantizeLinear"}
    assert weight.attributes == bias.attributes == {"axis": 0}
    assert graph.constants[source.inputs[1]] == np.float32(0.05)
    assert graph.constants[weight.inputs[0]].dtype == np.int8 and len(bias.inputs) == 2
    product = np.float32(0.05) * graph.constants[weight.inputs[1]]
    np.testing.assert_allclose(graph.constants[bias.inputs[1]], product, rtol=1e-6)
    assert graph.constants[weight.inputs[0]].shape == (3, 4, 3, 3)


def test_depthwise_scales_follow_the_channels_as_the_weight_is_turned(tmp_path: Path) -> None:
    graph = _loaded(CASES["int8 depthwise"].model, tmp_path)
    (conv,) = [node for node in graph if node.op == "Conv"]
    weight = graph.producer(conv.inputs[1])
    assert weight is not None and weight.attributes == {"axis": 0}
    assert graph.constants[weight.inputs[0]].shape == (4, 1, 3, 3)


def test_boundary_keeps_int8_and_codes_between_are_unsigned(tmp_path: Path) -> None:
    graph = _loaded(CASES["int8 add"].model, tmp_path)
    assert {value.dtype for value in (*graph.inputs, *graph.outputs)} == {"int8"}
    inner = [
        value.dtype for name, value in graph.values.items() if graph.producer(name).op == "QuantizeLinear"
    ]
    assert inner == ["uint8"] * 3


def test_weights_in_half_precision_are_folded_to_single(tmp_path: Path) -> None:
    weight = np.float16([[1.5, -2.25]])
    tensors = (
        FileTensor("x", (1, 2)),
        constant("half", weight),
        FileTensor("w", (1, 2)),
        FileTensor("y", (1, 1)),
    )
    operators = (FileOperator("DEQUANTIZE", (1,), (2,)), FileOperator("FULLY_CONNECTED", (0, 2), (3,), 8))
    graph = _loaded(FileModel(tensors, operators, (0,), (3,)), tmp_path)
    (gemm,) = graph.nodes
    assert gemm.op == "Gemm" and graph.constants[gemm.inputs[1]].dtype == np.float32
    found = _outputs(graph, {"x": np.float32([[2, 4]])})["y"]
    assert found == np.float32([[-6]])


# Whole networks


def _mlperf_file(name: str) -> Path:
    folder = Path(os.environ.get("TAUT_DATA", "")) / "mlperf_tiny"
    if not (os.environ.get("TAUT_DATA") and folder.is_dir()):
        pytest.skip("TAUT_DATA does not hold mlperf_tiny")
    (path,) = folder.rglob(name)
    return path


_NETWORKS = [name.removesuffix(":") for name in _GOLDEN if name.endswith(".tflite:")]
_HYBRID = "kws_ref_model_float32.tflite"
"""The interpreter quantizes what goes into its int8 weights; here it stays in float"""


_LOGIT_STEPS = {"pretrainedResnet_quant.tflite": 7, "pretrainedResnet_large_int8.tflite": 4}
"""Largest difference over 20 random inputs where it exceeds 2 steps.

One layer fed with the interpreter's codes is within a step, at 1.3% of its codes at most, without bias; it
adds up over residual branches. The interpreter's optimised and reference kernels differ by 4 and 2 there.
"""


@pytest.mark.parametrize("name", _NETWORKS)
def test_network_computes_what_the_interpreter_does(name: str) -> None:
    """Floats to 1e-5 of the largest, codes to a step; before a softmax, which saturates, by net."""
    graph = load_tflite(_mlperf_file(name))
    tensors = [FileTensor(value.name, value.static_shape, value.dtype) for value in graph.inputs]
    inputs = random_inputs(tensors, seed=0, least=0.0)
    _assert_near(_outputs(graph, inputs)[graph.outputs[0].name], _GOLDEN[f"{name}:"], name, steps=1)
    if f"{name}:logits" in _GOLDEN:
        (softmax,) = [node for node in graph if node.op == "Softmax"]
        logits, expected = _tapped(graph, softmax.inputs[0]), _GOLDEN[f"{name}:logits"]
        (found,) = _outputs(logits, inputs).values()
        if expected.dtype == np.int8:
            _assert_near((found.astype(int) - 128).astype(np.int8), expected, name, _LOGIT_STEPS.get(name, 2))
        else:
            _assert_near(found, expected, name, steps=0)


def _assert_near(found: np.ndarray, expected: np.ndarray, name: str, steps: int) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    share = 0.02 if name == _HYBRID else 1e-5
    bound = steps if found.dtype == np.int8 else share * np.abs(expected).max()
    assert np.abs(found.astype(float) - expected.astype(float)).max() <= bound


def _tapped(graph: Graph, value: str) -> Graph:
    """The graph with one output: a value, or the codes that it is dequantized from."""
    producer = graph.producer(value)
    if producer is not None and producer.op == "DequantizeLinear":
        value = producer.inputs[0]
    typed = graph.value(value)
    assert typed is not None
    values = {name: item for name, item in graph.values.items() if name != value}
    return Editor(replace(graph, outputs=(typed,), values=values)).graph()


@pytest.mark.parametrize("name", [name for name in _NETWORKS if "int8" in name or "quant" in name])
def test_runtime_finds_integer_kernels_for_a_whole_quantized_network(name: str, tmp_path: Path) -> None:
    model = to_onnx(load_tflite(_mlperf_file(name))).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that the written file fits this machine only
    onnxruntime.InferenceSession(model, options)
    ops = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert not ops.keys() & {"Conv", "Gemm", "Add", "AveragePool"}
    assert ops["DequantizeLinear"] <= 2


# What is no sound file


def _content(name: str = "conv same") -> bytes:
    return write_tflite(CASES[name].model)


def _refusal(content: bytes, folder: Path) -> str:
    path = folder / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        load_tflite(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
    return str(raised.value)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    assert "is empty" in _refusal(b"", tmp_path)
    assert "bytes 4 to 8 are not TFL3" in _refusal(b"hello, this is no model", tmp_path)
    assert "outside the file" in _refusal(b"\xff\xff\xff\x7fTFL3", tmp_path)
    random = np.random.default_rng(0)
    for _ in range(100):
        _refusal(b"\x10\0\0\0TFL3" + random.bytes(200), tmp_path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load_tflite(tmp_path / "net.tflite")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    content = _content()
    _refusal(content[: int(len(content) * share)], tmp_path)


@pytest.mark.parametrize(
    "name", ["conv same behind", "int8 conv", "strided slice", "pad behind", "int8 concat"]
)
def test_damaged_bytes_are_refused_or_still_a_network(name: str, tmp_path: Path) -> None:
    """Nothing but BadInput may escape, whichever byte is wrong."""
    content, path = bytearray(_content(name)), tmp_path / "net.tflite"
    random = np.random.default_rng(0)
    refused = 0
    for place in random.choice(len(content), 250, replace=False):
        damaged = content.copy()
        damaged[place] = int(random.choice([0, 1, 127, 128, 255]))
        path.write_bytes(damaged)
        try:
            load_tflite(path)
        except BadInput:
            refused += 1
    assert refused > 50


def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    tensors = (FileTensor("x", (1, 4)), FileTensor("y", (1, 4)))
    for kind, words in (
        ("SVDF", "operators that are not read: SVDF"),
        ("Magic", "custom operators .*: Magic"),
    ):
        model = FileModel(tensors, (FileOperator(kind, (0,), (1,)),), (0,), (1,))
        assert re.search(words, _refusal(write_tflite(model), tmp_path))


def _changed(name: str, tensor: str, **fields: object) -> bytes:
    """The file of a case with other fields of one tensor."""
    model = CASES[name].model
    tensors = [replace(item, **fields) if item.name == tensor else item for item in model.tensors]
    return write_tflite(replace(model, tensors=tensors))


def test_contradictions_are_refused(tmp_path: Path) -> None:
    model = CASES["conv same"].model
    files = {
        "has 288 bytes, but its shape": _changed("conv same", "w", shape=(3, 3, 2, 2**30)),
        "recorded with the shape": _changed("conv same", "y", shape=(1, 5, 6, 7)),
        "has the shape": _changed("conv same", "x", shape=(1, 5, -6, 4)),
        "a CONV_2D of 3 channels has weights over 4": _changed("conv same", "x", shape=(1, 5, 6, 3)),
        "picture 'x' of 3 axes": _changed("conv same", "x", shape=(5, 6, 4)),
        "do not fit it": _changed("int8 conv", "w", scale=(0.1, 0.2)),
        "scales or zero points": _changed("int8 conv", "x", scale=(float("nan"),)),
        "axis 3 is asked for in tensor 'first' of 2 axes": _changed("split", "first", shape=(5, 6)),
        "a zero point that is no int8": _changed("int8 conv", "x", zero_point=(300,)),
        "version 2 of the format": write_tflite(replace(model, version=2)),
        "names tensor 9 of 4": write_tflite(replace(model, outputs=(9,))),
        "has no output": write_tflite(replace(model, outputs=())),
        "defined more than once": write_tflite(replace(model, inputs=(0, 3))),
        "is read before it is made": write_tflite(replace(model, inputs=())),
    }
    for rule, content in files.items():
        assert rule in _refusal(content, tmp_path)


def test_constants_may_not_need_more_memory_than_a_model_may_have(tmp_path: Path) -> None:
    """Many tensors over one buffer: a small file that would fill the memory."""
    array = np.zeros(2**20, np.float32)
    tensors = (*(constant(f"c{number}", array) for number in range(600)), FileTensor("y", array.shape))
    model = FileModel(tensors, (FileOperator("NEG", (0,), (600,)),), (), (600,))
    assert "need more than 2 GiB" in _refusal(write_tflite(model), tmp_path)


def test_a_picture_without_channels_is_refused(tmp_path: Path) -> None:
    assert "'x' has no channels" in _refusal(_changed("depthwise", "x", shape=(1, 5, 6, 0)), tmp_path)
