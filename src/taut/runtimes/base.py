"""The contract of a runtime: it saves a stage of a graph to files and opens them as a session.

``save`` runs at build time and may need the graph and heavy packages; ``open`` runs in a fresh process
from the files alone. Both get the same stage and the same number of threads; a runtime may use no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.graph.ir import Graph


@dataclass(frozen=True)
class Placed:
    """Where a node of the saved graph ran. Fused nodes are listed with the node that took them in."""

    node: str
    where: str
    """Provider, plugin or kernel family, in the runtime's own words"""
    precision: str
    op: str
    """Operator of the node, by which a person finds a whole kind that moved"""


@dataclass(frozen=True)
class NodeTime:
    """Time of one executed kernel; ``nodes`` are the graph nodes that it covers, as far as they are known."""

    kernel: str
    nodes: tuple[str, ...]
    latency_ms: float
    """Median over the runs"""
    runs: int
    precision: str


def does_not_load(path: Path, stage: Stage, error: Exception) -> BadInput:
    """Return the error for a file that a runtime refuses."""
    given = f"{path} in {stage.runtime} {stage.precision}"
    return BadInput(given, f"does not load ({error})", "use another runtime or precision")


def does_not_run(runtime: str, error: Exception) -> BadInput:
    """Return the error for inputs of the right form that a network cannot be run on."""
    return BadInput(f"the inputs in {runtime}", f"cannot be run on ({error})", "check their values")


@dataclass(frozen=True)
class StageScript:
    """Plain Python that opens and runs a stage without taut."""

    module: str
    """Package to import"""
    open_lines: tuple[str, ...]
    """Open the file in ``folder`` under the given variable"""
    run_call: str
    """Expression: the stage's outputs in order, from a dictionary of arrays called ``feed``"""


class Session(Protocol):
    """A loaded stage."""

    reuses_buffers: bool
    """Whether the arrays that ``run`` returns are overwritten by its next run"""

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return outputs by name as numpy arrays; the inputs are exactly the stage's.

        Raises BadInput where the network cannot be run on their values.
        """
        ...

    def placement(self) -> Sequence[Placed]: ...

    def close(self) -> None: ...


class Runtime(Protocol):
    """One way to run graphs. Files are named relative to the artifact's folder."""

    name: str
    precisions: tuple[str, ...]
    """Of floating-point arithmetic; integer arithmetic is in the graph (QDQ)"""

    def version(self) -> str: ...

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """Settings worth timing on this device, the runtime's default first."""
        ...

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the stage's files under the stem and return their names."""
        ...

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> Session:
        """Load the files; BadInput where the runtime refuses them or the stage's settings."""
        ...

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript | None:
        """Return how to do without taut what ``open`` and ``run`` do; None where that is not possible."""
        ...

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each executed kernel over the items; slower than ``run``, never used as latency."""
        ...
