"""The model of many cores gives what can be reckoned by hand; measurements are of the right size."""

from __future__ import annotations

import numpy as np
import pytest
from programs import needs_compiler

from taut import nonneural
from taut.nonneural.amdahl import OverheadMeter, Overheads, Profile, StepCost, simulate
from taut.nonneural.base import Build
from taut.nonneural.speed import Job, interleave, time_threads

from fitted import fitted, unseen  # isort: skip

NOTHING = Overheads(0.0, 0.0)


def _profile(*steps: tuple[int, float], overheads: Overheads = NOTHING) -> Profile:
    return Profile(tuple(StepCost("dense", units, seconds) for units, seconds in steps), overheads)


def test_one_core_takes_the_serial_time() -> None:
    profile = _profile((8, 3.0), (1, 1.0), overheads=Overheads(0.5, 0.25))
    assert simulate(profile, 1) == pytest.approx(4.0)


def test_perfect_division_is_amdahls_bound() -> None:
    profile = _profile((64, 7.6), (1, 0.4))
    assert profile.parallel_fraction == pytest.approx(0.95)
    for cores in (2, 4, 8):
        assert profile.serial_s / simulate(profile, cores) == pytest.approx(profile.amdahl(cores))


def test_the_longest_part_and_every_overhead_count() -> None:
    # Ten units on four cores: 3 + 3 + 2 + 2, so three of ten tenths of a second; three helpers to wait for.
    profile = _profile((10, 1.0), (1, 0.1), overheads=Overheads(0.5, 0.01))
    assert simulate(profile, 4) == pytest.approx(0.5 + 0.3 + 3 * 0.01 + 0.1)


def test_more_cores_than_units_help_no_further() -> None:
    profile = _profile((3, 3.0))
    assert simulate(profile, 3) == simulate(profile, 8) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(5))
def test_random_programs_lie_between_the_bound_and_one_core(seed: int) -> None:
    rng = np.random.default_rng(seed)
    profile = _profile(*[(int(units), float(rng.random())) for units in rng.integers(1, 40, 30)])
    for cores in (2, 5, 8):
        taken = simulate(profile, cores)
        assert profile.serial_s / profile.amdahl(cores) - 1e-9 <= taken <= profile.serial_s + 1e-9


@needs_compiler
def test_overheads_are_measured() -> None:
    meter = OverheadMeter(Build())
    wake_s, barrier_s = np.median([meter.take() for _ in range(20)], axis=0)
    assert abs(wake_s) < 1 and abs(barrier_s) < 0.1


@needs_compiler
def test_steps_of_a_job_are_timed_and_named() -> None:
    program = nonneural.read(fitted("forest")).program(512)
    times = time_threads(Job(program, [unseen()[:512]], [np.empty(512, np.int32)]), rounds=1)
    assert {step.kernel for step in times.profile.steps} == {"forest", "reduce", "argmax"}
    assert 0.5 < times.profile.parallel_fraction < 1
    assert 0 < times.profile.merge_s < times.profile.serial_s


def test_turns_are_taken_equally() -> None:
    taken, dropped = interleave({"a": lambda: 1, "b": lambda: 2}, rounds=1)
    assert set(taken["a"]) == {1} and set(taken["b"]) == {2}
    assert abs(len(taken["a"]) - len(taken["b"])) <= dropped.turns
