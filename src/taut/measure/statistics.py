"""What the samples say: figures of one runner, and the sequential verdict on two.

The verdict rests on rounds. In each, both runners run the same items one after the other in random order;
the round's log ratio of medians cancels drift, the median over rounds ignores outliers, and a block
bootstrap whose block length follows the rounds' autocorrelation gives its standard error. Looks happen at
fixed, geometrically spaced numbers of rounds and share the error equally (a union bound, so the looks may
depend on each other in any way); that costs about a third more rounds than one look at a known number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # Student's t quantile; scipy.stats takes half a second to import

from taut.core.figures import Measured
from taut.core.measurement import Measurement, Verdict

FIRST_LOOK = 12
_LOOK_GROWTH = 1.4
_RESAMPLES = 400
# A gain below 1% is not worth an artifact: an interval that excludes more is "not faster".
PRACTICAL_GAIN = 0.01
_BOUND_CONFIDENCE = 0.95
_BATCHES = 30


@dataclass(frozen=True)
class Round:
    """Latencies in ms of one turn each, on the same items."""

    old_ms: np.ndarray
    new_ms: np.ndarray

    @property
    def log_ratio(self) -> float:
        return math.log(float(np.median(self.new_ms)) / float(np.median(self.old_ms)))


@dataclass(frozen=True)
class Decision:
    """Verdict of the sequential rule; the ratio's interval is the one that decided."""

    ratio: Measured
    verdict: Verdict


def look_schedule(max_pairs: int) -> tuple[int, ...]:
    """Numbers of rounds at which the rule looks, the last one being ``max_pairs``."""
    looks = []
    next_look = float(min(FIRST_LOOK, max_pairs))
    while next_look < max_pairs:
        looks.append(math.ceil(next_look))
        next_look *= _LOOK_GROWTH
    return (*looks, max_pairs)


def decide(rounds: Iterable[Round], max_pairs: int, alpha: float, seed: int = 0) -> Decision:
    """Consume rounds until faster or not faster is shown, or they end: then undecided.

    The chance that a runner no faster than the other is called faster is at most ``alpha`` over all looks,
    and likewise for the opposite mistake. When the rounds end early, the look that was next is taken then.
    """
    looks = look_schedule(max_pairs)
    rng = np.random.default_rng(seed)
    log_ratios: list[float] = []
    for one in rounds:
        log_ratios.append(one.log_ratio)
        if len(log_ratios) in looks:
            decision = _look(log_ratios, alpha / len(looks), rng)
            if decision.verdict is not Verdict.UNDECIDED or len(log_ratios) == max_pairs:
                return decision
    return _look(log_ratios, alpha / len(looks), rng)


def _look(log_ratios: list[float], alpha: float, rng: np.random.Generator) -> Decision:
    ratio = ratio_interval(np.array(log_ratios), alpha, rng)
    if ratio.high < 1:
        return Decision(ratio, Verdict.FASTER)
    if ratio.low >= 1 - PRACTICAL_GAIN:
        return Decision(ratio, Verdict.NOT_FASTER)
    return Decision(ratio, Verdict.UNDECIDED)


def ratio_interval(log_ratios: np.ndarray, alpha: float, rng: np.random.Generator) -> Measured:
    """Ratio new / old, with one-sided error ``alpha`` on each side, from log ratios (rounds,) in order taken.

    Median and its block-bootstrap standard error with Student's t for as many degrees of freedom as there
    are blocks: plain bootstrap quantiles at 0.1% are too narrow for a dozen rounds.
    """
    count = len(log_ratios)
    center = float(np.median(log_ratios)) if count else 0.0
    length = block_length(log_ratios)
    degrees = count / length - 1
    if degrees < 1:
        return Measured(math.exp(center), 0.0, math.inf, "ratio", count)
    medians = np.median(block_resamples(log_ratios, length, _RESAMPLES, rng), axis=1)
    half_width = float(stdtrit(degrees, 1 - alpha)) * float(np.std(medians, ddof=1))
    low, high = math.exp(center - half_width), math.exp(center + half_width)
    return Measured(math.exp(center), low, high, "ratio", count)


def block_length(series: np.ndarray) -> int:
    """Length of blocks that keeps the series' autocorrelation: twice the lag at which it fades.

    At least the cube root of the count (Kuensch 1989), at most a sixth of it, so that blocks remain.
    """
    count = len(series)
    centered = np.clip(series, *np.quantile(series, [0.05, 0.95])) if count else series
    centered = centered - centered.mean() if count else centered
    power = float(centered @ centered)
    fades_at = 0
    while power > 0 and fades_at < count // 4:
        lag = fades_at + 1
        # 1.64: a one-sided 5% test of a correlation of zero
        if float(centered[:-lag] @ centered[lag:]) / power < 1.64 / math.sqrt(count):
            break
        fades_at = lag
    wanted = max(round(count ** (1 / 3)), 2 * fades_at)
    return max(1, min(wanted, count // 6))


def block_resamples(series: np.ndarray, length: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw circular block-bootstrap resamples (Politis and Romano 1992): (resamples, count)."""
    count = len(series)
    starts = rng.integers(count, size=(resamples, math.ceil(count / length)))
    indices = (starts[:, :, None] + np.arange(length)) % count
    return series[indices.reshape(resamples, -1)[:, :count]]


def p50(measurement: Measurement) -> Measured:
    """Median latency in ms; ``low`` and ``high`` are 95% bounds, each one-sided."""
    return latency_quantile(measurement.latency_ms, 0.5)


def p99(measurement: Measurement) -> Measured:
    """99th percentile of the latency in ms, with 95% bounds; infinite above with too few samples."""
    return latency_quantile(measurement.latency_ms, 0.99)


def latency_quantile(latency_ms: np.ndarray, share: float) -> Measured:
    """A quantile with one-sided 95% bounds from samples (runs,) in the order taken.

    Woodruff (1952): bounds on the share of samples below it, turned into quantiles. The share's standard
    error comes from means over 30 batches, so that neighbours may depend on each other.
    """
    value = float(np.quantile(latency_ms, share))
    batches = np.array_split(latency_ms <= value, min(_BATCHES, len(latency_ms)))
    if len(batches) < 2:
        return Measured(value, 0.0, math.inf, "ms", len(latency_ms))
    means = [batch.mean() for batch in batches]
    # Never below the error of independent samples: few batches of equal means prove no precision.
    plain = math.sqrt(share * (1 - share) / len(latency_ms))
    error = max(float(np.std(means, ddof=1)) / math.sqrt(len(batches)), plain)
    reach = float(stdtrit(len(batches) - 1, _BOUND_CONFIDENCE)) * error
    return Measured(
        value,
        _order_bound(latency_ms, share - reach),
        _order_bound(latency_ms, share + reach),
        "ms",
        len(latency_ms),
    )


def _order_bound(latency_ms: np.ndarray, share: float) -> float:
    if share <= 0:
        return 0.0
    return math.inf if share >= 1 else float(np.quantile(latency_ms, share))


def half_width(ratio: Measured) -> float:
    """Half the width of a ratio's interval."""
    return (ratio.high - ratio.low) / 2


def paired(old_ms: Iterable[np.ndarray], new_ms: Iterable[np.ndarray]) -> Iterator[Round]:
    """Pair turns into rounds."""
    return (Round(old, new) for old, new in zip(old_ms, new_ms, strict=True))
