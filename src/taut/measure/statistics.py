"""What the samples say: figures of one runner, and the sequential verdict on two.

Two processes of the same program differ by a percent or two for as long as they live (where their memory
came to lie), so more rounds between the same two prove nothing. The verdict rests on pairs of fresh
processes: each pair plays rounds of turns, in random order on the same items, and yields one number, the
median over rounds of log(new / old). Pairing cancels drift, the median ignores outliers.

Pairs are the blocks of a block bootstrap; as its estimate is their mean, its standard error is known in
closed form and nothing is resampled. Student's t gives the tails: the random order makes the numbers of
equal runners symmetric about zero, whatever noise the machine has, and for such t errs on the safe side
(Efron 1969). Looks happen at fixed, geometrically spaced numbers of pairs and share the error equally, a
union bound; that costs about a third more pairs than one look at a number known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from taut.core.figures import Measured
from taut.core.measurement import Measurement, Proof, Verdict

FIRST_LOOK = 8
"""Pairs; fewer would also leave the medians of both runners, by which budgets are judged, too vague"""
_FEWEST_PARTS = 3
_LOOK_GROWTH = 1.3
PRACTICAL_GAIN = 0.01
"""A gain below this is not worth an artifact: an interval that excludes more is "not faster"."""
PACE_SPREAD = 0.01
"""How much two processes of one program differ, about"""
_BOUND_CONFIDENCE = 0.95
_PARTS = 10


@dataclass(frozen=True)
class Sitting:
    """Medians in ms of the turns of two fresh processes of each runner that played together: (2, rounds)."""

    old_ms: np.ndarray
    new_ms: np.ndarray

    @property
    def rounds(self) -> int:
        return self.old_ms.shape[1]

    @property
    def is_settled(self) -> bool:
        """Whether more rounds of these processes would add little: their error is below a pace's spread.

        It looks at the spread alone, so stopping by it favours neither side.
        """
        ordered = np.sort(np.log(self.new_ms / self.old_ms), axis=1)
        quartile_spread = ordered[:, (3 * self.rounds) // 4] - ordered[:, self.rounds // 4]
        # The standard error of a normal sample's median is 0.93 times this.
        return float(np.max(quartile_spread)) / math.sqrt(self.rounds) < PACE_SPREAD

    def log_ratios(self) -> list[float]:
        """New against old, one per pair of processes.

        Never against a mean of several processes: for equal runners that is not symmetric about zero, and
        rare slow turns would make the single one look faster.
        """
        return [_log_ratio(old, new) for old, new in zip(self.old_ms, self.new_ms, strict=True)]

    def control_log_ratios(self) -> list[float]:
        """Each runner's first process against its second."""
        return [_log_ratio(self.old_ms[0], self.old_ms[1]), _log_ratio(self.new_ms[0], self.new_ms[1])]


@dataclass(frozen=True)
class Decision:
    """Verdict of the sequential rule, with the interval that decided; its samples are pairs."""

    ratio: Measured
    verdict: Verdict
    noise_floor: float
    """Half-width of the same interval for the runners against themselves"""

    def settles(self, wanted_ratio: float | None) -> bool:
        """Whether the verdict is there, and on which side of the wanted ratio the ratio lies."""
        is_excluded = wanted_ratio is None or not self.ratio.low < wanted_ratio < self.ratio.high
        return self.verdict is not Verdict.UNDECIDED and is_excluded


@dataclass(frozen=True)
class Evidence:
    """What all sittings so far showed."""

    log_ratios: tuple[float, ...] = ()
    control_log_ratios: tuple[float, ...] = ()

    @property
    def pairs(self) -> int:
        return len(self.log_ratios)

    def plus(self, sitting: Sitting) -> Evidence:
        return Evidence(
            (*self.log_ratios, *sitting.log_ratios()),
            (*self.control_log_ratios, *sitting.control_log_ratios()),
        )

    def decision(self, alpha: float) -> Decision:
        ratio = ratio_interval(self.log_ratios, alpha)
        return Decision(ratio, _verdict(ratio), half_width(ratio_interval(self.control_log_ratios, alpha)))


def _verdict(ratio: Measured) -> Verdict:
    if ratio.high < 1:
        return Verdict.FASTER
    return Verdict.NOT_FASTER if ratio.low >= 1 - PRACTICAL_GAIN else Verdict.UNDECIDED


def _log_ratio(old_ms: np.ndarray, new_ms: np.ndarray) -> float:
    return float(np.median(np.log(new_ms) - np.log(old_ms)))


