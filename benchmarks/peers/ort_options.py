"""onnxruntime with its best session options: those that tuning guides name, raced, the fastest taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peers.base import Case, LineFailed
from taut.core.measurement import Measurement
from taut.core.runner import RunnerSpec, Workload
from taut.measure import RaceSettings, race

RACED_ITEMS = 16


@dataclass(frozen=True)
class OrtOptions:
    """The winner of a small sweep; each setting alone, as one would try them by hand."""

    name: str = "ort best options"
    packages: tuple[str, ...] = ("onnxruntime",)

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Race the settings on the select split and return the fastest."""
        del folder  # settings are no file
        specs = {
            " ".join(f"{key}={value}" for key, value in options.items()) or "default": case.spec(
                "OnnxRuntimeRunner", case.file, options=options
            )
            for options in sweep(case.threads)
        }
        settings = RaceSettings(at_once=len(specs), limits=case.limits)
        timed = race(specs, Workload("sweep", case.select_items(RACED_ITEMS)), settings)
        p50_ms = {
            name: float(np.median(one.latency_ms))
            for name, one in timed.items()
            if isinstance(one, Measurement)
        }
        if not p50_ms:
            raise LineFailed("no setting runs")
        return specs[min(p50_ms, key=lambda name: p50_ms[name])]


def sweep(threads: int) -> list[Mapping[str, object]]:
    """Return the settings by onnxruntime's names, its default first."""
    settings: list[Mapping[str, object]] = [
        {},
        {"graph_optimization_level": "ORT_ENABLE_EXTENDED"},
        {"enable_cpu_mem_arena": False},
        {"session.set_denormal_as_zero": "1"},
        {"session.intra_op.allow_spinning": "0"},
    ]
    if threads > 1:
        parallel = {"execution_mode": "ORT_PARALLEL", "intra_op_num_threads": 1}
        settings += [{"intra_op_num_threads": 1}, {**parallel, "inter_op_num_threads": threads}]
    return settings
