"""Where onnxruntime ran each node and how long it took, from its profiler.

The profiler names kernels of the optimised graph; that graph, saved beside the trace, says which values each
kernel makes, and so which nodes of the file it stands for. Both need a session of their own that runs at
least once, so neither is ever part of a timing.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from taut.core.task import Arrays
from taut.graph.ir import Graph, Node
from taut.graph.onnx_import import load_onnx
from taut.runtimes.base import NodeTime, Placed
from taut.runtimes.coverage import FOLDED, Coverage, Kernel
from taut.runtimes.inputs import filled

_KERNEL_SUFFIX = "_kernel_time"
_BLOCKED_SUFFIX = "_nchwc"  # onnxruntime names a blocked-layout kernel after the value it makes
_WEIGHTS_ENTRY = "session.optimized_model_external_initializers_file_name"  # keeps the graph quick to read
_INTEGER_OPS = ("QLinear", "Integer", "QAttention", "QGemm", "DynamicQuantizeMatMul")
_DTYPES = {"float": "float32", "double": "float64", "uint8": "int8"}
_OPTIMISED = "optimised.onnx"

NOT_RUN = "not run"
"""Where a node ran whose kernel was not reached"""

# What onnxruntime raises has no common base: first for inputs that it cannot run, then for a graph as well.
RUN_REFUSALS = (state.InvalidArgument, state.RuntimeException)
REFUSALS = (*RUN_REFUSALS, state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


def place(path: Path, options: onnxruntime.SessionOptions) -> list[Placed]:
    """Return where every node of the file ran, from one run on ones.

    Ones are legal where zeros are not, as divisors and lengths. Where even they are not, the kernels behind
    the one that failed are reported as not run.
    """
    graph = load_onnx(path)
    with _traced(path, options) as trace:
        with contextlib.suppress(*REFUSALS):
            trace.session.run(None, filled(graph.inputs, 1))
        return _places(graph, trace)


def time_kernels(path: Path, options: onnxruntime.SessionOptions, items: Sequence[Arrays]) -> list[NodeTime]:
    """Return the median time of each kernel over the items; the first item is run once more to warm up."""
    with _traced(path, options) as trace:
        for item in (items[0], *items):
            trace.session.run(None, item)
        kernels = trace.kernels()
        nodes = Coverage(load_onnx(path).nodes, kernels).nodes
        return [
            NodeTime(
                f"{timed.op} {timed.name}",
                nodes(timed.name),
                statistics.median(timed.latencies_ms[1:]),
                len(timed.latencies_ms) - 1,
                timed.precision,
            )
            for timed in trace.timed({kernel.name for kernel in kernels})
        ]


@dataclass(frozen=True)
class _Timed:
    """One executed kernel, with its time in each run."""

    name: str
    op: str
    provider: str
    precision: str
    latencies_ms: tuple[float, ...]


@dataclass(frozen=True)
class _Trace:
    """A session under the profiler, and the folder that gets what it tells."""

    session: onnxruntime.InferenceSession
    folder: Path

    def kernels(self) -> list[Kernel]:
        """Kernels of the optimised graph, in its order."""
        graph = onnx.load(self.folder / _OPTIMISED, load_external_data=False).graph
        return _fused(graph.node)

    def timed(self, names: set[str]) -> list[_Timed]:
        """End profiling; return the named kernels that ran, in the order of execution."""
        runs: dict[str, list[dict[str, Any]]] = {}
        for event in json.loads(Path(self.session.end_profiling()).read_text()):
            name = event["name"].removesuffix(_KERNEL_SUFFIX)
            # Kernels inside a loop or a branch count with the operator that holds them.
            if event["cat"] == "Node" and event["name"].endswith(_KERNEL_SUFFIX) and name in names:
                runs.setdefault(name, []).append(event)
        return [_timed(name, group) for name, group in runs.items()]


@contextlib.contextmanager
def _traced(path: Path, options: onnxruntime.SessionOptions) -> Iterator[_Trace]:
    """Open a session that is profiled; the options are changed and not to be used again."""
    with tempfile.TemporaryDirectory(prefix="taut-trace-") as name:
        folder = Path(name)
        options.optimized_model_filepath = str(folder / _OPTIMISED)
        options.add_session_config_entry(_WEIGHTS_ENTRY, "weights.bin")
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        yield _Trace(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), folder)


def _places(graph: Graph, trace: _Trace) -> list[Placed]:
    kernels = trace.kernels()
    owner = Coverage(graph.nodes, kernels).owner
    ran = {timed.name: timed for timed in trace.timed({kernel.name for kernel in kernels})}
    return [_placed(node, owner.get(node.name), ran) for node in graph]


def _placed(node: Node, kernel: str | None, ran: Mapping[str, _Timed]) -> Placed:
    if kernel is None:
        return Placed(node.name, FOLDED, "", node.op)
    if kernel not in ran:
        return Placed(node.name, NOT_RUN, "", node.op)
    return Placed(node.name, ran[kernel].provider, ran[kernel].precision, node.op)


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


def _timed(name: str, events: Sequence[dict[str, Any]]) -> _Timed:
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
