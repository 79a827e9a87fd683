"""Made-up inputs where there is no data: enough to time a network, not to judge its quality.

Floats are normal; integers stay below the rows of the embedding they index where that can be seen, else
they are 0 or 1; an input without an axis of samples is zero. Real inputs often have other value ranges, so
data-dependent timing and fidelity can differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taut.core.task import Batch, Sealed, Split, Task
from taut.graph.ir import Graph
from taut.tasks.base import Interface, refuse_argument
from taut.tasks.sequences import SequenceSplit
from taut.tasks.splits import digest_of

_SAMPLES = 32
# Enough for an error to feed back through recurrent state a few times.
_STEPS = 8
# Operators that hand indices on unchanged to the embedding behind them.
_INDEX_KEEPERS = {"Cast", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Transpose", "Slice"}


def open_random(argument: str, interface: Interface) -> Task:
    """Open ``--data random``: 32 samples to select on, 32 to test on, none to train on."""
    refuse_argument("random", argument)
    contract = [f"{value.name} {value.dtype} {value.shape}" for value in interface.values]
    return Task(
        name="random",
        train=None,
        select=_split(interface, 1),
        test=Sealed(_split(interface, 2)),
        metrics=(),
        is_random=True,
        digest=digest_of(["random", *contract, str(sorted(interface.highest.items()))]),
    )


def highest_indices(graph: Graph) -> dict[str, int]:
    """Return, by integer input, the largest index that every embedding it reaches has a row for."""
    found = {value.name: _highest(graph, value.name) for value in graph.inputs if "int" in value.dtype}
    return {name: highest for name, highest in found.items() if highest is not None}


def _highest(graph: Graph, name: str) -> int | None:
    bounds, pending, seen = [], [name], {name}
    while pending:
        value = pending.pop()
        for node in graph.consumers(value):
            if node.op == "Gather" and node.inputs[1] == value and node.inputs[0] in graph.constants:
                axis = int(node.attributes.get("axis", 0))
                bounds.append(graph.constants[node.inputs[0]].shape[axis] - 1)
            elif node.op in _INDEX_KEEPERS and node.inputs[0] == value and node.outputs[0] not in seen:
                pending.append(node.outputs[0])
                seen.add(node.outputs[0])
    return min(bounds, default=None)


def _split(interface: Interface, seed: int) -> Split:
    split = _Random(interface, seed)
    return SequenceSplit(split, _STEPS) if interface.is_recurrent else split


@dataclass(frozen=True)
class _Random:
    """Samples drawn from (seed, index) when they are taken, so that large inputs need no memory."""

    interface: Interface
    seed: int
    has_targets = False

    def __len__(self) -> int:
        return _SAMPLES

    def take(self, indices: np.ndarray) -> Batch:
        return Batch({name: self._input(name, indices) for name in self.interface.names}, None)

    def _input(self, name: str, indices: np.ndarray) -> np.ndarray:
        shape, dtype = self.interface.sample_shape(name), self.interface.dtype(name)
        if self.interface.is_shared(name):
            return np.zeros(shape, dtype)
        place = self.interface.names.index(name)
        highest = self.interface.highest.get(name, 1)
        return np.stack([_draw((self.seed, int(index), place), shape, dtype, highest) for index in indices])


def _draw(seed: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype, highest: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.kind in "iub":
        return rng.integers(0, highest + 1, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
