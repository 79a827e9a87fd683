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
from taut.devices.features import has_bfloat16
from taut.devices.local import local_device
from taut.graph.ir import Graph
from taut.graph.onnx_export import save_onnx
from taut.runtimes.aot.compiled import Compiled, lowered
from taut.runtimes.aot.library import Library
from taut.runtimes.base import NodeTime, Placed, StageScript


class Aot:
    """Compiles graphs with fixed shapes whose operators all have kernels.

    In bfloat16 products are computed, and what they read is stored; sums and all else stay float32. Numbers
    outside a table are brought to its ends, where other runtimes fail.
    """

    name = "aot"
    precisions = ("float32", "bfloat16")

    def version(self) -> str:
        return version("taut")

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """All threads, and one alone, in each precision; nothing where there is no compiler."""
        if device.name != local_device().name or compiler() is None:
            return []
        precisions = self.precisions if has_bfloat16(device) else self.precisions[:1]
        options: list[dict[str, int]] = [{}, *([{"threads": 1}] if threads > 1 else [])]
        return [Stage(self.name, precision, option) for precision in precisions for option in options]

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ONNX once it is known that every node can be compiled."""
        threads_of(stage, 1)
        lowered(graph, stage.precision)
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> _Session:
        used = threads_of(stage, threads)
        return _Session(Compiled.of(folder / files[0], stage.precision), used)

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript | None:
        del file, stage, threads, variable
        return None

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each kernel over the items, with a clock read between kernels."""
        used = threads_of(stage, threads)
        compiled = Compiled.of(folder / files[0], stage.precision, is_timed=True)
        session = _Session(compiled, used)
        seconds = (ctypes.c_double * len(compiled.steps)).in_dll(session.library.handle, "taut_seconds")
        taken = []
        for item in items:
            session.run(item)
            taken.append(list(seconds))
        return [
            NodeTime(step.kernel, step.nodes, 1e3 * median(times), len(items), step.precision)
            for step, times in zip(compiled.steps, zip(*taken, strict=True), strict=True)
        ]


class _Session:
    reuses_buffers = False

    def __init__(self, compiled: Compiled, threads: int) -> None:
        self._compiled = compiled
        self.library = Library(compiled.library, compiled.weights, compiled.arena_bytes, threads)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        given = [np.ascontiguousarray(inputs[name]) for name in self._compiled.inputs]
        outputs = {one.name: np.empty(one.shape, one.dtype) for one in self._compiled.outputs}
        self.library.run(given, tuple(outputs.values()))
        return outputs

    def placement(self) -> Sequence[Placed]:
        """Every node is ours: what is not cannot be saved."""
        precisions = {name: step.precision for step in self._compiled.steps for name in step.nodes}
        return [Placed(name, "aot", precisions.get(name, "float32"), op) for name, op in self._compiled.nodes]

    def close(self) -> None:
        self.library.close()


def threads_of(stage: Stage, threads: int) -> int:
    """Threads that a stage uses; BadInput for settings that are not known."""
    if stage.precision not in Aot.precisions:
        raise BadInput(f"precision {stage.precision!r}", "is not known to aot", "float32 or bfloat16")
    if unknown := sorted(set(stage.options) - {"threads"}):
        raise BadInput(f"aot option {unknown[0]!r}", "is not known", "one of: threads")
    wanted = stage.options.get("threads", threads)
    if not isinstance(wanted, int) or wanted < 1:
        raise BadInput(f"aot threads {wanted!r}", "is not a number of threads", "give 1 or more")
    return min(wanted, threads)
