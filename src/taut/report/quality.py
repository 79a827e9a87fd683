"""What the exported artifact is worth on data that no choice has seen."""

from __future__ import annotations

import math

from taut.report.blocks import figure_cell, head_cell, note, row, section, table
from taut.report.data import QualityRow, ReportData
from taut.report.markup import Html, element
from taut.report.plot import Axis, Plot, axis_over
from taut.report.wording import figure_text


def quality(data: ReportData) -> Html | None:
    """What the exported artifact is worth on data that no choice has seen."""
    found = data.quality
    if found is None:
        return None
    figures = {"original": found.original, "best": found.best, "drop, paired": found.drop}
    rows = [row(head_cell(name), figure_cell(figure)) for name, figure in figures.items() if figure]
    bound = next((limit.bound for limit in data.budget if limit.quantity == "drop"), None)
    return section(
        "Quality",
        note(
            f"Measured on the exported artifact in its own runtime, on {found.samples:,} samples of the test "
            "split, which was read once."
        ),
        element("p", found.note) if found.note else None,
        table(("", found.metric), rows),
        drop_chart(found, bound),
    )


def drop_chart(quality: QualityRow, bound: float | None) -> Html | None:
    """Draw the drop with its interval, no change, and the limit where there is one."""
    drop = quality.drop
    if drop is None or not math.isfinite(drop.value):
        return None
    plot = Plot(
        axis_over(
            f"drop, {drop.unit} (left is better)",
            [drop.low, drop.high, 0.0, *([] if bound is None else [bound])],
        ),
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
