"""A compiled program in this process, called through ctypes."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from taut.runtimes.aot.memory import ALIGNMENT


class Library:
    """An instance with an arena and threads of its own; weights are shared by those who pass the same."""

    def __init__(self, path: Path, weights: np.ndarray, arena_bytes: int, threads: int = 1) -> None:
        self.handle = ctypes.CDLL(str(path))
        self.handle.taut_open.restype = ctypes.c_void_p
        self.handle.taut_close.argtypes = [ctypes.c_void_p]
        self._function = self.handle.taut_run
        self._function.restype = None
        self._function.argtypes = [ctypes.c_void_p] * 5
        self._weights, self._arena = weights, aligned(arena_bytes)
        self._pool = self.handle.taut_open(threads) if threads > 1 else None
        self.close = weakref.finalize(self, self.handle.taut_close, self._pool)

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compute the outputs in place; arrays are row-major and of the types the program was made for."""
        given = (ctypes.c_void_p * len(inputs))(*[_address(array) for array in inputs])
        made = (ctypes.c_void_p * len(outputs))(*[_address(array) for array in outputs])
        self._function(self._pool, _address(self._arena), _address(self._weights), given, made)


def _address(array: np.ndarray) -> int:
    """Where an array begins; quicker than ``array.ctypes``."""
    address: int = array.__array_interface__["data"][0]
    return address


def aligned(size: int) -> np.ndarray:
    """Return bytes that begin at a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def aligned_copy(content: bytes) -> np.ndarray:
    memory = aligned(len(content))
    memory[:] = np.frombuffer(content, np.uint8)
    return memory
