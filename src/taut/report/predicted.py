"""How far the predictions were off, on every candidate that was realised afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taut.core.figures import Figure
from taut.report.blocks import note, section
from taut.report.data import ReportData, TrialRow
from taut.report.markup import Html, join
from taut.report.plot import Axis, Plot, axis_over
from taut.report.wording import figure_text, percent


def predictions(data: ReportData) -> Html | None:
    """How far the predictions were off, on every candidate that was realised."""
    chart = predicted_chart(data.trials)
    if chart is None:
        return None
    errors = relative_errors(data.trials)
    return section(
        "Predicted against measured",
        note(
            f"{len(errors)} candidates were predicted before they were measured: median error "
            f"{percent(float(np.median(errors)))}, worst {percent(float(errors.max()))}. On the diagonal the "
            "two agree; a whisker is the interval that the prediction claimed."
        ),
        chart,
    )


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
