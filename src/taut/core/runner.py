"""What can be timed, and what it is fed.

A Runner lives in a child process when it is measured; a RunnerSpec is the plain-data recipe from which
the child builds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from taut.core.quantities import Quantity
from taut.core.task import Arrays


@dataclass(frozen=True)
class Item:
    """One thing to run. ``starts_sequence`` resets recurrent state before it."""

    inputs: Arrays
    starts_sequence: bool = False


@dataclass(frozen=True)
class Sample:
    """What one run gave: outputs by name, and values of the runner's own quantities (may be empty)."""

    outputs: Mapping[str, np.ndarray]
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """A named sequence of items; a runner under test cycles through it in order."""

    name: str
    items: Sequence[Item]


class Runner(Protocol):
    """Anything that can be timed. Called in the order open, run..., close; open may be called again."""

    @property
    def quantities(self) -> tuple[Quantity, ...]: ...

    def open(self) -> None:
        """Load everything; afterwards ``run`` is ready. Not part of steady-state timing."""
        ...

    def run(self, item: Item) -> Sample: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class RunnerSpec:
    """A recipe for a Runner: ``factory(**arguments)``, where arguments are plain JSON values."""

    factory: str
    """``module:function``"""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Runner:
        module_name, function = self.factory.split(":")
        runner: Runner = getattr(importlib.import_module(module_name), function)(**self.arguments)
        return runner
