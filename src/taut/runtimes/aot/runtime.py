"""``aot``: the whole network as one C file, compiled on the machine that loads it.

The artifact holds the plain ONNX file, which any runtime can fall back to; no machine code and no source.
What was made of it is found again by the file's content, the compiler, the processor and our own templates.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.devices.compiler import compiler
from taut.devices.local import local_device
from taut.graph.ir import Graph
from taut.graph.onnx_export import save_onnx
from taut.runtimes.aot.compiled import Compiled, lowered
from taut.runtimes.aot.library import Library
from taut.runtimes.base import NodeTime, Placed, StageScript

_MANIFEST, _WEIGHTS = "program.json", "weights.bin"


class Aot:
    """Compiles graphs with fixed shapes whose operators all have kernels."""

    name = "aot"
    precisions = ("float32",)

    def version(self) -> str:
        return version("taut")

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """One: there is nothing to set yet."""
        del threads
        return [Stage(self.name)] if device.name == local_device().name and compiler() else []

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ONNX once it is known that every node can be compiled."""
        _refuse_options(stage)
        lowered(graph)
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> _Session:
        del threads  # one is all that is used
        _refuse_options(stage)
        return _Session(Compiled.of(folder / files[0]))

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript | None:
        del file, stage, threads, variable
        return None

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each kernel over the items, with a clock read between kernels."""
        del stage, threads
        compiled = Compiled.of(folder / files[0], is_timed=True)
        session = _Session(compiled)
        seconds = (ctypes.c_double * len(compiled.steps)).in_dll(session.library.handle, "taut_seconds")
        taken = []
        for item in items:
            session.run(item)
            taken.append(list(seconds))
        return [
            NodeTime(step.kernel, step.nodes, 1e3 * median(times), len(items), "float32")
            for step, times in zip(compiled.steps, zip(*taken, strict=True), strict=True)
        ]


class _Session:
    reuses_buffers = False

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self.library = Library(compiled.library, compiled.weights, compiled.arena_bytes)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        given = [np.ascontiguousarray(inputs[name]) for name in self._compiled.inputs]
        outputs = {one.name: np.empty(one.shape, one.dtype) for one in self._compiled.outputs}
        self.library.run(given, tuple(outputs.values()))
        return outputs

    def placement(self) -> Sequence[Placed]:
        """Every node is ours: what is not cannot be saved."""
        return [Placed(name, "aot", "float32", op) for name, op in self._compiled.nodes]

    def close(self) -> None:
        del self.library


def _refuse_options(stage: Stage) -> None:
    if stage.precision not in Aot.precisions:
        raise BadInput(f"precision {stage.precision!r}", "aot computes in float32", "use openvino")
    if stage.options:
        known = ", ".join(stage.options)
        raise BadInput(f"aot options {known}", "are not known", "give none")
