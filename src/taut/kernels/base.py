"""The contract of a kernel: what it reads and writes, how much it does, and its C.

A kernel is a value. Its C is a function of pointers and a range of ``units``, equal pieces that may be
computed in any order or by several threads; pointers are those of its views, so that two kernels of the same
form in different places share one function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from taut.kernels.target import Target
from taut.kernels.view import View

Read = Callable[[View], np.ndarray]
"""The elements of a view, in its shape"""


@dataclass(frozen=True)
class Code:
    """The body of a C function; ``parameters[i]`` (``float *p0``) points to the start of ``arguments[i]``."""

    parameters: tuple[str, ...]
    arguments: tuple[View | np.ndarray, ...]
    """An array is laid down among the weights as it is"""
    body: str
    """Statements over ``begin`` and ``end``, the range of units"""
    units: int


class Kernel(Protocol):
    """One loop nest."""

    @property
    def name(self) -> str:
        """What it is, in one word."""
        ...

    @property
    def reads(self) -> tuple[View, ...]: ...

    @property
    def writes(self) -> tuple[View, ...]: ...

    @property
    def multiply_adds(self) -> int: ...

    @property
    def precision(self) -> str:
        """Of its products: float32, bfloat16 or int8."""
        ...

    def code(self, target: Target, /) -> Code: ...

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        """What it writes, computed plainly by numpy; one array for each view that is written."""
        ...


@runtime_checkable
class Cuttable(Kernel, Protocol):
    """A kernel whose places along some axes are computed independently: it may be made of fewer of them."""

    @property
    def out(self) -> View:
        """What it writes; all that it reads has these axes first, in the same order."""
        ...

    @property
    def free_axes(self) -> range:
        """Axes of ``out`` along which every view may be sliced alike."""
        ...

    def over(self, change: Callable[[View], View], /) -> Self:
        """Return the same kernel over other views."""
        ...


def cut(kernel: Cuttable, axis: int, places: range) -> Cuttable:
    """Return the kernel for some neighbouring places along a free axis."""
    assert axis in kernel.free_axes
    slices = [slice(None)] * axis + [slice(places.start, places.stop)]
    return kernel.over(lambda view: view.slice(slices))
