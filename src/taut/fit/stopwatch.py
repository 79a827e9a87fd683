"""Costs of an artifact, always timed in turns with the original; and its outputs, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from taut.core.errors import EnvironmentFailed
from taut.core.figures import Measured
from taut.core.measurement import Measurement, Proof
from taut.core.move import Progress, no_progress
from taut.core.runner import Item, RunnerSpec, Workload
from taut.core.task import Arrays
from taut.measure import Limits, ProofSettings, RaceFailure, RaceSettings, outputs, p50, p99, prove, race
from taut.measure.race import ratio_to_original
from taut.runtimes.artifact import artifact_spec, file_bytes

ORIGINAL, CANDIDATE = "original", "candidate"
WARM_S = 0.3
"""Warm-up is short where no claim rests on it"""
JUDGED_S, JUDGED_SITTINGS = 1.5, 3
RANKED_S, RANKED_SITTINGS = 0.4, 1
FINAL_S, FINAL_SITTINGS = 3.0, 5
"""Timed seconds of each runner and processes they are spread over: to judge, to rank, to choose the best"""


@dataclass(frozen=True)
class Stopwatch:
    """Times artifacts against the original's on the same items and cores."""

    original: Path
    items: Sequence[Item]
    limits: Limits

    @property
    def workload(self) -> Workload:
        return Workload("select", self.items)

    def spec(self, folder: Path) -> RunnerSpec:
        return artifact_spec(folder, self.limits.threads)

    def costs(self, folder: Path) -> dict[str, Measured]:
        """p50, p99, memory, file, and ``ratio`` to the original; EnvironmentFailed if it does not run."""
        timed = self._race({CANDIDATE: folder}, JUDGED_S, JUDGED_SITTINGS)[CANDIDATE]
        if isinstance(timed, RaceFailure):
            raise EnvironmentFailed(folder.name, f"does not run: {timed.error}", "see the trial's plan")
        return costs_of(timed, folder)

    def ratios(
        self, folders: Mapping[str, Path], seconds_each: float = RANKED_S, sittings: int = RANKED_SITTINGS
    ) -> dict[str, float]:
        """Quick ratios to the original by name; what does not run is left out."""
        timed = self._race(folders, seconds_each, sittings)
        return {
            name: ratio_to_original(one)
            for name, one in timed.items()
            if name != ORIGINAL and isinstance(one, Measurement)
        }

    def prove(
        self,
        folder: Path,
        max_s: float,
        progress: Progress = no_progress,
        wanted_ratio: float | None = None,
    ) -> Proof:
        """Prove an artifact against the original, and on which side of the wanted ratio it is."""
        settings = ProofSettings(max_s=max_s, wanted_ratio=wanted_ratio, limits=self.limits)
        return prove(self.spec(self.original), self.spec(folder), self.workload, settings, progress)

    def outputs(self, folder: Path, items: Sequence[Item]) -> list[dict[str, np.ndarray]]:
        """What the artifact computes, one entry per item."""
        return outputs(self.spec(folder), items)

    def _race(
        self, folders: Mapping[str, Path], seconds_each: float, sittings: int
    ) -> dict[str, Measurement | RaceFailure]:
        specs = {
            ORIGINAL: self.spec(self.original),
            **{name: self.spec(path) for name, path in folders.items()},
        }
        settings = RaceSettings(seconds_each, sittings, limits=replace(self.limits, warm_s=WARM_S))
        timed = race(specs, self.workload, settings)
        if isinstance(failed := timed[ORIGINAL], RaceFailure):
            raise EnvironmentFailed("the original", f"stopped running: {failed.error}", "use --resume")
        return timed


def costs_of(measurement: Measurement, folder: Path) -> dict[str, Measured]:
    """Cost figures by quantity name."""
    samples = len(measurement.latency_ms)
    ratio = ratio_to_original(measurement)
    median = p50(measurement)
    share_low, share_high = median.low / median.value, median.high / median.value
    return {
        "p50": median,
        "p99": p99(measurement),
        "memory": _exact(measurement.peak_memory_bytes, "bytes", 1),
        "file": _exact(file_bytes(folder), "bytes", 1),
        "ratio": Measured(ratio, ratio * share_low, ratio * share_high, "ratio", samples),
    }


def _exact(value: float, unit: str, samples: int) -> Measured:
    return Measured(float(value), float(value), float(value), unit, samples)


def stack_runs(runs: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """One array per output with the runs as first axis, to keep on disk."""
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]} if runs else {}


def unstack_runs(stacked: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The runs that ``stack_runs`` stacked."""
    count = len(next(iter(stacked.values()))) if stacked else 0
    return [{name: array[index] for name, array in stacked.items()} for index in range(count)]
