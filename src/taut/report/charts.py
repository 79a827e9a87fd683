"""The four drawings of a report: the measured front, predicted against measured, the paired ratios, and
the samples in the order taken."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from taut.core.figures import Figure
from taut.core.quantities import Better
from taut.report.data import ProofRow, QualityRow, ReportData, Role, TrialRow
from taut.report.markup import Html, join
from taut.report.plot import Axis, Plot, axis_over
from taut.report.wording import amount, figure_text, number, percent

_BINS = 36
_SIGHT = 4.0  # times the allowed loss of quality that the front shows
_MOST_SAMPLES = 300  # marks per side of the order plot; more would only blacken it


@dataclass(frozen=True)
class Point:
    """A trial on the front: its cost and its quality."""

    x: float
    y: float
    trial: TrialRow


def front_chart(data: ReportData) -> Html | None:
    """Draw latency against quality of every trial that ran; None where fewer than two did."""
    metric = data.quality.metric if data.quality else ""
    points = [
        Point(trial.costs["p50"].value, trial.quality[metric], trial)
        for trial in data.trials
        if "p50" in trial.costs and metric in trial.quality
    ]
    points = [point for point in points if math.isfinite(point.x) and math.isfinite(point.y)]
    if data.quality is None or len(points) < 2:
        return None
    latency_bound = _bound(data, "p50")
    quality_bound = _quality_bound(data, points)
    points = _within_sight(points, quality_bound, data.quality.better)
    plot = Plot(
        axis_over("p50 latency, ms (less is better)", _values([p.x for p in points], latency_bound), True),
        axis_over(_quality_label(data.quality), _values([p.y for p in points], quality_bound)),
    )
    return plot.draw(
        _allowed(plot, latency_bound, quality_bound, data.quality.better),
        *_front_line(plot, points),
        *[_trial_dot(plot, point, data.quality) for point in sorted(points, key=_rank)],
        *[_role_label(plot, point) for point in points if point.trial.role is not Role.CANDIDATE],
        title="Latency and quality of every measured candidate",
    )


def _values(values: Sequence[float], bound: float | None) -> list[float]:
    return [*values, bound] if bound is not None else list(values)


def _bound(data: ReportData, quantity: str) -> float | None:
    return next((row.bound for row in data.budget if row.quantity == quantity), None)


def _quality_label(quality: QualityRow) -> str:
    unit = f", {quality.unit}" if quality.unit else ""
    word = "more" if quality.better is Better.HIGHER else "less"
    return f"{quality.metric}{unit} ({word} is better)"


def _quality_bound(data: ReportData, points: Sequence[Point]) -> float | None:
    """The worst quality that the budget allows, on the split that the trials were judged on."""
    assert data.quality is not None
    direct = _bound(data, data.quality.metric)
    drop = _bound(data, "drop")
    original = next((point.y for point in points if point.trial.role is Role.ORIGINAL), None)
    if direct is not None or drop is None or original is None:
        return direct
    if data.quality.drop is None or data.quality.drop.unit != data.quality.unit:
        return None  # a drop in percent has no place on an axis in the metric's own unit
    return original - drop if data.quality.better is Better.HIGHER else original + drop


def _within_sight(points: Sequence[Point], bound: float | None, better: Better) -> list[Point]:
    """Move marks that lose far more than is allowed to the edge; they would squeeze all the others."""
    sign = 1.0 if better is Better.HIGHER else -1.0
    best = max(sign * point.y for point in points)
    if bound is None or best <= sign * bound:
        return list(points)
    edge = best - _SIGHT * (best - sign * bound)
    return [replace(point, y=sign * max(sign * point.y, edge)) for point in points]


def _allowed(plot: Plot, latency: float | None, quality: float | None, better: Better) -> Html:
    """Shade where the budget is met and draw its edges."""
    x_axis, y_axis = plot.x, plot.y
    right = x_axis.high if latency is None else latency
    edge = quality
    if edge is None:
        edge = y_axis.low if better is Better.HIGHER else y_axis.high
    inside = y_axis.high if better is Better.HIGHER else y_axis.low
    lines = [
        plot.line((right, y_axis.low), (right, y_axis.high), "limit") if latency is not None else None,
        plot.line((x_axis.low, edge), (x_axis.high, edge), "limit") if quality is not None else None,
    ]
    if latency is None and quality is None:
        return Html("")
    return join(plot.area((x_axis.low, edge), (right, inside), "allowed"), *lines)


def _front_line(plot: Plot, points: Sequence[Point]) -> list[Html]:
    """Join the front's points by steps: between two of them only the cheaper one can be had."""
    front = sorted((p for p in points if p.trial.on_front), key=lambda p: p.x)
    segments = []
    for here, there in itertools.pairwise(front):
        segments.append(plot.line((here.x, here.y), (there.x, here.y), "front"))
        segments.append(plot.line((there.x, here.y), (there.x, there.y), "front"))
    return segments


