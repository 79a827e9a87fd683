"""OpenVINO on the processor: one float precision for a stage, float32 or bfloat16; int8 is in the graph.

The file is plain ONNX and is compiled whenever it is opened; compiled blobs are machine code and never kept.
Options carry OpenVINO's property names. Its own default precision follows the processor, so it is always set;
without options a stage runs for latency, in one stream, with the threads of the budget.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.devices.features import has_bfloat16
from taut.graph.ir import Graph
from taut.graph.onnx_export import save_onnx
from taut.graph.onnx_import import load_onnx
from taut.runtimes.base import NodeTime, Placed, StageScript, does_not_load, does_not_run
from taut.runtimes.openvino_kernels import coverage, executed, place

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_OPTIONS = (
    "INFERENCE_NUM_THREADS",
    "ENABLE_HYPER_THREADING",
    "ENABLE_CPU_PINNING",
    "SCHEDULING_CORE_TYPE",
    "CPU_DENORMALS_OPTIMIZATION",
    "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE",
    "TBB_PARTITIONER",
)


class OpenVino:
    """Runs ONNX files through OpenVINO's CPU plugin."""

    name = "openvino"
    precisions = ("float32", "bfloat16")

    def version(self) -> str:
        return str(openvino.__version__)

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """The default in each precision that the processor has units for, then threads and their binding."""
        settings: list[dict[str, Any]] = [{}, {"ENABLE_CPU_PINNING": False}]
        if threads > 1:
            settings += [{"INFERENCE_NUM_THREADS": 1}, {"TBB_PARTITIONER": "STATIC"}]
        precisions = [name for name in self.precisions if name != "bfloat16" or has_bfloat16(device)]
        return [Stage(self.name, precision, options) for options in settings for precision in precisions]

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ``<stem>.onnx``; it is compiled when it is opened."""
        del stage  # settings count when the file is opened
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> _Session:
        return _Session(folder / files[0], stage, _properties(stage, threads))

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript:
        """Return the line that compiles the file with the same properties through OpenVINO alone."""
        properties = _properties(stage, threads)
        line = f'{variable} = openvino.Core().compile_model(folder / {file!r}, "CPU", {properties})'
        return StageScript("openvino", (line,), f"{variable}(feed).values()")

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each kernel over the items, by OpenVINO's performance counters."""
        properties = _properties(stage, threads) | {"PERF_COUNT": True}
        session = _Session(folder / files[0], stage, properties)
        try:
            return session.kernel_times(items)
        finally:
            session.close()


class _Session:
    reuses_buffers = True

    def __init__(self, path: Path, stage: Stage, properties: Mapping[str, Any]) -> None:
        self._path = path
        try:
            self._compiled = _core().compile_model(str(path), "CPU", dict(properties))
        except RuntimeError as error:
            raise does_not_load(path, stage, error) from error
        _refuse_other_precision(self._compiled, path, stage)
        self._request = self._compiled.create_infer_request()
        self._outputs = [output.get_any_name() for output in self._compiled.outputs]

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        try:
            results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise does_not_run("openvino", error) from error
        return dict(zip(self._outputs, results.values(), strict=True))

    def placement(self) -> Sequence[Placed]:
        return place(load_onnx(self._path), self._compiled)

    def kernel_times(self, items: Sequence[Arrays]) -> list[NodeTime]:
        """Run the items, the first once more to warm up; the model was compiled with counters."""
        self.run(items[0])
        latencies_ms: dict[str, list[float]] = {}
        for item in items:
            self.run(item)
            for counter in self._request.get_profiling_info():
                latency_ms = counter.real_time.total_seconds() * 1e3
                latencies_ms.setdefault(counter.node_name, []).append(latency_ms)
        kernels = executed(self._compiled)
        nodes = coverage(load_onnx(self._path), kernels).nodes
        return [
            NodeTime(
                f"{kernel.layer} {name}",
                nodes(name),
                statistics.median(times),
                len(times),
                kernel.precision,
            )
            for name, times in latencies_ms.items()
            if (kernel := kernels.get(name)) is not None
        ]

    def close(self) -> None:
        del self._request, self._compiled


def _refuse_other_precision(compiled: openvino.CompiledModel, path: Path, stage: Stage) -> None:
    got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if got != _HINTS[stage.precision]:
        rule = f"computes in {got} on this processor instead of {stage.precision}"
        raise BadInput(f"{path} in openvino", rule, "make the artifact with precision float32")


@cache
def _core() -> openvino.Core:
    return openvino.Core()


def _properties(stage: Stage, threads: int) -> dict[str, Any]:
    """Return OpenVINO's properties for a stage; BadInput for what it does not know or may not take."""
    if stage.precision not in _HINTS:
        legal = ", ".join(_HINTS)
        raise BadInput(
            f"precision {stage.precision!r}", "openvino does not compute in it", f"one of: {legal}"
        )
    unknown = sorted(set(stage.options) - set(_OPTIONS))
    if unknown:
        raise BadInput(f"openvino option {unknown[0]!r}", "is not known", f"one of: {', '.join(_OPTIONS)}")
    taken = stage.options.get("INFERENCE_NUM_THREADS", threads)
    if not 1 <= taken <= threads:
        rule = f"is outside 1 to the {threads} threads allowed"
        raise BadInput(f"openvino option INFERENCE_NUM_THREADS={taken}", rule, "lower it or raise --threads")
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _HINTS[stage.precision],
        **stage.options,
    }