def look_schedule(max_pairs: int) -> tuple[int, ...]:
    """Return the numbers of pairs at which the rule looks; the last one is ``max_pairs``."""
    looks = []
    at = min(FIRST_LOOK, max_pairs)
    while at < max_pairs:
        looks.append(at)
        at = math.ceil(at * _LOOK_GROWTH)
    return (*looks, max_pairs)


def decide(
    sittings: Iterable[Sitting], max_pairs: int, alpha: float, wanted_ratio: float | None = None
) -> Decision:
    """Consume sittings until faster or not faster is shown, or they end: then undecided.

    Where a ratio is wanted they are consumed until it is shown to be reached, or missed, as well.

    The chance that a runner that is no faster is called faster is at most ``alpha`` over all looks. A look
    is taken as soon as its number of pairs is reached, and where the sittings end early, the one due next.
    """
    looks = look_schedule(max_pairs)
    alpha_each = alpha / len(looks)
    pending = list(looks)
    evidence = Evidence()
    for sitting in sittings:
        evidence = evidence.plus(sitting)
        if evidence.pairs >= pending[0]:
            pending = [look for look in pending if look > evidence.pairs]
            decision = evidence.decision(alpha_each)
            if decision.settles(wanted_ratio) or not pending:
                return decision
    return evidence.decision(alpha_each)


def ratio_interval(log_ratios: Sequence[float], alpha: float) -> Measured:
    """Return the ratio and its interval, with one-sided error ``alpha`` on each side, from one per pair.

    From fewer than two pairs nothing is known: 0 to infinity.
    """
    center = float(np.mean(log_ratios))
    half = _half_width_of_mean(log_ratios, alpha)
    return Measured(math.exp(center), math.exp(center - half), _exp(center + half), "ratio", len(log_ratios))


def paired_ratio(proof: Proof) -> Measured:
    """Return new / old with 95% bounds, each one-sided, from the medians of each pair of processes."""
    log_ratios = np.log(process_medians_ms(proof.new)) - np.log(process_medians_ms(proof.old))
    return ratio_interval([float(one) for one in log_ratios], 1 - _BOUND_CONFIDENCE)


def process_medians_ms(measurement: Measurement) -> np.ndarray:
    """Median latency of each fresh process, of shape (processes,)."""
    parts = np.split(measurement.latency_ms, np.cumsum(measurement.sittings)[:-1])
    return np.array([np.median(part) for part in parts])


def half_width(ratio: Measured) -> float:
    """Return half the width of a ratio's interval."""
    return (ratio.high - ratio.low) / 2


def p50(measurement: Measurement) -> Measured:
    """Return the median latency in ms; ``low`` and ``high`` are 95% bounds, each one-sided."""
    return _latency_quantile(measurement, 0.5)


def p99(measurement: Measurement) -> Measured:
    """Return the 99th percentile in ms with 95% bounds; below 150 runs the upper one is infinite."""
    return _latency_quantile(measurement, 0.99)


def _latency_quantile(measurement: Measurement, share: float) -> Measured:
    """Pooled quantile; its error from the spread of quantiles of sittings, or of parts of the only one."""
    latency_ms = measurement.latency_ms
    value = float(np.quantile(latency_ms, share))
    # A part with fewer runs than this has no quantile of its own.
    runs_needed = max(1, round(0.5 / (1 - share)))
    logs = [math.log(np.quantile(part, share)) for part in _parts(measurement, runs_needed)]
    half = _half_width_of_mean(logs, 1 - _BOUND_CONFIDENCE) if len(logs) >= _FEWEST_PARTS else math.inf
    return Measured(value, value * math.exp(-half), value * _exp(half), "ms", len(latency_ms))


def _parts(measurement: Measurement, runs_needed: int) -> list[np.ndarray]:
    """Sittings in order, else equal parts of the runs; neighbours joined until they hold enough runs."""
    latency_ms, sittings = measurement.latency_ms, measurement.sittings
    ends = np.cumsum(sittings) if len(sittings) >= _FEWEST_PARTS else _equal_ends(len(latency_ms))
    parts, begin = [], 0
    for end in ends:
        if end - begin >= runs_needed:
            parts.append(latency_ms[begin:end])
            begin = end
    return parts


def _equal_ends(count: int) -> np.ndarray:
    return np.linspace(0, count, min(_PARTS, count) + 1).astype(int)[1:]


def _half_width_of_mean(values: Sequence[float], alpha: float) -> float:
    if len(values) < 2:
        return math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return _student_quantile(1 - alpha, len(values) - 1) * error


def _student_quantile(probability: float, degrees: int) -> float:
    # Imported here because every measured process imports this package, and starts in a third of the time
    # without scipy.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _exp(value: float) -> float:
    """Exponential that is infinite where a float cannot hold it."""
    return math.exp(value) if value < 700 else math.inf  # exp(709) is the largest