def _rank(point: Point) -> int:
    """Draw the original and the best last, so that nothing hides them."""
    return 1 if point.trial.on_front else 0 if point.trial.role is Role.CANDIDATE else 2


def _trial_dot(plot: Plot, point: Point, quality: QualityRow) -> Html:
    trial = point.trial
    state = "meets" if trial.meets else "misses"
    kind = f"dot {trial.role} {state}" + (" on-front" if trial.on_front else "")
    found = amount(trial.quality[quality.metric], quality.unit, 4)
    tip = (
        trial.label,
        f"{figure_text(trial.costs['p50'])} p50, {trial.costs['p50'].kind}",
        f"{found} {quality.metric}, measured on the select split",
        f"{'meets' if trial.meets else 'misses'} the budget",
    )
    return plot.dot(point.x, point.y, kind, tip, 4.5 if trial.role is Role.CANDIDATE else 6.5)


def _role_label(plot: Plot, point: Point) -> Html:
    return plot.text((point.x, point.y), str(point.trial.role), "name", -13)


def predicted_pairs(trials: Sequence[TrialRow]) -> list[tuple[TrialRow, Figure, Figure]]:
    """Return (trial, predicted p50, measured p50) of every trial that has both."""
    return [
        (trial, trial.predicted["p50"], trial.costs["p50"])
        for trial in trials
        if "p50" in trial.predicted and "p50" in trial.costs
    ]


def relative_errors(trials: Sequence[TrialRow]) -> np.ndarray:
    """Return |predicted / measured - 1| of every trial that has both p50s."""
    return np.array([abs(told.value / found.value - 1) for _, told, found in predicted_pairs(trials)])


def predicted_chart(trials: Sequence[TrialRow]) -> Html | None:
    """Draw predicted against measured p50 with the diagonal; None where nothing has both."""
    pairs = predicted_pairs(trials)
    if not pairs:
        return None
    extent = [figure.value for _, told, found in pairs for figure in (told, found)]
    axis = axis_over("", extent, True)
    plot = Plot(
        Axis("measured p50, ms", axis.low, axis.high, axis.is_log),
        Axis("predicted p50, ms", axis.low, axis.high, axis.is_log),
    )
    marks = [_predicted_mark(plot, trial, told, found) for trial, told, found in pairs]
    diagonal = plot.line((axis.low, axis.low), (axis.high, axis.high), "diagonal")
    return plot.draw(diagonal, *marks, title="Predicted against measured latency")


def _predicted_mark(plot: Plot, trial: TrialRow, told: Figure, found: Figure) -> Html:
    axis = plot.y
    low, high = max(told.low, axis.low), min(told.high, axis.high)
    tip = (
        trial.label,
        f"{figure_text(told)} {told.kind}",
        f"{figure_text(found)} {found.kind}",
        f"off by {percent(abs(told.value / found.value - 1))}",
    )
    whisker = plot.line((found.value, low), (found.value, high), "whisker") if low < high else None
    return join(whisker, plot.dot(found.value, told.value, "dot meets", tip))


