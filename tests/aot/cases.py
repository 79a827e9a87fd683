"""Nodes to be compared with onnxruntime: many of them are one model, so that a compiler runs once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from programs import relative_error

from taut.graph import Graph, from_onnx

OPSET = 20


@dataclass(frozen=True)
class Given:
    """An input that is known only when the network runs."""

    array: np.ndarray


@dataclass(frozen=True)
class Case:
    """A node: what flows in, its attributes, how many outputs."""

    op: str
    inputs: Sequence[Any]
    """A shape stands for noise, an array is a constant, an empty text is left out"""
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    positive: bool = False
    """Inputs, where the operator is not defined elsewhere"""

    is_by_definition: bool = False
    """Compared with onnx's own evaluator, where onnxruntime has no kernel"""

    @property
    def label(self) -> str:
        shapes = [np.shape(one.array if isinstance(one, Given) else one) for one in self.inputs]
        return f"{self.op} {self.attributes} {shapes}"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Bundle:
    """Cases as one model, with inputs and what onnxruntime makes of them."""

    graph: Graph
    labels: tuple[str, ...]
    """Of each output"""
    inputs: tuple[np.ndarray, ...]
    wanted: tuple[np.ndarray, ...]

    def compare(self, made: Sequence[np.ndarray], least: float = 1e-6) -> None:
        """Fail where an output differs from what onnxruntime made, as a share of its largest element.

        ``least`` is that element where all are smaller: sums of large terms may come out small by chance.
        """
        wrong = []
        for label, array, wanted in zip(self.labels, made, self.wanted, strict=True):
            assert array.size == wanted.size and array.dtype == wanted.dtype, label
            if relative_error(array, wanted, least) > 1e-5:
                wrong.append(label)
        assert not wrong, wrong


def bundle(name: str, cases: Iterable[Case], opset: int = OPSET) -> Bundle:
    """One model of all cases, run by onnxruntime."""
    random = np.random.default_rng(3)
    cases = list(cases)
    nodes, constants, labels = [], [], []
    arrays: dict[str, np.ndarray] = {}
    for number, case in enumerate(cases):
        names = []
        for place, one in enumerate(case.inputs):
            value = f"{case.op}_{number}_{place}"
            if isinstance(one, str):
                value = ""
            elif isinstance(one, (tuple, Given)):
                arrays[value] = _filled(one, random, positive=case.positive)
            else:
                constants.append(numpy_helper.from_array(np.asarray(one), value))
            names.append(value)
        outputs = [f"{case.op}_{number}_out{place}" for place in range(case.outputs)]
        nodes.append(helper.make_node(case.op, names, outputs, f"{case.op}_{number}", **case.attributes))
        labels += [case.label] * case.outputs
    given = [_typed(value, array) for value, array in arrays.items()]

    def model_of(some: Sequence[onnx.NodeProto], known: dict[str, np.ndarray]) -> onnx.ModelProto:
        names = [one for node in some for one in node.output]
        outputs = [_typed(one, known[one]) if known else onnx.ValueInfoProto(name=one) for one in names]
        proto = helper.make_graph(some, name, given, outputs, constants)
        model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)

    measured = [node for node, case in zip(nodes, cases, strict=True) if not case.is_by_definition]
    defined = [node for node, case in zip(nodes, cases, strict=True) if case.is_by_definition]
    wanted = _run(model_of(measured, {}), arrays) if measured else {}
    if defined:
        model = model_of(defined, {})
        wanted |= zip(_outputs(model), ReferenceEvaluator(model).run(None, arrays), strict=True)
    model = model_of(nodes, wanted)
    expected = tuple(wanted[one] for one in _outputs(model))
    return Bundle(from_onnx(model), tuple(labels), tuple(arrays.values()), expected)


def _filled(one: tuple[int, ...] | Given, random: np.random.Generator, *, positive: bool) -> np.ndarray:
    if isinstance(one, Given):
        return one.array
    array = random.standard_normal(one).astype(np.float32)
    return np.abs(array) + np.float32(0.1) if positive else array


def _run(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print it also raises
    options.intra_op_num_threads = 1
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return dict(zip(_outputs(model), session.run(None, arrays), strict=True))


def _typed(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)


def _outputs(model: onnx.ModelProto) -> list[str]:
    return [one.name for one in model.graph.output]
