"""onnxruntime on the processor: the default runtime, and the original's.

Options carry onnxruntime's own names: attributes of ``SessionOptions``, and session configuration entries
(the names with a dot). Without options a session is onnxruntime's default, with as many threads as the
budget allows. What is not listed here is refused, because onnxruntime ignores an entry it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from taut.core.device import Device
from taut.core.errors import BadInput
from taut.core.network import Stage
from taut.core.task import Arrays
from taut.graph.ir import Graph
from taut.graph.onnx_export import save_onnx
from taut.runtimes.base import NodeTime, Placed, StageScript, does_not_load, does_not_run
from taut.runtimes.onnxruntime_trace import REFUSALS, place, time_kernels

_ENUMS = {
    "graph_optimization_level": onnxruntime.GraphOptimizationLevel,
    "execution_mode": onnxruntime.ExecutionMode,
}
_SWITCHES = ("enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse")
_THREADS = ("intra_op_num_threads", "inter_op_num_threads")
_CONFIG_ENTRIES = (
    "session.intra_op.allow_spinning",
    "session.inter_op.allow_spinning",
    "session.set_denormal_as_zero",
    "session.disable_prepacking",
    "session.dynamic_block_base",
    "session.qdqisint8allowed",
    "session.disable_quant_qdq",
    "session.enable_quant_qdq_cleanup",
    "session.x64quantprecision",
    "optimization.enable_gelu_approximation",
    "mlas.enable_gemm_fastmath_arm64_bfloat16",
)
_FATAL_ONLY = 4
"""Level of the log: an error that onnxruntime would print it also raises"""


class OnnxRuntime:
    """Runs ONNX files through onnxruntime's CPU provider."""

    name = "onnxruntime"
    precisions = ("float32",)

    def version(self) -> str:
        return str(onnxruntime.__version__)

    def variants(self, device: Device, threads: int) -> Sequence[Stage]:
        """The default, then what has been worth up to twofold on small or thread-shy networks."""
        settings: list[dict[str, Any]] = [{}]
        if threads > 1:
            settings += [
                {"intra_op_num_threads": 1},
                {"session.intra_op.allow_spinning": "0"},
                {"execution_mode": "ORT_PARALLEL", "intra_op_num_threads": 1},
            ]
        settings += [
            {"graph_optimization_level": "ORT_ENABLE_EXTENDED"},
            {"enable_cpu_mem_arena": False},
            {"session.set_denormal_as_zero": "1"},
        ]
        if {"bf16", "asimd"} <= set(device.features):
            settings.append({"mlas.enable_gemm_fastmath_arm64_bfloat16": "1"})
        return [Stage(self.name, "float32", options) for options in settings]

    def save(self, graph: Graph, stage: Stage, folder: Path, stem: str) -> list[str]:
        """Write the graph as ``<stem>.onnx``; optimisation happens when it is opened."""
        del stage  # settings count when the file is opened
        save_onnx(graph, folder / f"{stem}.onnx")
        return [f"{stem}.onnx"]

    def open(self, folder: Path, files: Sequence[str], stage: Stage, threads: int) -> _Session:
        return _Session(folder / files[0], stage, threads)

    def script(self, file: str, stage: Stage, threads: int, variable: str) -> StageScript:
        """Return the lines that set the same options through onnxruntime alone."""
        settings = {**stage.options, **_pools(stage.options, threads)}
        provider = 'providers=["CPUExecutionProvider"]'
        lines = (
            "options = onnxruntime.SessionOptions()",
            *(_script_line(key, value) for key, value in settings.items()),
            f"{variable} = onnxruntime.InferenceSession(folder / {file!r}, options, {provider})",
        )
        return StageScript("onnxruntime", lines, f"{variable}.run(None, feed)")

    def profile(
        self, folder: Path, files: Sequence[str], stage: Stage, threads: int, items: Sequence[Arrays]
    ) -> Sequence[NodeTime]:
        """Median time of each kernel over the items, by onnxruntime's own profiler."""
        return time_kernels(folder / files[0], session_options(stage, threads), items)


class _Session:
    reuses_buffers = False

    def __init__(self, path: Path, stage: Stage, threads: int) -> None:
        self._path, self._stage, self._threads = path, stage, threads
        self._session = open_session(path, stage, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        except REFUSALS as error:
            raise does_not_run("onnxruntime", error) from error

    def placement(self) -> Sequence[Placed]:
        return place(self._path, session_options(self._stage, self._threads))

    def close(self) -> None:
        del self._session


def open_session(path: Path, stage: Stage, threads: int) -> onnxruntime.InferenceSession:
    """Load a file; BadInput where onnxruntime refuses it or the stage's settings."""
    options = session_options(stage, threads)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except REFUSALS as error:
        raise does_not_load(path, stage, error) from error


def session_options(stage: Stage, threads: int) -> onnxruntime.SessionOptions:
    """Build onnxruntime's options for a stage; BadInput for what it cannot do within the threads."""
    if stage.precision not in OnnxRuntime.precisions:
        raise BadInput(f"precision {stage.precision!r}", "onnxruntime computes in float32", "use openvino")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    for key, value in {**stage.options, **_pools(stage.options, threads)}.items():
        _refuse_unknown(key, value)
        if key in _CONFIG_ENTRIES:
            options.add_session_config_entry(key, str(value))
        else:
            setattr(options, key, _ENUMS[key].__members__[value] if key in _ENUMS else value)
    return options


def _pools(given: Mapping[str, Any], threads: int) -> dict[str, int]:
    """Sizes of both pools, such that at most ``threads`` threads are at work together."""
    is_parallel = given.get("execution_mode") == "ORT_PARALLEL"
    intra = given.get("intra_op_num_threads", threads)
    inter = given.get("inter_op_num_threads", threads - intra + 1) if is_parallel else 1
    if not (intra >= 1 and inter >= 1 and intra + inter - 1 <= threads):
        raise BadInput(
            f"onnxruntime threads {intra} within and {inter} across operators",
            f"take more than the {threads} allowed",
            "lower them or raise --threads",
        )
    return {"intra_op_num_threads": intra} | ({"inter_op_num_threads": inter} if is_parallel else {})


def _refuse_unknown(key: str, value: Any) -> None:
    known = (*_ENUMS, *_SWITCHES, *_THREADS, *_CONFIG_ENTRIES)
    if key not in known:
        raise BadInput(f"onnxruntime option {key!r}", "is not known", f"one of: {', '.join(known)}")
    if key in _ENUMS and value not in _ENUMS[key].__members__:
        members = ", ".join(_ENUMS[key].__members__)
        raise BadInput(f"onnxruntime option {key}={value!r}", "is not known", f"one of: {members}")


def _script_line(key: str, value: Any) -> str:
    if key in _CONFIG_ENTRIES:
        return f"options.add_session_config_entry({key!r}, {str(value)!r})"
    text = f"onnxruntime.{_ENUMS[key].__name__}.{value}" if key in _ENUMS else repr(value)
    return f"options.{key} = {text}"
