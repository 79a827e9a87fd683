"""Prove that a new runner is faster than an old one, or that it is not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from taut.core.measurement import Proof
from taut.core.move import Progress, no_progress
from taut.core.runner import RunnerSpec, Workload
from taut.measure.lock import timing_lock
from taut.measure.settings import ProofSettings
from taut.measure.statistics import Round, decide, half_width, ratio_interval
from taut.measure.turns import Table, seated

_OLD, _NEW = "old", "new"


def prove(
    old: RunnerSpec,
    new: RunnerSpec,
    workload: Workload,
    settings: ProofSettings | None = None,
    progress: Progress = no_progress,
) -> Proof:
    """Time both runners in turns on the same items until the sequential rule decides or the time is over.

    Raises EnvironmentFailed when a runner dies, hangs or fails, BadInput for an empty workload.
    """
    settings = settings or ProofSettings()
    with timing_lock(progress), seated({_OLD: old, _NEW: new}, workload, settings.limits) as table:
        table.equalise_turns()
        rounds = _rounds(table, settings, progress)
        decision = decide(rounds, settings.max_pairs, settings.alpha, settings.limits.seed)
        old_player, new_player = table.players
        return Proof(
            old=table.measurement(old_player),
            new=table.measurement(new_player),
            ratio=decision.ratio,
            verdict=decision.verdict,
            pairs=decision.ratio.samples,
            noise_floor=_floor_of(old_player.turns, settings.alpha),
        )


def noise_floor(spec: RunnerSpec, workload: Workload, settings: ProofSettings | None = None) -> float:
    """Half-width of the ratio's interval that this machine shows now for a runner against itself."""
    settings = settings or ProofSettings(max_s=5.0, max_pairs=60)
    with timing_lock(), seated({_OLD: spec, _NEW: spec}, workload, settings.limits) as table:
        table.equalise_turns()
        rounds = list(_rounds(table, settings, no_progress))
    log_ratios = np.array([one.log_ratio for one in rounds])
    ratio = ratio_interval(log_ratios, settings.alpha, np.random.default_rng(settings.limits.seed))
    return half_width(ratio)


def _rounds(table: Table, settings: ProofSettings, progress: Progress) -> Iterator[Round]:
    for number, turns in enumerate(table.rounds(settings.max_s)):
        yield Round(turns[_OLD], turns[_NEW])
        progress("timing old and new in turns", (number + 1) / settings.max_pairs)
        if number + 1 == settings.max_pairs:
            return


def _floor_of(turns: list[np.ndarray], alpha: float) -> float:
    """The noise floor seen in a proof: the old runner's turns against its own next ones.

    These pairs are half as many and further apart than those of the proof, so it errs on the large side.
    """
    medians = np.log([np.median(turn) for turn in turns])
    count = len(medians) // 2
    if count == 0:
        return math.inf
    log_ratios = medians[1 : 2 * count : 2] - medians[0 : 2 * count : 2]
    return half_width(ratio_interval(log_ratios, alpha, np.random.default_rng(0)))
