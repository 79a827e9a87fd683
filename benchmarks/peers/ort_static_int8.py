"""onnxruntime's static quantization with its default placement: QDQ, weights per channel, min-max ranges.

Where that fails or does not load, what the error's reader would do: raise the opset (weights per channel need
13), else take one scale for each weight (per channel fails on grouped transposed convolutions).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from peers.base import Case, first_that_runs
from peers.calibration import calibration_feeds
from taut.core.runner import RunnerSpec
from taut.core.task import Arrays

ATTEMPTS = ((None, True), (13, True), (17, True), (None, False), (17, False))
"""(opset to raise to, scales per channel)"""


@dataclass(frozen=True)
class OrtStaticInt8:
    """``quant_pre_process``, then ``quantize_static``."""

    name: str = "ort static int8"
    packages: tuple[str, ...] = ("onnx", "onnxruntime")

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Make the attempts in order; LineFailed where none runs."""
        feeds = calibration_feeds(case)
        attempts = [partial(_quantized, case, folder, feeds, *attempt) for attempt in ATTEMPTS]
        return first_that_runs(attempts, case)


def _quantized(
    case: Case, folder: Path, feeds: list[Arrays], opset: int | None, is_per_channel: bool
) -> RunnerSpec:
    stem = f"opset-{opset or 'as-it-is'}-{'channel' if is_per_channel else 'tensor'}"
    source, ready, target = (folder / f"{stem}.{kind}.onnx" for kind in ("source", "ready", "int8"))
    model = onnx.load(case.file)
    if opset is not None:
        model = onnx.version_converter.convert_version(model, opset)
    onnx.save(model, source)
    quant_pre_process(str(source), str(ready))
    quantize_static(
        ready, target, _Feeds(iter(feeds)), quant_format=QuantFormat.QDQ, per_channel=is_per_channel
    )
    return case.spec("OnnxRuntimeRunner", target)


@dataclass
class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """onnxruntime's iterator: the next feed, None at the end."""

    feeds: Iterator[Arrays]

    def get_next(self) -> dict | None:
        feed = next(self.feeds, None)
        return None if feed is None else dict(feed)
