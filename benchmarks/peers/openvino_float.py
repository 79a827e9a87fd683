"""OpenVINO on the file as it is, in float32 or in the precision that it takes by itself (bfloat16 here)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peers.base import Case
from taut.core.runner import RunnerSpec


@dataclass(frozen=True)
class OpenVinoFloat:
    """``compile_model`` for latency; a precision of None is OpenVINO's default on this processor."""

    name: str
    precision: str | None
    packages: tuple[str, ...] = ("openvino",)

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Use the file where it lies."""
        del folder  # nothing is written
        return case.spec("OpenVinoRunner", case.file, precision=self.precision)
