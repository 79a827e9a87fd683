"""onnxruntime's dynamic quantization: int8 weights, activations quantized as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxruntime.quantization import quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from peers.base import Case
from taut.core.runner import RunnerSpec


@dataclass(frozen=True)
class OrtDynamicInt8:
    """``quant_pre_process``, then ``quantize_dynamic``."""

    name: str = "ort dynamic int8"
    packages: tuple[str, ...] = ("onnx", "onnxruntime")

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Quantize every operator that the tool knows."""
        ready, target = folder / "ready.onnx", folder / "int8.onnx"
        quant_pre_process(str(case.file), str(ready))
        quantize_dynamic(ready, target)
        return case.spec("OnnxRuntimeRunner", target)
