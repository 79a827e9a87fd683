"""Programs compiled and run, beside what their references say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from taut.devices.compiler import compiler
from taut.devices.local import local_device
from taut.kernels.build import build
from taut.kernels.target import AVX2, AVX512, PLAIN, Target, target_of
from taut.runtimes.aot.library import Library, aligned_copy
from taut.runtimes.aot.program import Program, emit

NATIVE = target_of(local_device())
_HASWELL = Target("haswell", 8, 16, ("-mavx2", "-mfma"))
"""AVX2 without the instructions for bytes that came later"""
TARGETS = tuple(dict.fromkeys([PLAIN, *([_HASWELL, AVX2] if NATIVE is AVX512 else []), NATIVE]))
"""What this machine can run: the vectors of other machines are checked wherever they are narrower"""

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler on this machine")


def run_compiled(
    program: Program, inputs: Sequence[np.ndarray], target: Target = NATIVE, threads: int = 1
) -> list[np.ndarray]:
    """Compile and run; outputs are flat, and not a number where nothing was written."""
    emitted = emit(program, target)
    library = Library(
        build(emitted.source, target), aligned_copy(emitted.weights), emitted.arena_bytes, threads
    )
    outputs = [
        np.full(buffer.elements, np.nan if buffer.dtype.startswith("float") else 77).astype(buffer.dtype)
        for buffer in program.outputs
    ]
    library.run([np.ascontiguousarray(array) for array in inputs], outputs)
    return outputs


def relative_error(made: np.ndarray, wanted: np.ndarray, least: float = 1e-6) -> float:
    """The largest difference, as a share of the largest element that is finite, or of the least scale."""
    made, wanted = np.asarray(made, np.float64).reshape(-1), np.asarray(wanted, np.float64).reshape(-1)
    is_finite = np.isfinite(wanted)
    np.testing.assert_array_equal(made[~is_finite], wanted[~is_finite])
    if not is_finite.any():
        return 0.0
    scale = max(float(np.abs(wanted[is_finite]).max()), least)
    return float(np.abs(made[is_finite] - wanted[is_finite]).max()) / scale
