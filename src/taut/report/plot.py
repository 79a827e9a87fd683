"""A plot in SVG that fits any width without a script: x in percent of the box, y in pixels.

Text therefore keeps its size on a phone, which a scaled drawing would not. The price: lines can only be
straight segments between two points, and a mark with a shape of its own sits in a nested <svg>.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from taut.report.markup import Html, element, join, lines

_TICKS = 5
_LOG_SPAN = 12.0  # a range wider than this reads better on a logarithmic axis


@dataclass(frozen=True)
class Axis:
    """A range of values along one side of a plot."""

    label: str
    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return _log_ticks(self) if self.is_log else _linear_ticks(self)


def axis_over(label: str, values: Sequence[float], can_be_log: bool = False) -> Axis:
    """Return an axis that holds the finite values with a little room at both ends."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if can_be_log and low > 0 and high / low > _LOG_SPAN:
        return Axis(label, low / 1.15, high * 1.15, True)
    room = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(label, low - room, high + room)


def _linear_ticks(axis: Axis) -> list[float]:
    rough = (axis.high - axis.low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.ceil(axis.low / step)
    return [index * step for index in range(first, math.floor(axis.high / step) + 1)]


def _log_ticks(axis: Axis) -> list[float]:
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    wide = axis.high / axis.low > 200  # with three marks a decade they would touch
    ticks = [factor * 10.0**power for power in powers for factor in ((1,) if wide else (1, 2, 5))]
    return [tick for tick in ticks if axis.low <= tick <= axis.high]


@dataclass(frozen=True)
class Plot:
    """Two axes and the box they span, ``height`` pixels tall; what lies outside is drawn at the edge."""

    x: Axis
    y: Axis
    height: int = 280
    has_y_ticks: bool = True

    def left(self, value: float) -> str:
        return f"{100 * _within(self.x.share(value)):.2f}%"

    def top(self, value: float) -> str:
        return f"{self.height * (1 - _within(self.y.share(value))):.1f}"

    def dot(self, x: float, y: float, kind: str, tip: Sequence[str] = (), radius: float = 4.5) -> Html:
        """Draw a circle; the tip is shown on hover, touch and keyboard focus."""
        return element("circle", cx=self.left(x), cy=self.top(y), r=radius, class_=kind, **_interactive(tip))

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> Html:
        """Draw a straight segment between two points in data coordinates."""
        return element(
            "line",
            x1=self.left(start[0]),
            y1=self.top(start[1]),
            x2=self.left(end[0]),
            y2=self.top(end[1]),
            class_=kind,
        )

    def area(
        self, start: tuple[float, float], end: tuple[float, float], kind: str, tip: Sequence[str] = ()
    ) -> Html:
        """Fill the rectangle between two opposite corners."""
        left, right = sorted(_within(self.x.share(x)) for x in (start[0], end[0]))
        low, high = sorted(_within(self.y.share(y)) for y in (start[1], end[1]))
        return element(
            "rect",
            x=f"{100 * left:.2f}%",
            width=f"{100 * (right - left):.2f}%",
            y=f"{self.height * (1 - high):.1f}",
            height=f"{self.height * (high - low):.1f}",
            class_=kind,
            **_interactive(tip),
        )

    def text(self, at: tuple[float, float], words: str, kind: str, dy: float) -> Html:
        """Write above or below a point, so many pixels further down; turned inwards near the ends."""
        share = self.x.share(at[0])
        anchor = "start" if share < 0.1 else "end" if share > 0.9 else "middle"
        return element(
            "text",
            words,
            x=self.left(at[0]),
            y=self.top(at[1]),
            dy=dy,
            text_anchor=anchor,
            class_=kind,
        )

    def draw(self, *marks: Html, title: str) -> Html:
        """Return the whole drawing: grid, labels and the marks on top."""
        picture = element(
            "svg", self._grid(), *marks, class_="plot", height=self.height, role="img", aria_label=title
        )
        return element(
            "div",
            element("p", self.y.label, class_="axis"),
            element("div", picture, class_="box" if self.has_y_ticks else "box bare"),
            element("p", self.x.label, class_="axis under"),
            class_="chart",
        )

    def _grid(self) -> Html:
        across = [self._y_tick(tick) for tick in self.y.ticks()] if self.has_y_ticks else []
        base = element("line", x1="0", x2="100%", y1=self.height, y2=self.height, class_="base")
        return join(*across, base, *[self._x_tick(tick) for tick in self.x.ticks()])

    def _y_tick(self, tick: float) -> Html:
        top = self.top(tick)
        return join(
            element("line", x1="0", x2="100%", y1=top, y2=top, class_="grid"),
            element("text", _tick_text(tick), x="0", y=top, dx=-8, dy=4, text_anchor="end", class_="tick"),
        )

    def _x_tick(self, tick: float) -> Html:
        left = self.left(tick)
        return join(
            element("line", x1=left, x2=left, y1=self.height, y2=self.height + 4, class_="base"),
            element(
                "text", _tick_text(tick), x=left, y=self.height + 18, text_anchor="middle", class_="tick"
            ),
        )


def _within(share: float) -> float:
    """Keep a mark inside the box, at its edge; an interval may have no end."""
    return min(max(share, 0.0), 1.0)


def _tick_text(value: float) -> str:
    """Ticks are round numbers up to the error of their arithmetic, which 10 digits leave out."""
    return f"{value:.10g}"


def _interactive(tip: Sequence[str]) -> dict[str, object]:
    return {"data_tip": lines(*tip), "tabindex": 0, "aria_label": ", ".join(tip)} if tip else {}
