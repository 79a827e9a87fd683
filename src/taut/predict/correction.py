"""Correct a prediction by what was measured of the candidates realised so far."""

from __future__ import annotations

from statistics import median

from taut.core.figures import Predicted

UNKNOWN_ERROR = 0.15
"""Assumed relative error before any candidate was realised"""


class Correction:
    """Ratio of measured to predicted, learned from the candidates realised so far.

    ``scale`` is the ratio before any: measured over predicted of what the tables were taken from.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._ratios: list[float] = []
        self._errors: list[float] = []

    @property
    def factor(self) -> float:
        """What a raw prediction is multiplied by now: the median of the last three ratios."""
        return median(self._ratios[-3:]) if self._ratios else self._scale

    def predicted(self, raw_ms: float) -> Predicted:
        """The corrected prediction, with the error of earlier predictions made before their measurement."""
        value = raw_ms * self.factor
        error = median(self._errors) if self._errors else UNKNOWN_ERROR
        return Predicted(value, value * (1 - error), value * (1 + error), "ms", error)

    def learn(self, raw_ms: float, measured_ms: float) -> None:
        self._errors.append(abs(self.predicted(raw_ms).value - measured_ms) / measured_ms)
        self._ratios.append(measured_ms / raw_ms)
