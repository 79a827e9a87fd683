"""The network node by node, before and after: bars for the slowest nodes, a table for all."""

from __future__ import annotations

from collections.abc import Sequence

from taut.core.figures import Figure
from taut.report.blocks import cell, figure_cell, name_cell, note, row, section, table
from taut.report.data import LayerRow, ReportData
from taut.report.markup import Html, element
from taut.report.wording import NOTHING, amount, count, figure_text

_BARS = 14  # as many as fit on one screen; the rest is in the table


def layers(data: ReportData) -> Html | None:
    """Where the time went, node by node."""
    if not data.layers:
        return None
    return section(
        "Layer by layer",
        note(
            "Times from the runtime's own profile, which is slower than the runs above: read them as shares."
        ),
        layer_bars(data.layers),
        layer_table(data.layers),
    )


def layer_bars(layers: Sequence[LayerRow]) -> Html:
    """Draw the nodes that took longest in either network, longest first, and the rest as one line."""
    ranked = sorted(layers, key=_longest, reverse=True)
    shown, rest = ranked[:_BARS], ranked[_BARS:]
    scale = max((_longest(layer) for layer in shown), default=0.0) or 1.0
    bars = [_bar(layer, scale) for layer in shown]
    return element("div", _sides(), *bars, _rest(rest), class_="layers")


def _longest(layer: LayerRow) -> float:
    return max((figure.value for figure in (layer.before, layer.after) if figure), default=0.0)


def _sides() -> Html:
    keys = [
        element("span", element("i", class_=f"swatch {side}"), side, class_="key")
        for side in ("before", "after")
    ]
    return element("p", *keys, class_="legend")


def _bar(layer: LayerRow, scale: float) -> Html:
    words = ", ".join(part for part in (layer.op, _precision(layer), layer.became) if part)
    return element(
        "div",
        element("div", element("span", layer.node, class_="given"), element("small", words), class_="who"),
        element(
            "div",
            _stripe(layer.before, scale, "before"),
            _stripe(layer.after, scale, "after"),
            class_="stripes",
        ),
        class_="layer",
    )


def _stripe(figure: Figure | None, scale: float, side: str) -> Html:
    if figure is None:
        return element("div", element("span", "not timed apart"), class_="stripe")
    return element(
        "div",
        element("i", class_=f"swatch {side}", style=f"width:{100 * figure.value / scale:.1f}%"),
        element("span", figure_text(figure)),
        class_="stripe",
    )


def _rest(layers: Sequence[LayerRow]) -> Html | None:
    if not layers:
        return None
    before, after = (
        sum(figure.value for figure in figures if figure)
        for figures in ([layer.before for layer in layers], [layer.after for layer in layers])
    )
    words = f"{len(layers)} more nodes: {amount(before, 'ms')} before, {amount(after, 'ms')} after"
    return element("p", words, class_="note")


def layer_table(layers: Sequence[LayerRow]) -> Html:
    """List every node in the order of the network."""
    head = ("Node", "MACs", "Before", "After", "Precision")
    rows = [
        row(
            name_cell(layer.node, layer.op, f"now {layer.became}" if layer.became else ""),
            cell(count(layer.macs)),
            figure_cell(layer.before),
            figure_cell(layer.after),
            cell(_precision(layer) or NOTHING),
        )
        for layer in layers
    ]
    return element("details", element("summary", f"All {len(layers)} nodes"), table(head, rows))


def _precision(layer: LayerRow) -> str:
    """One where it stayed, both where it changed."""
    both = dict.fromkeys(name for name in (layer.before_precision, layer.after_precision) if name)
    return " → ".join(both)
