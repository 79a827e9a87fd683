"""The promise about claims: under simulated and recorded noise, equal runners and small differences."""

from __future__ import annotations

import pytest
from simulated_noise import (
    NoiseModel,
    SimulatedMachine,
    autocorrelation,
    drift,
    one_sided_outliers,
    periodic_load,
    recorded,
    recorded_traces,
)

from taut.core.measurement import Verdict
from taut.measure.settings import ProofSettings
from taut.measure.statistics import decide

RUNS = 200
MODELS = {
    "drift": drift,
    "periodic load": periodic_load,
    "one-sided outliers": one_sided_outliers,
    "autocorrelation": autocorrelation,
} | {f"recorded, {name}": recorded(trace) for name, trace in recorded_traces().items()}

with_every_noise = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def verdicts(old_ms: float, new_ms: float, model: NoiseModel) -> list[Verdict]:
    machine, settings = SimulatedMachine(old_ms, new_ms, model), ProofSettings()
    return [
        decide(machine.sittings(seed), settings.max_pairs, settings.alpha).verdict for seed in range(RUNS)
    ]


@with_every_noise
def test_runner_is_rarely_faster_than_itself(model: NoiseModel) -> None:
    # The rule promises 1%: of 200 runs, more than 6 would be called faster once in two hundred times.
    assert verdicts(2.0, 2.0, model).count(Verdict.FASTER) <= 6


@with_every_noise
def test_five_percent_are_found(model: NoiseModel) -> None:
    assert verdicts(2.0 * 1.05, 2.0, model).count(Verdict.FASTER) >= 0.95 * RUNS


@with_every_noise
def test_slower_runner_is_never_faster(model: NoiseModel) -> None:
    found = verdicts(2.0, 2.0 * 1.05, model)
    assert found.count(Verdict.FASTER) == 0
    assert found.count(Verdict.NOT_FASTER) >= 0.95 * RUNS
