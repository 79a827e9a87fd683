"""Stock runners: one model file in onnxruntime or OpenVINO, called as their documentation says.

They do nothing that a user's own loop would not do; recurrent state is handed from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from taut.core.quantities import P50, P99, PEAK_MEMORY, Quantity
from taut.core.runner import Item, Sample
from taut.core.task import Arrays

_ENUMS = {"graph_optimization_level": "GraphOptimizationLevel", "execution_mode": "ExecutionMode"}


@dataclass
class State:
    """Recurrent state between the steps of a sequence."""

    feedback: Mapping[str, str]
    zeros: Arrays
    """By input name; what a sequence begins with"""
    now: dict[str, np.ndarray] = field(default_factory=dict)

    def feed(self, item: Item) -> Arrays:
        if not self.feedback:
            return item.inputs
        if item.starts_sequence or not self.now:
            self.now = dict(self.zeros)
        return {**item.inputs, **self.now}

    def keep(self, outputs: Arrays) -> None:
        if self.feedback:
            self.now = {name: outputs[output] for output, name in self.feedback.items()}


@dataclass
class OnnxRuntimeRunner:
    """A file in onnxruntime's CPU provider, with options by its own names."""

    file: str
    threads: int
    outputs: Sequence[str]
    feedback: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    quantities: tuple[Quantity, ...] = (P50, P99, PEAK_MEMORY)

    def open(self) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(
            self.file, self._session_options(), providers=["CPUExecutionProvider"]
        )
        zeros = {
            given.name: np.zeros(given.shape, np.float32)
            for given in self._session.get_inputs()
            if given.name in self.feedback.values()
        }
        self.state = State(self.feedback, zeros)

    def run(self, item: Item) -> Sample:
        results = self._session.run(self.outputs, self.state.feed(item))
        outputs = dict(zip(self.outputs, results, strict=True))
        self.state.keep(outputs)
        return Sample(outputs)

    def close(self) -> None:
        del self._session

    def _session_options(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        for name, value in {"intra_op_num_threads": self.threads, **self.options}.items():
            if "." in name:
                options.add_session_config_entry(name, value)
            else:
                enum = getattr(onnxruntime, _ENUMS[name]) if name in _ENUMS else None
                setattr(options, name, value if enum is None else enum.__members__[value])
        return options


@dataclass
class OpenVinoRunner:
    """A file in OpenVINO's CPU plugin for latency; ``precision`` None leaves it OpenVINO's own choice."""

    file: str
    threads: int
    outputs: Sequence[str]
    feedback: Mapping[str, str] = field(default_factory=dict)
    precision: str | None = None
    quantities: tuple[Quantity, ...] = (P50, P99, PEAK_MEMORY)

    def open(self) -> None:
        import openvino

        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.threads}
        if self.precision is not None:
            properties["INFERENCE_PRECISION_HINT"] = self.precision
        compiled = openvino.Core().compile_model(self.file, "CPU", properties)
        zeros = {name: np.zeros(compiled.input(name).shape, np.float32) for name in self.feedback.values()}
        self.state = State(self.feedback, zeros)
        self._ports = [compiled.output(name) for name in self.outputs]
        self._request = compiled.create_infer_request()

    def run(self, item: Item) -> Sample:
        # Outputs are copied: state that shared their memory would be overwritten while it is read.
        results = self._request.infer(self.state.feed(item), share_inputs=True)
        outputs = {name: results[port] for name, port in zip(self.outputs, self._ports, strict=True)}
        self.state.keep(outputs)
        return Sample(outputs)

    def close(self) -> None:
        del self._request
