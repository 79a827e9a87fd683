"""The oracle of every operator: onnxruntime on a model of one node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from taut.graph.onnx_import import from_onnx
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import to_torch


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(
    op: str,
    *inputs: np.ndarray | None,
    opset: int = 20,
    outputs: int = 1,
    flowing: Sequence[int] = (0,),
    is_opaque: bool = False,
    **attributes: Any,
) -> list[np.ndarray]:
    """Assert that torch gives what onnxruntime gives for a model of one node, and return it.

    Inputs at the places ``flowing`` are fed, the others are constants, None is absent. ``is_opaque`` says
    that onnxruntime is expected to run the node within the module too.
    """
    model = _model(op, inputs, opset, outputs, flowing, attributes)
    fed = {f"in{place}": inputs[place] for place in flowing}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    wanted = session.run(None, fed)
    for info, array in zip(model.graph.output, wanted, strict=True):
        info.CopyFrom(_info(info.name, array))
    module = to_torch(with_shapes(from_onnx(model)))
    assert bool(module.opaque) == is_opaque
    with torch.no_grad():
        results = module(*[torch.from_numpy(array) for array in fed.values()])
    for got, want in zip(results, wanted, strict=True):
        assert got.numpy().dtype == want.dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)
        assert got.shape == want.shape
    return wanted


def _model(
    op: str,
    inputs: Sequence[np.ndarray | None],
    opset: int,
    outputs: int,
    flowing: Sequence[int],
    attributes: dict[str, Any],
) -> onnx.ModelProto:
    names = ["" if array is None else f"in{place}" for place, array in enumerate(inputs)]
    node = helper.make_node(op, names, [f"out{place}" for place in range(outputs)], name="node", **attributes)
    fed = [
        _info(names[place], array)
        for place, array in enumerate(inputs)
        if array is not None and place in flowing
    ]
    constants = [
        numpy_helper.from_array(array, names[place])
        for place, array in enumerate(inputs)
        if array is not None and place not in flowing
    ]
    graph = helper.make_graph(
        [node], "one", fed, [onnx.ValueInfoProto(name=name) for name in node.output], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
