"""The contract of a data source: it fills the inputs of a network that are not recurrent state.

A source is a function ``(argument, interface) -> Task``; ``argument`` is what the user wrote after the
colon of ``npz:FILE``. Simplification: the first axis of the first input is taken as the batch; an input
whose first axis differs from it (or that has none) is the same for all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import ml_dtypes  # noqa: F401 (teaches numpy the name bfloat16)
import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Task
from taut.graph.ir import Dimension, Value


@dataclass(frozen=True)
class Interface:
    """The inputs that data must fill, in the network's order.

    Interface((Value("image", "float32", (1, 3, 32, 32)),)).sample_shape("image")    # (3, 32, 32)
    """

    values: tuple[Value, ...]
    is_recurrent: bool = False
    highest: Mapping[str, int] = field(default_factory=dict)
    """Largest safe integer by input name, where it can be seen (rows of an embedding, less one)"""

    @staticmethod
    def of(
        inputs: Sequence[Value], feedback: Mapping[str, str], highest: Mapping[str, int] | None = None
    ) -> Interface:
        """Leave out the inputs that receive an earlier output; the runner keeps those."""
        states = set(feedback.values())
        values = tuple(value for value in inputs if value.name not in states)
        return Interface(values, bool(states), highest or {})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.values)

    @property
    def sampled(self) -> tuple[Value, ...]:
        """Inputs that have one entry per sample."""
        return tuple(value for value in self.values if not self.is_shared(value.name))

    def value(self, name: str) -> Value:
        return next(value for value in self.values if value.name == name)

    def is_shared(self, name: str) -> bool:
        """Whether an input is the same for all samples: it has no axis of samples."""
        axes = self._axes(name)
        return not axes or (isinstance(axes[0], int) and axes[0] != self._batch)

    def sample_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one sample of an input (of the whole input where it is shared)."""
        axes = self._axes(name) if self.is_shared(name) else self._axes(name)[1:]
        if not all(isinstance(size, int) for size in axes):
            raise _unknown_shape(self.value(name))
        return tuple(size for size in axes if isinstance(size, int))

    def dtype(self, name: str) -> np.dtype:
        """numpy's dtype of an input; BadInput for text, which no data source fills."""
        dtype = np.dtype(self.value(name).dtype)
        if dtype.kind == "O":
            way_out = "cut the network behind its text processing"
            raise BadInput(f"input {name!r}", "is text, which Taut does not feed", way_out)
        return dtype

    @property
    def _batch(self) -> int:
        first = next((self._axes(value.name)[0] for value in self.values if self._axes(value.name)), 1)
        return first if isinstance(first, int) else 1

    def _axes(self, name: str) -> tuple[Dimension, ...]:
        value = self.value(name)
        if value.shape is None:
            raise _unknown_shape(value)
        return value.shape


TaskFactory = Callable[[str, Interface], Task]
"""(argument after the colon, what must be filled) -> the task, under its own input names"""


def refuse_argument(name: str, argument: str) -> None:
    """Raise BadInput where something stands behind the colon of a source that takes nothing."""
    if argument:
        raise BadInput(f"data '{name}:{argument}'", f"{name} takes nothing after the colon", f"write {name}")


def _unknown_shape(value: Value) -> BadInput:
    sizes = "x".join("1" if axis == 0 else "N" for axis in range(len(value.shape or (0, 1))))
    return BadInput(
        f"input {value.name!r}", f"has no fixed shape: {value.shape}", f"give --shape {value.name}={sizes}"
    )
