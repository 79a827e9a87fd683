"""Where onnxruntime ran each node and how long it took, from its profiler.

The profiler names kernels of the optimised graph; that graph, saved beside the trace, says which values each
kernel makes, and so which nodes of the file it stands for. Both need a session of their own that runs at
least once, so neither is ever part of a timing.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from taut.core.task import Arrays
from taut.graph.ir import Node
from taut.graph.onnx_import import load_onnx
from taut.runtimes.base import NodeTime, Placed
from taut.runtimes.coverage import FOLDED, Coverage, Kernel
from taut.runtimes.inputs import zeros

_KERNEL_SUFFIX = "_kernel_time"
_BLOCKED_SUFFIX = "_nchwc"  # onnxruntime names a blocked-layout kernel after the value it makes
_WEIGHTS_ENTRY = "session.optimized_model_external_initializers_file_name"  # keeps the graph quick to read
_INTEGER_OPS = ("QLinear", "Integer", "QAttention", "QGemm", "DynamicQuantizeMatMul")
_DTYPES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True)
class _Timed:
    """One executed kernel of a trace, with its time in each run."""

    name: str
    op: str
    provider: str
    precision: str
    latencies_ms: tuple[float, ...]


def place(path: Path, options: onnxruntime.SessionOptions) -> list[Placed]:
    """Return where every node of the file ran, from one run on zeros."""
    graph = load_onnx(path)
    kernels, coverage = _trace(path, options, [zeros(graph.inputs)], graph.nodes)
    by_name = {kernel.name: kernel for kernel in kernels}
    return [_placed(node, by_name.get(coverage.owner.get(node.name, ""))) for node in graph.nodes]


def _placed(node: Node, kernel: _Timed | None) -> Placed:
    if kernel is None:
        return Placed(node.name, FOLDED, "", node.op)
    return Placed(node.name, kernel.provider, kernel.precision, node.op)


def time_kernels(path: Path, options: onnxruntime.SessionOptions, items: Sequence[Arrays]) -> list[NodeTime]:
    """Return the median time of each kernel over the items; the first item is run once more to warm up."""
    kernels, coverage = _trace(path, options, [items[0], *items], load_onnx(path).nodes)
    return [
        NodeTime(
            f"{kernel.op} {kernel.name}",
            coverage.nodes(kernel.name),
            statistics.median(kernel.latencies_ms[1:]),
            kernel.precision,
        )
        for kernel in kernels
    ]


def _trace(
    path: Path, options: onnxruntime.SessionOptions, items: Sequence[Arrays], nodes: Sequence[Node]
) -> tuple[list[_Timed], Coverage]:
    """Run the items under the profiler; return the kernels and the nodes that they cover."""
    with tempfile.TemporaryDirectory(prefix="taut-trace-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        options.add_session_config_entry(_WEIGHTS_ENTRY, "weights.bin")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for item in items:
            session.run(None, item)
        events = json.loads(Path(session.end_profiling()).read_text())
        graph = onnx.load(optimised, load_external_data=False).graph
    return _kernels(events), Coverage(nodes, _fused(graph.node))


def _fused(kernels: Sequence[onnx.NodeProto]) -> list[Kernel]:
    readers: dict[str, list[str]] = {}
    for kernel in kernels:
        for value in kernel.input:
            readers.setdefault(value, []).append(kernel.name)
    return [
        Kernel(
            kernel.name,
            (kernel.name, kernel.name.removesuffix(_BLOCKED_SUFFIX), *kernel.output),
            tuple(reader for value in kernel.output for reader in readers.get(value, ())),
        )
        for kernel in kernels
    ]


def _kernels(events: Sequence[dict[str, Any]]) -> list[_Timed]:
    """Group kernel events by name, in the order of execution."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_KERNEL_SUFFIX):
            runs.setdefault(event["name"].removesuffix(_KERNEL_SUFFIX), []).append(event)
    return [_kernel(name, group) for name, group in runs.items()]


def _kernel(name: str, events: Sequence[dict[str, Any]]) -> _Timed:
    arguments = events[0]["args"]
    return _Timed(
        name,
        arguments["op_name"],
        arguments["provider"],
        _precision(arguments),
        tuple(event["dur"] / 1000 for event in events),  # the profiler counts microseconds
    )


def _precision(arguments: dict[str, Any]) -> str:
    """Arithmetic of a kernel: integer by its operator, else the type of its first output."""
    if any(word in arguments["op_name"] for word in _INTEGER_OPS):
        return "int8"
    outputs = arguments["output_type_shape"]
    dtype = next(iter(outputs[0]), "") if outputs else ""
    return _DTYPES.get(dtype, dtype)
