from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taut.core.measurement import Measurement
from taut.core.runner import RunnerSpec, Workload
from taut.measure import Limits, RaceFailure, RaceSettings, race, ratio_to_original, sitting_ratios

Spinner = Callable[[int], RunnerSpec]
SETTINGS = RaceSettings(seconds_each=0.1, at_once=2, limits=Limits(threads=1, warm_s=0.1, timeout_s=20))


def sleeper(seconds: float) -> RunnerSpec:
    return RunnerSpec("toy_runners:Sleeper", {"seconds": seconds})


def failing(way: str, after: int) -> RunnerSpec:
    return RunnerSpec("toy_runners:Failing", {"way": way, "after": after})


def test_candidates_are_ranked_and_failures_told(workload: Workload) -> None:
    specs = {
        "original": sleeper(0.005),
        "quick": sleeper(0.001),
        "broken": failing("raise", after=0),
        "slow": sleeper(0.03),
        "dying": failing("die", after=30),
    }
    results = race(specs, workload, SETTINGS)
    assert list(results) == list(specs)
    timed = {name: one for name, one in results.items() if isinstance(one, Measurement)}
    ratios = {name: ratio_to_original(one) for name, one in timed.items()}
    assert sorted(ratios, key=ratios.__getitem__) == ["quick", "original", "slow"]
    assert ratios["original"] == 1.0
    failures = {name: one.error for name, one in results.items() if isinstance(one, RaceFailure)}
    assert "the toy is broken" in failures["broken"]
    assert "SIGSEGV" in failures["dying"]


def test_original_runs_in_every_heat(workload: Workload, spinner: Spinner) -> None:
    specs = {"original": spinner(5000)} | {f"candidate {index}": spinner(5000) for index in range(3)}
    results = race(specs, workload, SETTINGS)
    references = [tuple(one.environment["original_p50_ms"]) for one in results.values()]
    assert all(reference > (0,) for reference in references)
    assert len(set(references)) == 2


def test_sittings_have_processes_of_their_own_and_their_ratios_are_joined(
    workload: Workload, spinner: Spinner
) -> None:
    settings = replace(SETTINGS, seconds_each=0.3, sittings=3)
    results = race({"original": spinner(5000), "half": spinner(2500)}, workload, settings)
    half = results["half"]
    assert isinstance(half, Measurement)
    assert len(half.sittings) == 3 and sum(half.sittings) == len(half.latency_ms)
    ratios = sitting_ratios(half)
    assert ratios.shape == (3,) and np.all(ratios < 0.9)
    assert ratio_to_original(half) == pytest.approx(np.prod(ratios) ** (1 / 3))


def test_candidate_that_fails_in_one_sitting_has_failed(tmp_path: Path, workload: Workload) -> None:
    once = RunnerSpec("toy_runners:OpensOnce", {"mark": str(tmp_path / "mark")})
    results = race({"original": sleeper(0.001), "once": once}, workload, replace(SETTINGS, sittings=2))
    assert isinstance(results["original"], Measurement)
    assert isinstance(results["once"], RaceFailure)


def test_failing_original_leaves_ratios_unknown(workload: Workload, spinner: Spinner) -> None:
    results = race({"original": failing("raise", 0), "other": spinner(1000)}, workload, SETTINGS)
    assert isinstance(results["original"], RaceFailure)
    other = results["other"]
    assert isinstance(other, Measurement) and len(other.latency_ms) > 0
    assert math.isnan(ratio_to_original(other))


def test_race_of_the_original_alone(workload: Workload, spinner: Spinner) -> None:
    results = race({"original": spinner(1000)}, workload, SETTINGS)
    original = results["original"]
    assert isinstance(original, Measurement)
    assert ratio_to_original(original) == 1.0
    assert np.all(original.latency_ms > 0)


@pytest.mark.parametrize("way", ["raise", "die"])
def test_all_failing_ends(workload: Workload, way: str) -> None:
    results = race({"original": failing(way, after=60)}, workload, SETTINGS)
    assert isinstance(results["original"], RaceFailure)
