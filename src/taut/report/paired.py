"""The paired comparison that the verdict on speed rests on, and its raw samples."""

from __future__ import annotations

import numpy as np

from taut.report.blocks import cell, figure_cell, head_cell, legend, note, row, section, table
from taut.report.data import ProofRow, ReportData
from taut.report.markup import Html, element, join
from taut.report.plot import Axis, Plot, axis_over
from taut.report.wording import number, percent

_BINS = 36
_MOST_SAMPLES = 300  # marks per side of the order plot; more would only blacken it


def ratio(data: ReportData) -> Html | None:
    """The paired comparison that the verdict on speed rests on."""
    proof = data.proof
    chart = ratio_chart(proof) if proof else None
    if proof is None or chart is None:
        return None
    ratios = paired_ratios(proof)
    low, high = usual_range(ratios)
    outside = int(np.sum((ratios < low) | (ratios > high)))
    beyond = f" {outside} of the {len(ratios)} pairs of runs drawn lie beyond the edges." if outside else ""
    return section(
        "Best against original, in pairs",
        note(
            f"Runs of both sides, taken in turns by {proof.pairs} pairs of processes; 1 would be no change. "
            "The blue band is the interval of the ratio. This machine's noise floor is "
            f"{percent(proof.noise_floor)} either way.{beyond}"
        ),
        chart,
    )


def ratio_chart(proof: ProofRow) -> Html | None:
    """Draw how the paired ratios are distributed, the interval of their centre and, where near, 1."""
    ratios = paired_ratios(proof)
    if len(ratios) < 2:
        return None
    low, high = usual_range(ratios)
    counts, edges = np.histogram(ratios, bins=_BINS, range=(low, high))
    extent = [low, high, proof.ratio.low, proof.ratio.high]
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
    )


def _ratio_mark(plot: Plot, proof: ProofRow) -> Html:
    ratio, top = proof.ratio, plot.y.high
    tip = (f"ratio {number(ratio.value, 4)}", f"{number(ratio.low, 4)} to {number(ratio.high, 4)}, measured")
    return join(
        plot.area((ratio.low, 0), (ratio.high, top), "interval", tip),
        plot.line((ratio.value, 0), (ratio.value, top), "centre"),
        plot.text((ratio.value, top), number(ratio.value, 3), "name", -6),
    )


def _bar_tip(pairs: int, low: float, high: float) -> tuple[str, ...]:
    return (f"{pairs} pairs", f"ratio {number(low, 4)} to {number(high, 4)}")


def paired_ratios(proof: ProofRow) -> np.ndarray:
    """Return new / old of each pair, in the order taken."""
    pairs = min(len(proof.old_ms), len(proof.new_ms))
    return np.array(proof.new_ms[:pairs]) / np.array(proof.old_ms[:pairs])


def usual_range(values: np.ndarray) -> tuple[float, float]:
    """Return the range without rare hiccups, which would squeeze the rest: four interquartile ranges."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    room = 4 * (upper - lower)
    inside = values[(values >= lower - room) & (values <= upper + room)]
    return float(inside.min()), float(inside.max())


def evidence(data: ReportData) -> Html | None:
    """The raw samples and the rule that judged them."""
    if data.proof is None:
        return None
    rows = [
        row(head_cell("verdict on speed"), cell(data.proof.verdict)),
        row(head_cell("ratio best / original"), figure_cell(data.proof.ratio)),
        row(head_cell("pairs of fresh processes"), cell(f"{data.proof.pairs:,}")),
        row(head_cell("noise floor"), cell(percent(data.proof.noise_floor), element("small", "measured"))),
    ]
    chart = samples_chart(data.proof)
    key = legend(("sample original", "original"), ("sample best", "best"))
    return section("Evidence", table(("", ""), rows), *([key, chart] if chart else []), _raw(data.proof))


def samples_chart(proof: ProofRow) -> Html | None:
    """Draw both sides' samples in the order taken, thinned evenly, so that drift would be seen."""
    pairs = min(len(proof.old_ms), len(proof.new_ms))
    if pairs < 2:
        return None
    kept = np.unique(np.linspace(0, pairs - 1, min(pairs, _MOST_SAMPLES)).astype(int))
    ranges = [usual_range(np.array(side)) for side in (proof.old_ms, proof.new_ms)]
    plot = Plot(
        Axis("pair, in the order taken", 1, pairs),
        axis_over("ms", [bound for ends in ranges for bound in ends], True),
        height=200,
    )
    sides = (("original", proof.old_ms), ("best", proof.new_ms))
    dots = [
        plot.dot(index + 1, samples[index], f"sample {side}", radius=1.8)
        for side, samples in sides
        for index in kept
    ]
    return plot.draw(*dots, title="Samples of both sides in the order taken")


def _raw(proof: ProofRow) -> Html | None:
    if not proof.old_ms:
        return None
    lines = "; ".join(f"{old:.5g} {new:.5g}" for old, new in zip(proof.old_ms, proof.new_ms, strict=False))
    return element(
        "details",
        element("summary", "Raw samples: original and best of each pair, ms"),
        element("p", lines, class_="raw"),
    )
