"""Prove that a new runner is faster than an old one, or that it is not.

    for each sitting: open two fresh processes of the old and two of the new; play rounds of turns
        each pair of processes yields the median over rounds of log(new / old)
        at a look: stop when the interval of the mean over all pairs so far decides

The two processes of one runner are each other's control: their interval is the noise floor, seen in the very
rounds that decide.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from taut.core.measurement import Measurement, Proof
from taut.core.move import Progress, no_progress
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import Patience
from taut.measure.lock import timing_lock
from taut.measure.settings import Limits, ProofSettings
from taut.measure.statistics import Sitting, decide, half_width, ratio_interval
from taut.measure.turns import Table, merged

_FEWEST_ROUNDS, _ROUNDS, _MOST_ROUNDS = 4, 20, 100
# Of the whole time, for the rounds of one sitting; the fewest rounds are played all the same.
_SITTING_SHARE = 0.1
_PROCESSES = 2
_FEWEST_PAIRS = 4
_FLOOR = ProofSettings(max_s=20.0, max_pairs=6)


def prove(
    old: RunnerSpec,
    new: RunnerSpec,
    workload: Workload,
    settings: ProofSettings | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """Time both runners in turns on the same items until the sequential rule decides or the time is over.

    Four pairs of processes are compared whatever the time. Raises EnvironmentFailed when a runner dies, hangs
    or fails, BadInput for an empty workload.
    """
    settings = settings or ProofSettings()
    session = _Session(old, new, workload, settings, progress)
    with timing_lock(progress):
        decision = decide(session.sittings(), settings.max_pairs, settings.alpha, settings.wanted_ratio)
    return Proof(
        old=merged(session.taken["old"]),
        new=merged(session.taken["new"]),
        ratio=decision.ratio,
        verdict=decision.verdict,
        pairs=decision.ratio.samples,
        noise_floor=decision.noise_floor,
    )


def noise_floor(
    spec: RunnerSpec, workload: Workload, limits: Limits | None = None, progress: Progress = no_progress
) -> float:
    """Return the half-width of the ratio's 99% interval of a runner against itself, from six pairs."""
    settings = replace(_FLOOR, limits=limits or Limits())
    session = _Session(spec, spec, workload, settings, progress)
    with timing_lock(progress):
        log_ratios = [each for sitting in session.sittings() for each in sitting.log_ratios()]
    return half_width(ratio_interval(log_ratios, settings.alpha))


@dataclass
class _Session:
    """Holds sittings and keeps what was measured in them, by side."""

    old: RunnerSpec
    new: RunnerSpec
    workload: Workload
    settings: ProofSettings
    progress: Progress
    taken: dict[str, list[Measurement]] = field(default_factory=lambda: {"old": [], "new": []})

    def sittings(self) -> Iterator[Sitting]:
        """Hold sittings while there is time for another, and the fewest in any case."""
        settings, begin, longest_s = self.settings, time.monotonic(), 0.0
        rng, patience = np.random.default_rng(settings.limits.seed), Patience(settings.max_s)
        for pairs in range(0, settings.max_pairs, _PROCESSES):
            sitting_begin = time.monotonic()
            if pairs >= _FEWEST_PAIRS and sitting_begin - begin + longest_s > settings.max_s:
                return
            self.progress("timing in turns", pairs / settings.max_pairs)
            yield self._hold(Table(settings.limits, rng, patience))
            longest_s = max(longest_s, time.monotonic() - sitting_begin)

    def _hold(self, table: Table) -> Sitting:
        old_names, new_names = _names("old"), _names("new")
        specs = dict.fromkeys(old_names, self.old) | dict.fromkeys(new_names, self.new)
        with table.seated(specs, self.workload):
            table.equalise_turns()
            sitting = self._play(table, list(specs))
            measured = table.measurements()
        self.taken["old"] += [measured[name] for name in old_names]
        self.taken["new"] += [measured[name] for name in new_names]
        return sitting

    def _play(self, table: Table, names: Sequence[str]) -> Sitting:
        """Play until the sitting is settled, or the rounds or its share of the time are used up."""
        end = time.monotonic() + self.settings.max_s * _SITTING_SHARE
        medians_ms: list[list[float]] = []
        for turns in table.rounds():
            medians_ms.append([float(np.median(turns[name])) for name in names])
            sitting = Sitting(*np.split(np.array(medians_ms).T, 2))
            is_late = sitting.rounds >= _FEWEST_ROUNDS and time.monotonic() > end
            is_done = sitting.rounds >= _ROUNDS and sitting.is_settled
            if is_done or is_late or sitting.rounds == _MOST_ROUNDS:
                break
        return sitting


def _names(side: str) -> list[str]:
    return [f"{side} {number}" for number in range(_PROCESSES)]
