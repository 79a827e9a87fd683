"""The cases that the ONNX standard comes with, for every operator that torch runs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from taut.core.errors import BadInput
from taut.graph import Graph
from taut.graph.onnx_import import from_onnx
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import TorchGraph, to_torch
from taut.graph.torch_ops.tensors import to_array, to_tensor

LEAST_CASES = 800
"""Far fewer would mean that operators went to onnxruntime unnoticed"""
HALF_PRECISION = {np.dtype(np.float16): 2e-3, np.dtype("bfloat16"): 2e-2}
"""Sums are rounded in another order"""


def standard_cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard divides by zero on purpose
        from onnx.backend.test.case.node import collect_testcases

        return [case for case in collect_testcases() if case.model is not None]


def graph_of(case: Any) -> Graph | None:
    try:
        return with_shapes(from_onnx(case.model))
    except BadInput:  # sequences, and sizes that are left open
        return None


def as_array(given: Any) -> np.ndarray:
    return numpy_helper.to_array(given) if hasattr(given, "SerializeToString") else np.asarray(given)


def difference(module: TorchGraph, inputs: list[np.ndarray], wanted: list[np.ndarray]) -> str | None:
    with torch.no_grad():
        outputs = module(*[to_tensor(array) for array in inputs])
    for got, want in zip(map(to_array, outputs), wanted, strict=True):
        if (got.dtype, got.shape) != (want.dtype, want.shape):
            return f"{got.dtype} {got.shape} instead of {want.dtype} {want.shape}"
        tolerance = HALF_PRECISION.get(want.dtype, 1e-4)
        if not np.allclose(got.astype(float), want.astype(float), tolerance, tolerance, equal_nan=True):
            return "other numbers"
    return None


@pytest.fixture(scope="module")
def differences() -> tuple[int, dict[str, str]]:
    """How many cases torch ran whole, and what was wrong with some of them."""
    count, found = 0, {}
    for case in standard_cases():
        graph = graph_of(case)
        module = to_torch(graph) if graph is not None else None
        if module is None or module.opaque:
            continue
        for inputs, wanted in case.data_sets:
            count += 1
            problem = difference(module, [*map(as_array, inputs)], [*map(as_array, wanted)])
            if problem is not None:
                found[case.name] = problem
    return count, found


def test_operators_give_what_the_standard_wants(differences) -> None:
    assert differences[1] == {}


def test_most_cases_run_in_torch(differences) -> None:
    assert differences[0] >= LEAST_CASES
