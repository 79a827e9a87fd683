"""Fitting a task to a network: input names matched, shapes and types checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from taut.core.errors import BadInput
from taut.core.task import Arrays, Batch, Sealed, Split, Task
from taut.tasks.base import Interface
from taut.tasks.sequences import SequenceSplit

Names = Mapping[str, str]
"""Network's input name -> task's input name, in the network's order"""


def matched(task: Task, interface: Interface) -> Task:
    """Return the task with its inputs under the network's names and in its order.

    Names agree, or there is one input on each side. Raises BadInput where names, shapes or types differ.
    """
    sample = task.select.take(np.arange(1)).inputs
    names = _names(task.name, tuple(sample), interface)
    for name, own in names.items():
        _refuse_other_contract(task.name, own, sample[own], name, interface)
    if list(names.items()) == [(own, own) for own in sample]:
        return task
    return replace(
        task,
        train=None if task.train is None else _renamed(task.train, names),
        select=_renamed(task.select, names),
        test=Sealed(_renamed(task.test.split, names)),
        augment=_renamed_augment(task, names),
    )


def _names(task: str, own: tuple[str, ...], interface: Interface) -> Names:
    wanted = interface.names
    if set(own) == set(wanted):
        return {name: name for name in wanted}
    if len(own) == len(wanted) == 1:
        return {wanted[0]: own[0]}
    raise BadInput(
        f"data {task!r}",
        f"has the inputs {', '.join(own)}, the network has {', '.join(wanted)}",
        "name them alike, for example in an npz file",
    )


def _refuse_other_contract(task: str, own: str, sample: np.ndarray, name: str, interface: Interface) -> None:
    shape = interface.sample_shape(name)
    found = sample.shape if interface.is_shared(name) else sample.shape[1:]
    if found != shape:
        raise BadInput(
            f"data {task!r}",
            f"gives {own!r} in the shape {found}, input {name!r} takes {shape} of each sample",
            "give data of the network's shape",
        )
    if sample.dtype != interface.dtype(name):
        raise BadInput(
            f"data {task!r}",
            f"gives {own!r} as {sample.dtype}, input {name!r} takes {interface.value(name).dtype}",
            "give data of the network's type",
        )


def _renamed(split: Split, names: Names) -> Split:
    if isinstance(split, SequenceSplit):
        return SequenceSplit(_Renamed(split.split, names), split.steps)
    return _Renamed(split, names)


@dataclass(frozen=True)
class _Renamed:
    """A split under other input names."""

    split: Split
    names: Names

    @property
    def has_targets(self) -> bool:
        return self.split.has_targets

    def __len__(self) -> int:
        return len(self.split)

    def take(self, indices: np.ndarray) -> Batch:
        batch = self.split.take(indices)
        return Batch({name: batch.inputs[own] for name, own in self.names.items()}, batch.targets)


def _renamed_augment(task: Task, names: Names) -> Callable[[Arrays, np.random.Generator], Arrays] | None:
    augment = task.augment
    if augment is None:
        return None

    def under_network_names(inputs: Arrays, rng: np.random.Generator) -> Arrays:
        changed = augment({own: inputs[name] for name, own in names.items()}, rng)
        return {name: changed[own] for name, own in names.items()}

    return under_network_names
