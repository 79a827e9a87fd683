"""Numbers that know where they come from: measured, predicted or modelled.

The three kinds are never mixed silently: arithmetic between two figures yields the weaker kind,
and a Proof takes only ``Measured``. Intervals are propagated as bounds (interval arithmetic), which is
conservative: the true interval of a sum of independent figures is narrower.

    Measured(2.0, 1.9, 2.1, "ms", samples=50) + Predicted(1.0, 0.8, 1.2, "ms", held_out_error=0.1)
    -> Predicted(3.0, 2.7, 3.3, "ms", held_out_error=0.1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A value observed on the device, with its interval."""

    value: float
    low: float
    high: float
    unit: str
    samples: int
    kind = "measured"

    def __add__(self, other: Figure) -> Figure:
        return add(self, other)

    def to_json(self) -> dict[str, Any]:
        return {**_bounds_to_json(self), "samples": self.samples}


@dataclass(frozen=True)
class Predicted:
    """A value computed by a model of this device."""

    value: float
    low: float
    high: float
    unit: str
    held_out_error: float
    """Median relative error on points that the model was not fitted to; 0.1 is 10%."""
    kind = "predicted"

    def __add__(self, other: Figure) -> Figure:
        return add(self, other)

    def to_json(self) -> dict[str, Any]:
        return {**_bounds_to_json(self), "held_out_error": self.held_out_error}


@dataclass(frozen=True)
class Modelled:
    """A value from a description of a device that is not here."""

    value: float
    unit: str
    source: str
    kind = "modelled"

    @property
    def low(self) -> float:
        return self.value

    @property
    def high(self) -> float:
        return self.value

    def __add__(self, other: Figure) -> Figure:
        return add(self, other)

    def to_json(self) -> dict[str, Any]:
        return {**_bounds_to_json(self), "source": self.source}


Figure = Measured | Predicted | Modelled


def add(left: Figure, right: Figure) -> Figure:
    """Add two figures of one unit; the result is of the weaker kind of the two."""
    if left.unit != right.unit:
        raise ValueError(f"cannot add {left.unit} and {right.unit}")
    value, low, high = left.value + right.value, left.low + right.low, left.high + right.high
    modelled = [figure for figure in (left, right) if isinstance(figure, Modelled)]
    if modelled:
        return Modelled(value, left.unit, " + ".join(figure.source for figure in modelled))
    errors = [figure.held_out_error for figure in (left, right) if isinstance(figure, Predicted)]
    if errors:
        return Predicted(value, low, high, left.unit, max(errors))
    assert isinstance(left, Measured) and isinstance(right, Measured)
    return Measured(value, low, high, left.unit, min(left.samples, right.samples))


def figure_from_json(data: dict[str, Any]) -> Figure:
    """Rebuild a figure from what ``to_json`` wrote."""
    kind = data["kind"]
    if kind == "modelled":
        return Modelled(data["value"], data["unit"], data["source"])
    bounds = (data["value"], data["low"], data["high"], data["unit"])
    if kind == "predicted":
        return Predicted(*bounds, held_out_error=data["held_out_error"])
    if kind == "measured":
        return Measured(*bounds, samples=data["samples"])
    raise ValueError(f"unknown kind of figure: {kind!r}")


def _bounds_to_json(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "unit": figure.unit,
        "kind": figure.kind,
    }
