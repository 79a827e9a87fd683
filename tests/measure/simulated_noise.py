"""A simulated machine: runners of known speed under drift, periodic load, outliers, autocorrelation, traces.

It plays the sittings that ``prove`` would hold, in random order on one clock, without running anything. Each
process has a pace of its own, as real ones have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from taut.measure.statistics import PACE_SPREAD, Sitting

ROUNDS = 20
MOST_ROUNDS = 100
PROCESSES = 4
RUNS_PER_TURN = 5
PAUSE_MS = 4.0
OPENING_MS = 1500.0
JITTER = 0.02

Slowdown = Callable[[np.ndarray], np.ndarray]
"""Factor on the latency of runs that begin at the given times in ms"""
NoiseModel = Callable[[np.random.Generator], Slowdown]


def drift(rng: np.random.Generator) -> Slowdown:
    """The machine warms up and throttles: 40% slower after a minute, or as much faster."""
    direction = rng.choice([-1.0, 1.0])
    return lambda times_ms: np.exp(direction * 0.34 * times_ms / 60_000)


def periodic_load(rng: np.random.Generator) -> Slowdown:
    """A job takes half the processor for a third of each period, which is near a round's length."""
    period_ms, phase_ms = rng.uniform(50, 200), rng.uniform(0, 200)
    return lambda times_ms: np.where((times_ms + phase_ms) % period_ms < period_ms / 3, 1.5, 1.0)


def one_sided_outliers(rng: np.random.Generator) -> Slowdown:
    """One run in twenty is interrupted and takes several times as long."""
    return lambda times_ms: np.where(
        rng.random(times_ms.shape) < 0.05, 1 + rng.exponential(4.0, times_ms.shape), 1.0
    )


def autocorrelation(rng: np.random.Generator) -> Slowdown:
    """The speed wanders by 10%, with a memory of a quarter of a second: AR(1) on a grid of 5 ms."""
    keep, steps = 0.98, 20_000
    steady = np.sqrt(1 - keep**2)
    shocks = rng.standard_normal(steps)
    path = lfilter([steady], [1, -keep], shocks)
    return lambda times_ms: np.exp(0.1 * path[(times_ms / 5).astype(int) % steps])


def recorded(trace: np.ndarray) -> NoiseModel:
    """Latencies recorded on a real machine, replayed from a random moment on, in a circle."""
    relative = trace.astype(float) / np.median(trace)
    clock_ms = np.cumsum(trace.astype(float))

    def model(rng: np.random.Generator) -> Slowdown:
        offset_ms = rng.uniform(0, clock_ms[-1])
        return lambda times_ms: relative[
            np.searchsorted(clock_ms, (times_ms + offset_ms) % clock_ms[-1]) % len(relative)
        ]

    return model


def recorded_traces() -> dict[str, np.ndarray]:
    """Latencies in ms of one network's back-to-back runs, as ``record_trace.py`` stored them, by name."""
    with np.load(Path(__file__).parent / "data" / "traces.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored if not name.startswith("about ")}


@dataclass(frozen=True)
class SimulatedMachine:
    """Two runners and the noise they run in."""

    old_ms: float
    new_ms: float
    model: NoiseModel

    def sittings(self, seed: int) -> Iterator[Sitting]:
        """Play sittings without end; a seed is one run of the proof."""
        rng = np.random.default_rng(seed)
        slowdown, now_ms = self.model(rng), 0.0
        while True:
            now_ms += OPENING_MS
            pace_ms = self._paces_ms(rng)
            medians_ms = np.empty((PROCESSES, 0))
            sitting = None
            while sitting is None or not (sitting.is_settled or sitting.rounds >= MOST_ROUNDS):
                more_ms, now_ms = _play(pace_ms, rng, slowdown, now_ms)
                medians_ms = np.hstack([medians_ms, more_ms])
                sitting = Sitting(old_ms=medians_ms[:2], new_ms=medians_ms[2:])
            yield sitting

    def _paces_ms(self, rng: np.random.Generator) -> np.ndarray:
        nominal_ms = np.array([self.old_ms, self.old_ms, self.new_ms, self.new_ms])
        return nominal_ms * np.exp(PACE_SPREAD * rng.standard_normal(PROCESSES))


def _play(
    pace_ms: np.ndarray, rng: np.random.Generator, slowdown: Slowdown, begin_ms: float
) -> tuple[np.ndarray, float]:
    """Medians (processes, rounds) of the turns of some rounds, and when they ended."""
    order = np.argsort(rng.random((ROUNDS, PROCESSES)), axis=1)
    latency_ms = pace_ms[order].ravel()[:, None]
    turn_ends_ms = begin_ms + np.cumsum(latency_ms * RUNS_PER_TURN + PAUSE_MS)
    begins_ms = turn_ends_ms[:, None] - latency_ms * np.arange(RUNS_PER_TURN, 0, -1)
    jitter = 1 + JITTER * rng.standard_normal(begins_ms.shape)
    runs_ms = np.sort(latency_ms * slowdown(begins_ms) * jitter, axis=1)
    medians_ms = np.empty((PROCESSES, ROUNDS))
    medians_ms[order.ravel(), np.repeat(np.arange(ROUNDS), PROCESSES)] = runs_ms[:, RUNS_PER_TURN // 2]
    return medians_ms, float(turn_ends_ms[-1])
