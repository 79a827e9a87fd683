from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from taut.core.errors import EnvironmentFailed
from taut.core.figures import Measured
from taut.core.measurement import Verdict
from taut.core.runner import RunnerSpec, Workload
from taut.measure import Limits, ProofSettings, noise_floor, prove

Spinner = Callable[[int], RunnerSpec]
LIMITS = Limits(threads=1, warm_s=0.1)
QUICK = ProofSettings(max_s=2.0, max_pairs=12, limits=LIMITS)


def test_runner_of_a_fifth_of_the_work_is_faster(workload: Workload, spinner: Spinner) -> None:
    told: list[float] = []
    proof = prove(spinner(20_000), spinner(4000), workload, QUICK, lambda _what, share: told.append(share))
    assert proof.verdict is Verdict.FASTER
    assert isinstance(proof.ratio, Measured)
    assert proof.ratio.low < 0.3 and proof.ratio.high < 1
    assert proof.pairs == proof.ratio.samples >= 4
    assert 0 < proof.noise_floor < np.inf
    assert len(proof.old.sittings) == len(proof.new.sittings) == proof.pairs
    assert sum(proof.new.sittings) == len(proof.new.latency_ms)
    assert np.median(proof.new.latency_ms) < np.median(proof.old.latency_ms)
    assert told == sorted(told) and told[0] == 0.0


def test_runner_of_five_times_the_work_is_not_faster(workload: Workload, spinner: Spinner) -> None:
    proof = prove(spinner(4000), spinner(20_000), workload, QUICK)
    assert proof.verdict is Verdict.NOT_FASTER
    assert proof.ratio.low > 1


def test_failure_of_either_side_ends_the_proof(workload: Workload, spinner: Spinner) -> None:
    failing = RunnerSpec("toy_runners:Failing", {"way": "die", "after": 1})
    with pytest.raises(EnvironmentFailed, match=r"'new \d' died|'new \d': died"):
        prove(spinner(1000), failing, workload, QUICK)


def test_noise_floor_is_a_width_around_one(
    workload: Workload, spinner: Spinner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By module name, for the package's attribute of that name is the function.
    monkeypatch.setattr(sys.modules["taut.measure.prove"], "_FLOOR", QUICK)
    assert 0 < noise_floor(spinner(3000), workload, LIMITS) < np.inf
