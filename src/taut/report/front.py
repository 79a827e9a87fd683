"""The measured front: every candidate that was exported and timed, and those that nothing beats."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from taut.core.quantities import Better
from taut.report.blocks import cell, figure_cell, legend, name_cell, note, row, section, table
from taut.report.data import QualityRow, ReportData, Role, TrialRow
from taut.report.markup import Html, element, join
from taut.report.plot import Plot, axis_over
from taut.report.wording import NOTHING, amount, figure_text

_SIGHT = 4.0  # times the allowed loss of quality that the chart shows
_SLOWEST = 2.0  # times the original's latency that the chart shows


def front(data: ReportData) -> Html | None:
    """Every candidate that was measured, and those that nothing beats."""
    if not data.trials:
        return None
    chart = front_chart(data)
    keys = legend(
        ("dot candidate meets", "meets the budget"),
        ("dot candidate misses", "does not"),
        ("key", "within the limits"),
    )
    heading = "The measured front"
    explanation = note(
        "Each mark is a network that was exported and timed here. The line joins those that no other "
        "beats in both latency and quality. A mark on the edge lies beyond: it takes over twice the "
        "original's time, or loses over four times what is allowed."
    )
    if chart is None:
        return section(heading, _trial_table(data))
    return section(heading, explanation, keys, chart, _trial_table(data))


@dataclass(frozen=True)
class Point:
    """A trial on the chart: its cost and its quality."""

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
    """Move marks that are far off to the edge; they would squeeze all the others."""
    original = next((point.x for point in points if point.trial.role is Role.ORIGINAL), math.inf)
    sign = 1.0 if better is Better.HIGHER else -1.0
    best = max(sign * point.y for point in points)
    has_room = bound is not None and best > sign * bound
    worst = best - _SIGHT * (best - sign * bound) if has_room and bound is not None else -math.inf
    return [
        replace(point, x=min(point.x, _SLOWEST * original), y=sign * max(sign * point.y, worst))
        for point in points
    ]


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
    """The best above its mark and the original below, so that they never cover each other."""
    dy = 23 if point.trial.role is Role.ORIGINAL else -13
    return plot.text((point.x, point.y), str(point.trial.role), "name", dy)


def _trial_table(data: ReportData) -> Html:
    metric = data.quality.metric if data.quality else ""
    unit = data.quality.unit if data.quality else ""
    head = ("Candidate", "p50", "Predicted p50", "File", f"{metric or 'quality'}, select")
    body = table(head, [_trial_row(trial, metric, unit) for trial in data.trials])
    return element("details", element("summary", f"All {len(data.trials)} candidates"), body)


def _trial_row(trial: TrialRow, metric: str, unit: str) -> Html:
    name = name_cell(_trial_name(trial), *_trial_words(trial))
    if trial.error is not None:
        return row(name, element("td", trial.error, colspan=4, class_="error"))
    found = trial.quality.get(metric)
    quality_text = NOTHING if found is None else amount(found, unit, 4)
    return row(
        name,
        figure_cell(trial.costs.get("p50")),
        figure_cell(trial.predicted.get("p50")),
        figure_cell(trial.costs.get("file")),
        cell(element("b", quality_text), element("small", "measured") if found is not None else None),
        kind=str(trial.role),
    )


def _trial_name(trial: TrialRow) -> str:
    is_said = trial.role is Role.CANDIDATE or str(trial.role) in trial.label
    return trial.label if is_said else f"{trial.label} ({trial.role})"


def _trial_words(trial: TrialRow) -> tuple[str, str]:
    if trial.error is not None:
        return trial.moves, "could not be realised"
    place = ", on the front" if trial.on_front else ""
    return trial.moves, f"{'meets' if trial.meets else 'misses'} the budget{place}"
