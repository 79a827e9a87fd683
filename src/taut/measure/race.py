"""Rank many candidates quickly: all in turns, in heats of a few, with the original in every heat.

A race is for choosing what to prove, not for claims. The machine may change between heats, so compare
candidates of different heats by their ratio to the original of their own heat.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from taut.core.measurement import Measurement
from taut.core.move import Progress, no_progress
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import Patience
from taut.measure.lock import timing_lock
from taut.measure.settings import RaceSettings
from taut.measure.statistics import process_medians_ms
from taut.measure.turns import Table, merged

# Below three runs a median has no interval.
_FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class RaceFailure:
    """Why a candidate has no measurement."""

    error: str


def race(
    specs: Mapping[str, RunnerSpec],
    workload: Workload,
    settings: RaceSettings | None = None,
    progress: Progress = no_progress,
) -> dict[str, Measurement | RaceFailure]:
    """Time all candidates; the first is the original and runs in every heat, its first one counts.

    Each environment holds ``original_p50_ms``, the original's median in each sitting of the same heat (NaN
    where it failed). A candidate that fails yields its error and ends nothing else.
    """
    settings = settings or RaceSettings()
    results: dict[str, Measurement | RaceFailure] = {}
    for heat in _heats(specs, settings.at_once):
        progress("racing candidates", len(results) / len(specs))
        with timing_lock(progress):
            sittings = [_run_heat(heat, workload, settings, number) for number in range(settings.sittings)]
        results = {name: _joined([timed[name] for timed in sittings]) for name in heat} | results
    return {name: results[name] for name in specs}


def ratio_to_original(measurement: Measurement) -> float:
    """Median latency over that of the original, the geometric mean over sittings; below 1 is faster."""
    return float(np.exp(np.mean(np.log(sitting_ratios(measurement)))))


def sitting_ratios(measurement: Measurement) -> np.ndarray:
    """Median latency over that of the original in each sitting, of shape (sittings,)."""
    return process_medians_ms(measurement) / measurement.environment["original_p50_ms"]


def _heats(specs: Mapping[str, RunnerSpec], at_once: int) -> Iterator[dict[str, RunnerSpec]]:
    original, *others = specs
    for start in range(0, max(1, len(others)), at_once):
        yield {name: specs[name] for name in (original, *others[start : start + at_once])}


def _run_heat(
    heat: Mapping[str, RunnerSpec], workload: Workload, settings: RaceSettings, number: int
) -> dict[str, Measurement | RaceFailure]:
    failures: dict[str, str] = {}
    seconds = settings.seconds_each * len(heat) / settings.sittings
    rng, patience = np.random.default_rng((settings.limits.seed, number)), Patience(seconds)
    table = Table(settings.limits, rng, patience, failures)
    with table.seated(heat, workload):
        end = time.monotonic() + seconds
        for played, _ in enumerate(table.rounds(), start=1):
            if not table.players or (played >= _FEWEST_ROUNDS and time.monotonic() > end):
                break
        measured = table.measurements()
    original = measured.get(next(iter(heat)))
    original_p50_ms = float(np.median(original.latency_ms)) if original else float("nan")
    timed: dict[str, Measurement | RaceFailure] = {
        name: replace(one, environment={**one.environment, "original_p50_ms": original_p50_ms})
        for name, one in measured.items()
    }
    return timed | {name: RaceFailure(error) for name, error in failures.items()}


def _joined(sittings: Sequence[Measurement | RaceFailure]) -> Measurement | RaceFailure:
    measured = [one for one in sittings if isinstance(one, Measurement)]
    if len(measured) < len(sittings):
        return next(one for one in sittings if isinstance(one, RaceFailure))
    originals_ms = [one.environment["original_p50_ms"] for one in measured]
    joined = merged(measured)
    return replace(joined, environment={**joined.environment, "original_p50_ms": originals_ms})
