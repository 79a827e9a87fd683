"""Bytes that a program moves, counted from the views of its kernels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from taut.kernels.base import Kernel
from taut.kernels.dense import Dense
from taut.kernels.view import Storage, View
from taut.runtimes.aot.program import Program


def touched_bytes(kernel: Kernel) -> int:
    """Return the bytes that a kernel reads and writes, each once; weights unpacked."""
    views = dict.fromkeys((*kernel.reads, *kernel.writes))
    return sum(view_bytes(view) for view in views) + packed_bytes(kernel)


def memory_bytes(program: Program, cache_bytes: int) -> int:
    """Return the bytes that pass between a core's cache and what lies behind it.

    A buffer that fits into the cache is taken to stay there; of a larger one every kernel moves what it
    touches. Weights are read once.
    """
    kernels = [step.kernel for step in program.steps]
    moved = sum(
        view_bytes(view)
        for kernel in kernels
        for view in dict.fromkeys((*kernel.reads, *kernel.writes))
        if view.buffer.storage is not Storage.WEIGHTS and view.buffer.bytes > cache_bytes
    )
    return moved + weight_bytes(kernels)


def weight_bytes(kernels: Sequence[Kernel]) -> int:
    """Return the bytes of all constants, shared ones once."""
    packed = {id(kernel.weights): packed_bytes(kernel) for kernel in kernels if isinstance(kernel, Dense)}
    views = {view.buffer for kernel in kernels for view in kernel.reads}
    return sum(packed.values()) + sum(b.bytes for b in views if b.storage is Storage.WEIGHTS)


def packed_bytes(kernel: Kernel) -> int:
    """Return the bytes of the weights that become part of a kernel's code."""
    if isinstance(kernel, Dense) and isinstance(kernel.weights, np.ndarray):
        return kernel.weights.nbytes
    return 0


def view_bytes(view: View) -> int:
    """Return the bytes of a view, elements that windows see several times once."""
    reach: dict[int, int] = defaultdict(int)
    for size, stride in zip(view.shape, view.strides, strict=True):
        if stride:
            reach[abs(stride)] += size - 1
    elements = math.prod(steps + 1 for steps in reach.values())
    return min(elements, view.buffer.elements) * np.dtype(view.dtype).itemsize
