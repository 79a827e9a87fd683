"""The contract of a non-neural model: what it is for so many rows as a program of kernels; and running it.

A call is divided into slices of rows, each of which stays in the cache from one kernel to the next. It begins
when the threads are awake: unlike those of a network, its steps are few and long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from taut.core.errors import BadInput
from taut.kernels.base import Kernel
from taut.kernels.build import build
from taut.kernels.soft_float import Arithmetic, arithmetic_source, arithmetic_target
from taut.kernels.view import Buffer, Storage, View
from taut.runtimes.aot.library import Library, aligned_copy
from taut.runtimes.aot.program import Program, Step, emit

PARTS = 8
"""Private accumulators of a merge: as many as the cores that the paper divides among"""


class Model(Protocol):
    """A fitted model: ``classes[program output]`` are the labels of rows of so many features."""

    @property
    def features(self) -> int: ...

    @property
    def classes(self) -> np.ndarray: ...

    def program(self, rows: int) -> Program:
        """Return kernels from x (rows, features) of float32 to the number of a class for each row, int32."""
        ...


@dataclass(frozen=True)
class Build:
    """How a program is compiled, and by how many threads it is run."""

    threads: int = 1
    arithmetic: Arithmetic = Arithmetic.HARDWARE
    is_timed: bool = False
    """Keep the seconds of each step, for ``taut.nonneural.amdahl``"""


def open_program(program: Program, settings: Build) -> Library:
    """Compile a program, or find it compiled, and load it."""
    target = arithmetic_target(settings.arithmetic)
    emitted = emit(program, target)
    source = arithmetic_source(emitted.source, settings.arithmetic)
    path = build(source, target, ("-DTAUT_MUSTER", *(("-DTAUT_TIMED",) if settings.is_timed else ())))
    return Library(path, aligned_copy(emitted.weights), emitted.arena_bytes, settings.threads)


class Predictor:
    """A compiled model: called with x (n, features), it returns n labels."""

    def __init__(self, model: Model, rows: int, settings: Build) -> None:
        self._model, self._rows = model, rows
        self._library = open_program(model.program(rows), settings)
        self._numbers = np.empty(rows, np.int32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the labels of x, a number of rows at a time; BadInput where x is not (n, features)."""
        given = as_rows(x, self._model.features)
        numbers = np.empty(len(given), np.int32)
        for start in range(0, len(given), self._rows):
            piece = given[start : start + self._rows]
            numbers[start : start + len(piece)] = self._predict(piece)
        return self._model.classes[numbers]

    def _predict(self, piece: np.ndarray) -> np.ndarray:
        """Return the numbers of the classes of at most so many rows as the program takes."""
        missing = self._rows - len(piece)
        full = np.pad(piece, ((0, missing), (0, 0))) if missing else piece
        self._library.run([full], [self._numbers])
        return self._numbers[: len(piece)]


def as_rows(x: np.ndarray, features: int) -> np.ndarray:
    """Return x as row-major float32 (n, features); BadInput where it is something else."""
    try:
        given = np.ascontiguousarray(x, np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput("x", f"is not an array of numbers: {error}", f"pass (n, {features}) floats") from error
    if given.ndim != 2 or given.shape[1] != features:
        raise BadInput(
            f"x of shape {np.shape(x)}",
            f"must be (n, {features})",
            "pass one row of features for each sample",
        )
    return given


def as_program(kernels: Sequence[Kernel], inputs: Sequence[View], outputs: Sequence[View]) -> Program:
    return Program(
        tuple(Step(kernel) for kernel in kernels),
        tuple(view.buffer for view in inputs),
        tuple(view.buffer for view in outputs),
        tuple(view.shape for view in outputs),
    )


def slices(rows: int, size: int) -> Iterator[slice]:
    """Cut rows into slices of a size; the last may be smaller."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def given(name: str, *shape: int) -> View:
    return _whole(Storage.INPUT, "float32", shape, name)


def made(name: str, *shape: int, dtype: str = "float32") -> View:
    return _whole(Storage.OUTPUT, dtype, shape, name)


def scratch(*shape: int, dtype: str = "float32") -> View:
    return _whole(Storage.ARENA, dtype, shape)


def constant(array: np.ndarray) -> View:
    """A view of known numbers, float32."""
    content = np.ascontiguousarray(array, np.float32)
    return View.whole(Buffer(Storage.WEIGHTS, "float32", content.size, content=content), content.shape)


def _whole(storage: Storage, dtype: str, shape: Sequence[int], name: str = "") -> View:
    return View.whole(Buffer(storage, dtype, int(np.prod(shape)), name), shape)
