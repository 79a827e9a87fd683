"""Compiling a network into a folder of the cache, which appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput
from taut.devices.caches import private_cache_bytes
from taut.devices.local import local_device
from taut.graph.ir import Graph, Value
from taut.graph.onnx_export import save_onnx
from taut.graph.onnx_import import load_onnx
from taut.graph.shapes import with_shapes
from taut.kernels.build import build
from taut.kernels.target import target_of
from taut.runtimes.aot.compiled import PROGRAM, Sizes
from taut.runtimes.aot.depth_first import depth_first
from taut.runtimes.aot.lowering import NotLowered
from taut.runtimes.aot.program import Program, emit
from taut.runtimes.aot.segments import HANDED_OVER, Segment, segmented

_READ_BEYOND_BYTES = 64
"""A vector may be read whole where weights end: as many zeros follow them"""


def fixed(graph: Graph, sizes: Sizes) -> Graph:
    """Return the graph with its dynamic inputs of the sizes; BadInput where any is missing or wrong."""
    return with_shapes(graph, {name: tuple(size) for name, size in sizes.items()})


def divided(graph: Graph, precision: str) -> tuple[Segment, ...]:
    """Return a graph's segments; BadInput, naming a node, where none of them can be compiled."""
    try:
        return segmented(graph, precision)
    except NotLowered as error:
        raise BadInput(f"network {graph.name!r} in runtime aot", str(error), "use another runtime") from error


def make(file: Path, precision: str, sizes: Sizes, folder: Path, *, is_timed: bool) -> None:
    """Divide, lower, emit and compile."""
    graph = fixed(load_onnx(file), sizes)
    segments = divided(graph, precision)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        scratch = Path(name) / folder.name
        scratch.mkdir()
        made = {
            "inputs": [_said(value) for value in graph.inputs],
            "outputs": [value.name for value in graph.outputs],
            "segments": [
                _write(segment, scratch, place, is_timed=is_timed) for place, segment in enumerate(segments)
            ],
            "nodes": {node.name: node.op for node in graph},
        }
        (scratch / PROGRAM).write_text(json.dumps(made), encoding="utf-8")
        if not folder.exists():  # another process may have been quicker
            scratch.rename(folder)


def _write(segment: Segment, folder: Path, place: int, *, is_timed: bool) -> dict[str, Any]:
    """Write a segment's files and return what is said of it."""
    graph, program = segment.graph, segment.program
    said = {
        "inputs": [value.name for value in graph.inputs],
        "outputs": [_said(value) for value in graph.outputs],
    }
    if program is not None:
        program = depth_first(program, private_cache_bytes())
        return said | _write_ours(program, folder, place, is_timed=is_timed)
    file = folder / f"{place}.onnx"
    save_onnx(graph, file)
    return said | {
        "runtime": "onnxruntime",
        "file_bytes": file.stat().st_size,
        "arena_bytes": 0,
        "kernels": ["onnxruntime"],
        "precisions": ["float32"],
        "nodes": [[node.name for node in graph]],
    }


def _write_ours(program: Program, folder: Path, place: int, *, is_timed: bool) -> dict[str, Any]:
    target = target_of(local_device())
    emitted = emit(program, target)
    library, weights = folder / f"{place}.so", folder / f"{place}.weights"
    shutil.copyfile(build(emitted.source, target, ("-DTAUT_TIMED",) if is_timed else ()), library)
    weights.write_bytes(emitted.weights + bytes(_READ_BEYOND_BYTES))
    return {
        "runtime": "aot",
        "file_bytes": library.stat().st_size,
        "weights_bytes": weights.stat().st_size,
        "arena_bytes": emitted.arena_bytes,
        "kernels": [step.kernel.name for step in program.steps],
        "precisions": [step.kernel.precision for step in program.steps],
        "nodes": [step.nodes for step in program.steps],
    }


def _said(value: Value) -> dict[str, Any]:
    """A value's type; without a shape where its size depends on data or numpy has no such type."""
    is_fixed = value.is_static and value.dtype in HANDED_OVER
    return {
        "name": value.name,
        "dtype": value.dtype,
        "shape": list(value.static_shape) if is_fixed else None,
    }