def ratio_chart(proof: ProofRow) -> Html | None:
    """Draw how the paired ratios are distributed, the interval of their centre and, where near, 1."""
    ratios = paired_ratios(proof)
    if len(ratios) < 2:
        return None
    low, high = np.quantile(ratios, [0.005, 0.995])  # a rare hiccup would squeeze all the rest
    counts, edges = np.histogram(ratios[(ratios >= low) & (ratios <= high)], bins=_BINS)
    extent = [float(low), float(high), proof.ratio.low, proof.ratio.high]
    is_one_near = abs(1 - proof.ratio.value) < 3 * (max(extent) - min(extent))
    plot = Plot(
        axis_over("ratio best / original of one pair", [*extent, 1.0] if is_one_near else extent),
        Axis("pairs", 0, float(counts.max()) * 1.25),
        height=200,
        has_y_ticks=False,
    )
    bars = [
        plot.area((edges[i], 0), (edges[i + 1], float(n)), "bar", _bar_tip(n, edges[i], edges[i + 1]))
        for i, n in enumerate(counts)
        if n
    ]
    reference = _no_change(plot, proof.noise_floor) if is_one_near else None
    return plot.draw(
        join(reference, *bars, _ratio_mark(plot, proof)), title="Distribution of the paired ratios"
    )


def _no_change(plot: Plot, noise_floor: float) -> Html:
    top = plot.y.high
    return join(
        plot.area((1 - noise_floor, 0), (1 + noise_floor, top), "noise"),
        plot.line((1, 0), (1, top), "limit"),
        plot.text((1, top), "no change", "tick", -6),
    )


def _ratio_mark(plot: Plot, proof: ProofRow) -> Html:
    ratio, top = proof.ratio, plot.y.high
    tip = (f"ratio {number(ratio.value, 4)}", f"{number(ratio.low, 4)} to {number(ratio.high, 4)}, measured")
    return join(
        plot.area((ratio.low, 0), (ratio.high, top), "interval", tip),
        plot.line((ratio.value, 0), (ratio.value, top), "centre"),
        plot.text((ratio.value, top), number(ratio.value, 3), "name", -6),
    )


def paired_ratios(proof: ProofRow) -> np.ndarray:
    """Return new / old of each pair, in the order taken."""
    pairs = min(len(proof.old_ms), len(proof.new_ms))
    return np.array(proof.new_ms[:pairs]) / np.array(proof.old_ms[:pairs])


def _bar_tip(pairs: int, low: float, high: float) -> tuple[str, ...]:
    return (f"{pairs} pairs", f"ratio {number(low, 4)} to {number(high, 4)}")


def samples_chart(proof: ProofRow) -> Html | None:
    """Draw both sides' samples in the order taken, thinned evenly, so that drift would be seen."""
    pairs = min(len(proof.old_ms), len(proof.new_ms))
    if pairs < 2:
        return None
    kept = np.unique(np.linspace(0, pairs - 1, min(pairs, _MOST_SAMPLES)).astype(int))
    both = np.array([*proof.old_ms, *proof.new_ms])
    top = float(np.quantile(both, 0.99))
    plot = Plot(
        Axis("pair, in the order taken", 1, pairs),
        axis_over("ms", [float(both.min()), top], True),
        height=200,
    )
    sides = (("original", proof.old_ms), ("best", proof.new_ms))
    dots = [
        plot.dot(index + 1, samples[index], f"sample {side}", radius=1.8)
        for side, samples in sides
        for index in kept
    ]
    return plot.draw(*dots, title="Samples of both sides in the order taken")


def drop_chart(quality: QualityRow, bound: float | None) -> Html | None:
    """Draw the drop with its interval, no change, and the limit where there is one."""
    drop = quality.drop
    if drop is None or not math.isfinite(drop.value):
        return None
    plot = Plot(
        axis_over(f"drop, {drop.unit} (left is better)", _values([drop.low, drop.high, 0.0], bound)),
        Axis("", 0, 1),
        height=64,
        has_y_ticks=False,
    )
    tip = f"drop {figure_text(drop)}"
    limit = (
        []
        if bound is None
        else [plot.line((bound, 0), (bound, 1), "limit"), plot.text((bound, 1), "limit", "tick", -6)]
    )
    return plot.draw(
        plot.line((0, 0), (0, 1), "diagonal"),
        plot.text((0, 1), "no change", "tick", -6),
        *limit,
        plot.line((drop.low, 0.35), (drop.high, 0.35), "span"),
        plot.dot(drop.value, 0.35, "dot best meets", (tip,), 6),
        title="Drop in quality with its interval",
    )
