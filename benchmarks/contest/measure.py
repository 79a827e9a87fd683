"""Time, judge and prove: every number of the table is taken here, in this run, from fresh processes.

Lines are raced in several sittings, each with a new process of every line, because a process keeps the pace
that its memory's place gave it. Ratios are paired within a sitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peers.base import Case
from taut.core.errors import EnvironmentFailed
from taut.core.figures import Measured
from taut.core.measurement import Measurement, Proof
from taut.core.runner import RunnerSpec, Workload
from taut.core.task import Arrays
from taut.fit.judge import Judge
from taut.measure import (
    Limits,
    ProofSettings,
    RaceFailure,
    RaceSettings,
    outputs,
    p50,
    prove,
    race,
    sitting_ratios,
)
from taut.measure.statistics import ratio_interval
from taut.tasks.items import Fed, items_of
from taut.tasks.quality import quality_quantities

TIMED_ITEMS = 16
RATIO_ERROR = 0.025
"""One-sided: ratios come with 95% intervals"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    sittings: int = 5
    seconds_each: float = 1.0
    """Of each line in each sitting"""
    proof_s: float = 90.0
    most_judged: int = 10_000
    """Test samples by which each line is judged"""


@dataclass(frozen=True)
class Timing:
    """Latency of a line, and its ratio to the original's in the same sittings."""

    p50: Measured
    ratio: Measured


@dataclass(frozen=True)
class Contest:
    """One network's lines, ready to be measured; the test split is read once, for all of them."""

    case: Case
    fed: Fed
    effort: Effort

    @staticmethod
    def open(case: Case, effort: Effort) -> Contest:
        split = case.task.test.open("the comparison of lines")
        return Contest(case, items_of(split, limit=effort.most_judged), effort)

    @property
    def workload(self) -> Workload:
        return Workload("test", self.fed.items[:TIMED_ITEMS])

    def times(self, specs: Mapping[str, RunnerSpec], say: Say) -> dict[str, Timing | RaceFailure]:
        """Time all lines in turns; the first is the original."""
        sittings = self.effort.sittings
        say(f"timing {len(specs)} lines in turns, {sittings} sittings")
        settings = RaceSettings(
            self.effort.seconds_each * sittings,
            sittings,
            at_once=len(specs),
            limits=Limits(self.case.threads),
        )
        return {name: _timing(timed) for name, timed in race(specs, self.workload, settings).items()}

    def qualities(
        self, specs: Mapping[str, RunnerSpec], say: Say
    ) -> dict[str, dict[str, float] | EnvironmentFailed]:
        """Judge all lines on the test samples against the first one's outputs."""
        reference = self._outputs(next(iter(specs.values())))
        task, network = self.case.task, self.case.network
        judge = Judge(task, quality_quantities(task, network.graph.outputs), self.fed, 1, reference)
        qualities: dict[str, dict[str, float] | EnvironmentFailed] = {}
        for name, spec in specs.items():
            say(f"judging {name} on {len(self.fed.items)} test samples")
            try:
                qualities[name] = judge.quality(self._outputs(spec))
            except EnvironmentFailed as error:
                qualities[name] = error
        return qualities

    def proof(self, old: RunnerSpec, new: RunnerSpec) -> Proof:
        """Prove one line against another."""
        settings = ProofSettings(max_s=self.effort.proof_s, limits=self.case.limits)
        return prove(old, new, self.workload, settings)

    def _outputs(self, spec: RunnerSpec) -> Sequence[Arrays]:
        return outputs(spec, self.fed.items, limits=self.case.limits)


def _timing(timed: Measurement | RaceFailure) -> Timing | RaceFailure:
    if isinstance(timed, RaceFailure):
        return timed
    log_ratios = [float(log_ratio) for log_ratio in np.log(sitting_ratios(timed))]
    return Timing(p50(timed), ratio_interval(log_ratios, RATIO_ERROR))
