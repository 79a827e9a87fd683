"""onnxruntime on the file as it is: the original, with default options at the threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peers.base import Case
from taut.core.runner import RunnerSpec


@dataclass(frozen=True)
class OrtFp32:
    """The line that the others are compared with."""

    name: str = "ort fp32"
    packages: tuple[str, ...] = ("onnxruntime",)

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Use the file where it lies."""
        del folder  # nothing is written
        return case.spec("OnnxRuntimeRunner", case.file)
