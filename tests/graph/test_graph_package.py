from __future__ import annotations

import subprocess
import sys

import pytest

import taut.graph


def test_importing_the_package_does_not_import_onnx() -> None:
    program = "import sys, taut.graph; print(sorted({'onnx', 'onnxruntime', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(
        getattr(taut.graph, name).__name__ == name for name in taut.graph.__all__ if name != "Dimension"
    )


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = taut.graph.nothing
