"""Eager torch: every node a call from Python. Shown beside other runtimes, never the baseline.

The file is plain ONNX, run through ``taut.graph.to_torch``; bfloat16 is autocast, which computes convolutions
and matrix products in it. Profiling runs each node alone on recorded inputs.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.devices.features import has_bfloat16
from taut.graph.ir import Graph, Node, Value, reads
from taut.graph.onnx_export import save_onnx
from taut.graph.onnx_import import load_onnx
from taut.graph.shapes import with_shapes
from taut.graph.to_torch import to_torch
from taut.graph.torch_ops.tensors import to_array, to_tensor, torch_dtype
from taut.runtimes.base import NodeTime, Placed, does_not_load, does_not_run
from taut.runtimes.coverage import FOLDED
from taut.runtimes.evaluate import Evaluator
from taut.runtimes.inputs import filled
from taut.runtimes.onnxruntime_trace import REFUSALS, RUN_REFUSALS

_AUTOCAST_OPS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_SHAPE_OPS = {"Shape", "Size"}


class TorchEager:
    """Runs ONNX files through torch, node by node."""

    name = "torch"
    precisions = ("float32", "bfloat16")

    def version(self) -> str:
        return str(torch.__version__)

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """The default in each precision that the processor has units for."""
        del threads
        precisions = [name for name in self.precisions if name != "bfloat16" or has_bfloat16(device)]
        return [Stage(self.name, precision) for precision in precisions]

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ``<stem>.onnx``."""
        del stage  # settings count when the file is opened
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> _Session:
        path = folder / files[0]
        try:
            return _Session(with_shapes(load_onnx(path)), stage, threads)
        except (RuntimeError, ValueError, *REFUSALS) as error:
            raise does_not_load(path, stage, error) from error

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> None:
        """Torch alone cannot read ONNX."""
        del file, stage, threads, variable

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each node alone over the items."""
        graph = with_shapes(load_onnx(folder / files[0]))
        return _node_times(graph, stage, threads, items)


class _Session:
    reuses_buffers = False

    def __init__(self, graph: Graph, stage: Stage, threads: int) -> None:
        _check(stage)
        self._graph, self._setting = graph, _Setting(stage, threads)
        self._module = to_torch(graph)
        self._open_opaque_nodes()

    def _open_opaque_nodes(self) -> None:
        """Run once, since nodes that onnxruntime runs are opened, or refused, at their first run.

        Made-up inputs may be illegal, which says nothing about the network.
        """
        if self._module.opaque:
            with contextlib.suppress(BadInput):
                self.run(filled(self._graph.inputs, 1))

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        tensors = [to_tensor(inputs[value.name]) for value in self._graph.inputs]
        try:
            with self._setting.applied():
                results = self._module(*tensors)
        except (RuntimeError, IndexError, *RUN_REFUSALS) as error:
            raise does_not_run("torch", error) from error
        return {
            value.name: to_array(result.to(torch_dtype(value.dtype)))
            for value, result in zip(self._graph.outputs, results, strict=True)
        }

    def placement(self) -> Sequence[Placed]:
        """Nodes that depend on no input are computed beforehand; opaque ones run in onnxruntime."""
        running = {node.name for node in _running(self._graph)}
        return [self._placed(node, node.name in running) for node in self._graph]

    def _placed(self, node: Node, is_running: bool) -> Placed:
        if not is_running:
            return Placed(node.name, FOLDED, "", node.op)
        where = "onnxruntime" if node.name in self._module.opaque else "torch"
        return Placed(node.name, where, _precision(self._graph, node, self._setting.stage), node.op)

    def close(self) -> None:
        del self._module


def _check(stage: Stage) -> None:
    if stage.precision not in TorchEager.precisions:
        legal = ", ".join(TorchEager.precisions)
        raise BadInput(
            f"precision {stage.precision!r}", "eager torch does not compute in it", f"one of: {legal}"
        )
    if stage.options:
        raise BadInput(f"torch options {sorted(stage.options)}", "are not known", "eager torch has none")


@dataclass(frozen=True)
class _Setting:
    """What torch keeps for the whole process and a stage wants for one run."""

    stage: Stage
    threads: int

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Set threads and autocast; the number of threads is put back."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        is_bfloat16 = self.stage.precision == "bfloat16"
        try:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
                yield
        finally:
            torch.set_num_threads(before)


def _precision(graph: Graph, node: Node, stage: Stage) -> str:
    if node.op in _AUTOCAST_OPS and stage.precision == "bfloat16":
        return "bfloat16"
    value = graph.value(node.outputs[0])
    return value.dtype if value is not None else ""


def _moving(graph: Graph) -> set[str]:
    """Values that depend on the contents of an input; shapes do not, since they are fixed."""
    moving = {value.name for value in graph.inputs}
    for node in graph:
        if node.op not in _SHAPE_OPS and not moving.isdisjoint(reads(node)):
            moving.update(node.outputs)
    return moving


def _running(graph: Graph) -> list[Node]:
    moving = _moving(graph)
    return [node for node in graph if moving.intersection(node.outputs)]


def _node_times(graph: Graph, stage: Stage, threads: int, items: Sequence[Arrays]) -> list[NodeTime]:
    values = [{**graph.constants, **recorded} for recorded in _recorded(graph, threads, items)]
    times = []
    for node in _running(graph):
        latencies_ms = _times_alone(graph, node, values, _Setting(stage, threads))
        latency_ms, runs = statistics.median(latencies_ms), len(latencies_ms)
        kernel = f"{node.op} {node.name}"
        times.append(NodeTime(kernel, (node.name,), latency_ms, runs, _precision(graph, node, stage)))
    return times


def _recorded(graph: Graph, threads: int, items: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
    """Every value of the graph for every item."""
    made = [name for node in graph for name in node.outputs if name]
    evaluator = Evaluator(graph, [*(value.name for value in graph.inputs), *made], threads)
    return [evaluator.run(item) for item in items]


def _times_alone(
    graph: Graph, node: Node, values: Sequence[Mapping[str, np.ndarray]], setting: _Setting
) -> list[float]:
    """Milliseconds that the node takes on each item's values, after one run to warm up."""
    moving = _moving(graph)
    inputs = sorted(name for name in reads(node) if name in moving)
    module = to_torch(_single(graph, node, inputs, values[0]))
    feeds = [[to_tensor(known[name]) for name in inputs] for known in values]
    latencies_ms = []
    with setting.applied():
        module(*feeds[0])
        for feed in feeds:
            begin = time.perf_counter_ns()
            module(*feed)
            latencies_ms.append((time.perf_counter_ns() - begin) / 1e6)
    return latencies_ms


def _single(graph: Graph, node: Node, inputs: Sequence[str], known: Mapping[str, np.ndarray]) -> Graph:
    """The node as a graph of its own, what does not depend on the inputs as constants."""
    fixed = {name: known[name] for name in reads(node) if name not in inputs}
    return replace(
        graph,
        nodes=(node,),
        inputs=tuple(_value(name, known[name]) for name in inputs),
        outputs=tuple(_value(name, known[name]) for name in node.outputs if name),
        constants=fixed,
        values={},
    )


def _value(name: str, array: np.ndarray) -> Value:
    return Value(name, str(array.dtype), array.shape)
