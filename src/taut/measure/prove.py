"""Prove that a new runner is faster than an old one, or that it is not.

    for each sitting: open two fresh processes of the old and two of the new; play rounds of turns
        each pair of processes yields the median over rounds of log(new / old)
        at a look: stop when the interval of the mean over all pairs so far decides

The two processes of one runner are each other's control: their interval is the noise floor, seen in the very
rounds that decide.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from taut.core.measurement import Measurement, Proof
from taut.core.move import Progress, no_progress
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import Patience
from taut.measure.lock import timing_lock
from taut.measure.settings import Limits, ProofSettings
from taut.measure.statistics import FIRST_LOOK, Sitting, decide, half_width, ratio_interval
from taut.measure.turns import Table, Turns, merged

# Opening takes about a second; a sitting that lasts much longer has little more to say.
_ROUNDS = 20
_FEWEST_ROUNDS = 4
_SITTING_S = 2.0
_PROCESSES = 2
# Waiting for quiet is worth a part of the time; on a machine that is never quiet it is lost.
_PATIENCE_SHARE = 0.2
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
        decision = decide(session.sittings(), settings.max_pairs, settings.alpha)
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
        """Hold sittings while there is time for another, and until the first look."""
        settings, begin, longest_s = self.settings, time.monotonic(), 0.0
        rng, patience = (
            np.random.default_rng(settings.limits.seed),
            Patience(settings.max_s * _PATIENCE_SHARE),
        )
        for pairs in range(0, settings.max_pairs, _PROCESSES):
            sitting_begin = time.monotonic()
            if pairs >= FIRST_LOOK and sitting_begin - begin + longest_s > settings.max_s:
                return
            self.progress("timing in turns", pairs / settings.max_pairs)
            yield self._hold(Table(settings.limits, rng, patience))
            longest_s = max(longest_s, time.monotonic() - sitting_begin)

    def _hold(self, table: Table) -> Sitting:
        sides = {"old": self.old, "new": self.new}
        specs = {f"{side} {number}": sides[side] for side in sides for number in range(_PROCESSES)}
        with table.seated(specs, self.workload):
            table.equalise_turns()
            rounds = list(_enough(table.rounds()))
            measured = table.measurements()
        for name in specs:
            self.taken[name.split()[0]].append(measured[name])
        medians_ms = np.array([[np.median(turns[name]) for turns in rounds] for name in specs])
        return Sitting(old_ms=medians_ms[:_PROCESSES], new_ms=medians_ms[_PROCESSES:])


def _enough(rounds: Iterable[Turns]) -> Iterator[Turns]:
    """Take as many rounds as a sitting needs."""
    end = time.monotonic() + _SITTING_S
    for number, turns in enumerate(rounds, start=1):
        yield turns
        if number == _ROUNDS or (number >= _FEWEST_ROUNDS and time.monotonic() > end):
            return
