"""NNCF's post-training quantization of the OpenVINO model, default preset.

A transformer is declared as one, as NNCF's documentation asks. What stays float runs in the given precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peers.base import CALIBRATION_SAMPLES, Case
from peers.calibration import calibration_feeds
from taut.core.runner import RunnerSpec


@dataclass(frozen=True)
class NncfInt8:
    """``nncf.quantize``, saved and compiled for latency."""

    name: str
    precision: str | None
    packages: tuple[str, ...] = ("nncf", "openvino")

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Quantize and save the model's two files."""
        import nncf
        import openvino

        feeds = [dict(feed) for feed in calibration_feeds(case)]
        quantized = nncf.quantize(
            openvino.Core().read_model(case.file),
            nncf.Dataset(feeds),
            subset_size=CALIBRATION_SAMPLES,
            model_type=nncf.ModelType.TRANSFORMER if case.is_transformer else None,
        )
        openvino.save_model(quantized, folder / "model.xml", compress_to_fp16=False)
        return case.spec("OpenVinoRunner", folder / "model.xml", precision=self.precision)
