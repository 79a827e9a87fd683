"""``aot``: the whole network as one C file, compiled on the machine that loads it.

The artifact holds the plain ONNX file, which onnxruntime runs where there is no compiler; no machine code and
no source.
What was made of it is found again by the file's content, the compiler, the processor and our own templates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from taut.core.device import Device
from taut.core.errors import BadInput, NotTheProvenPath
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.devices.compiler import compiler, compiler_name
from taut.devices.features import has_bfloat16
from taut.devices.local import local_device
from taut.graph.ir import Graph
from taut.kernels.build import required_compiler
from taut.runtimes import base, get_runtime
from taut.runtimes.aot.buckets import Buckets
from taut.runtimes.aot.compiled import Compiled, Sizes
from taut.runtimes.aot.session import Session
from taut.runtimes.base import NodeTime, Runtime, StageScript

_THREADS, _SHAPES = "threads", "shapes"
"""The options of a stage"""


class Aot:
    """Compiles what has kernels; onnxruntime computes the nodes in between.

    In bfloat16 products are computed, and what they read is stored; sums and all else stay float32. Numbers
    outside a table are brought to its ends, where other runtimes fail.
    """

    name = "aot"
    precisions = ("float32", "bfloat16")

    def version(self) -> str:
        """Ours and the compiler's: another one makes other code, and without one nothing is as proven."""
        return f"{version('taut')} {compiler_name() or 'without a compiler'}"

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """All threads, and one alone, in each precision; nothing where there is no compiler."""
        if device.name != local_device().name or compiler() is None:
            return []
        precisions = self.precisions if has_bfloat16(device) else self.precisions[:1]
        options: list[dict[str, int]] = [{}, *([{"threads": 1}] if threads > 1 else [])]
        return [Stage(self.name, precision, option) for precision in precisions for option in options]

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ONNX once it is known that a part of it can be compiled here."""
        from taut.graph.onnx_export import save_onnx
        from taut.runtimes.aot.making import divided, fixed

        threads_of(stage, 1)
        required_compiler()
        for sizes in sizes_of(stage):
            divided(fixed(graph, sizes), stage.precision)
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> base.Session:
        """Compile the file or find it compiled; without a compiler onnxruntime runs it, with a warning."""
        used = threads_of(stage, threads)
        if compiler() is None:
            _warn(folder / files[0])
            return _onnxruntime().open(folder, files, Stage(), used)
        sessions = list(_sessions(folder / files[0], stage, used, is_timed=False))
        if _SHAPES not in stage.options:
            return sessions[0]
        return Buckets(sessions, lambda: _onnxruntime().open(folder, files, Stage(), used))

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript | None:
        del file, stage, threads, variable
        return None

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each kernel over the items, with a clock read between kernels.

        Of a network compiled for several shapes: over the items of the first shapes that any item has.
        """
        used = threads_of(stage, threads)
        if compiler() is not None:
            for session in _sessions(folder / files[0], stage, used, is_timed=True):
                if alike := [item for item in items if session.takes(item)]:
                    return session.profile(alike)
        return _onnxruntime().profile(folder, files, Stage(), used, items)


def _sessions(file: Path, stage: Stage, threads: int, *, is_timed: bool) -> Iterator[Session]:
    for sizes in sizes_of(stage):
        yield Session(Compiled.of(file, stage.precision, sizes, is_timed=is_timed), threads)


def _onnxruntime() -> Runtime:
    """The next best runtime, which reads the same file."""
    return get_runtime("onnxruntime")


def _warn(file: Path) -> None:
    line = f"{file} runs in onnxruntime, not as it was proven: there is no C compiler (gcc, clang or cc)"
    warnings.warn(line, NotTheProvenPath, stacklevel=3)


def threads_of(stage: Stage, threads: int) -> int:
    """Threads that a stage uses; BadInput for settings that are not known."""
    if stage.precision not in Aot.precisions:
        raise BadInput(f"precision {stage.precision!r}", "is not known to aot", "float32 or bfloat16")
    if unknown := sorted(set(stage.options) - {_THREADS, _SHAPES}):
        raise BadInput(f"aot option {unknown[0]!r}", "is not known", f"one of: {_THREADS}, {_SHAPES}")
    wanted = stage.options.get(_THREADS, threads)
    if not isinstance(wanted, int) or wanted < 1:
        raise BadInput(f"aot threads {wanted!r}", "is not a number of threads", "give 1 or more")
    return min(wanted, threads)


def sizes_of(stage: Stage) -> Sequence[Sizes]:
    """The shapes of inputs that a stage is compiled for, by default those that the graph fixes."""
    wanted = stage.options.get(_SHAPES, [{}])
    if not (isinstance(wanted, list) and wanted and all(_are_sizes(sizes) for sizes in wanted)):
        raise BadInput(
            f"aot shapes {wanted!r}",
            "is not a list of shapes by input",
            'such as [{"image": [1, 3, 64, 64]}]',
        )
    return wanted


def _are_sizes(sizes: Any) -> bool:
    return isinstance(sizes, dict) and all(
        isinstance(shape, list) and all(isinstance(size, int) for size in shape) for shape in sizes.values()
    )
