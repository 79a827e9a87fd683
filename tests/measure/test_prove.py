from __future__ import annotations

import sys

import numpy as np
import pytest

from taut.core.errors import EnvironmentFailed
from taut.core.figures import Measured
from taut.core.measurement import Verdict
from taut.core.runner import RunnerSpec, Workload
from taut.measure import Limits, ProofSettings, noise_floor, prove

LIMITS = Limits(threads=1, warm_s=0.1)
QUICK = ProofSettings(max_s=6.0, max_pairs=12, limits=LIMITS)


def sleeper(seconds: float) -> RunnerSpec:
    return RunnerSpec("toy_runners:Sleeper", {"seconds": seconds})


def test_far_shorter_runner_is_faster(workload: Workload) -> None:
    told: list[float] = []
    proof = prove(sleeper(0.02), sleeper(0.001), workload, QUICK, lambda _what, share: told.append(share))
    assert proof.verdict is Verdict.FASTER
    assert isinstance(proof.ratio, Measured)
    assert proof.ratio.low < 0.3 and proof.ratio.high < 1
    assert proof.pairs == proof.ratio.samples >= 4
    assert 0 < proof.noise_floor < np.inf
    assert len(proof.old.sittings) == len(proof.new.sittings) == proof.pairs
    assert sum(proof.new.sittings) == len(proof.new.latency_ms)
    assert np.median(proof.new.latency_ms) < np.median(proof.old.latency_ms)
    assert told == sorted(told) and told[0] == 0.0


def test_far_longer_runner_is_not_faster(workload: Workload) -> None:
    proof = prove(sleeper(0.001), sleeper(0.02), workload, QUICK)
    assert proof.verdict is Verdict.NOT_FASTER
    assert proof.ratio.low > 1


def test_failure_of_either_side_ends_the_proof(workload: Workload) -> None:
    failing = RunnerSpec("toy_runners:Failing", {"way": "die", "after": 1})
    with pytest.raises(EnvironmentFailed, match=r"'new \d' died|'new \d': died"):
        prove(sleeper(0.001), failing, workload, QUICK)


def test_noise_floor_is_a_width_around_one(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    # By module name, for the package's attribute of that name is the function.
    monkeypatch.setattr(sys.modules["taut.measure.prove"], "_FLOOR", QUICK)
    assert 0 < noise_floor(sleeper(0.002), workload, LIMITS) < np.inf
