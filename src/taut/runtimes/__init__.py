"""Ways to run a graph: one file per runtime, opened from saved files alone.

Importing this package imports no runtime; ``get_runtime`` does.
"""

from __future__ import annotations

from taut.core.registry import Registry
from taut.runtimes.base import Runtime

RUNTIMES = Registry("runtime")
RUNTIMES.register("onnxruntime", "taut.runtimes.onnxruntime_cpu:OnnxRuntime")
RUNTIMES.register("openvino", "taut.runtimes.openvino_cpu:OpenVino", extra="openvino")
RUNTIMES.register("aot", "taut.runtimes.aot.runtime:Aot")
RUNTIMES.register("torch", "taut.runtimes.torch_eager:TorchEager", extra="train")


def get_runtime(name: str) -> Runtime:
    """Return the runtime of that name; BadInput where it is unknown or not installed."""
    runtime: Runtime = RUNTIMES.load(name)()
    return runtime


__all__ = ["RUNTIMES", "Runtime", "get_runtime"]
