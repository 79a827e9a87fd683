"""Networks compiled on this machine: kept in the user's cache, found again by what they were made of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from taut.core.errors import BadInput
from taut.devices.local import local_device
from taut.graph.ir import Graph
from taut.kernels.build import build, cache_folder, digest_of
from taut.kernels.target import target_of
from taut.runtimes.aot.library import aligned
from taut.runtimes.aot.lowering import NotLowered
from taut.runtimes.aot.program import Program, emit

_MANIFEST, _WEIGHTS = "program.json", "weights.bin"


@dataclass(frozen=True)
class Output:
    """An output as the program writes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CompiledStep:
    """A kernel, and the nodes that it computes."""

    kernel: str
    precision: str
    """Of its products"""
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Compiled:
    """A network compiled on this machine."""

    library: Path
    weights: np.ndarray
    arena_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    steps: tuple[CompiledStep, ...]
    nodes: tuple[tuple[str, str], ...]
    """Name and operator of every node of the file"""

    @staticmethod
    def of(file: Path, precision: str, *, is_timed: bool = False) -> Compiled:
        """Compile a file, or find what was compiled of it before."""
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        folder = cache_folder() / digest_of(
            content, precision, _templates_digest(), "timed" if is_timed else ""
        )
        if not (folder / _MANIFEST).exists():
            _make(file, precision, folder, is_timed=is_timed)
        made = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        weights = aligned(made["weights_bytes"])
        weights[:] = np.fromfile(folder / _WEIGHTS, np.uint8)
        return Compiled(
            library=Path(made["library"]),
            weights=weights,
            arena_bytes=made["arena_bytes"],
            inputs=tuple(made["inputs"]),
            outputs=tuple(Output(name, dtype, tuple(shape)) for name, dtype, shape in made["outputs"]),
            steps=tuple(CompiledStep(kernel, used, tuple(nodes)) for kernel, used, nodes in made["steps"]),
            nodes=tuple((name, op) for name, op in made["nodes"]),
        )


def _make(file: Path, precision: str, folder: Path, *, is_timed: bool) -> None:
    """Lower, emit and compile; the manifest is written last, so that it is there only with all the rest."""
    from taut.graph.onnx_import import load_onnx

    graph = load_onnx(file)
    program = lowered(graph, precision)
    target = target_of(local_device())
    emitted = emit(program, target)
    library = build(emitted.source, target, ("-DTAUT_TIMED",) if is_timed else ())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WEIGHTS).write_bytes(emitted.weights)
    made = {
        "library": str(library),
        "weights_bytes": len(emitted.weights),
        "arena_bytes": emitted.arena_bytes,
        "inputs": [buffer.name for buffer in program.inputs],
        "outputs": [
            (buffer.name, buffer.dtype, shape)
            for buffer, shape in zip(program.outputs, program.output_shapes, strict=True)
        ],
        "steps": [(step.kernel.name, step.kernel.precision, step.nodes) for step in program.steps],
        "nodes": [(node.name, node.op) for node in graph],
    }
    unfinished = folder / f".{_MANIFEST}"
    unfinished.write_text(json.dumps(made), encoding="utf-8")
    unfinished.replace(folder / _MANIFEST)


def lowered(graph: Graph, precision: str) -> Program:
    """Return a graph's program; BadInput names a node that cannot be compiled."""
    from taut.runtimes.aot.lower import lower

    try:
        return lower(graph, precision)
    except NotLowered as error:
        raise BadInput(f"network {graph.name!r} in runtime aot", str(error), "use another runtime") from error


@cache
def _templates_digest() -> str:
    """Hash of our own code that decides what is emitted."""
    folders = (Path(__file__).parent, Path(__file__).parent.parent.parent / "kernels")
    sha = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".h")):
            sha.update(path.read_bytes())
    return sha.hexdigest()
