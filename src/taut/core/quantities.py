"""What can be measured and limited: a quantity has a name, one unit in the whole project, a better direction.

Every quantity is kept in its base unit (ms, bytes, mJ, points, ratio); other spellings are converted
where they enter, by ``to_base``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_FACTORS = {
    "ms": {"ms": 1.0, "s": 1e3, "us": 1e-3, "µs": 1e-3},
    "bytes": {
        "B": 1.0,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    "mJ": {"mJ": 1.0, "J": 1e3, "uJ": 1e-3},
    # Agreement and accuracy-like metrics are kept in points of 100, so "99%" and "99" say the same.
    "points": {"": 1.0, "%": 1.0, "points": 1.0},
    "percent": {"": 1.0, "%": 1.0},
    "dB": {"": 1.0, "dB": 1.0},
    "": {"": 1.0},
}


class Better(StrEnum):
    """Which way a quantity improves."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True)
class Quantity:
    """Something a Runner or a Task's metrics can measure and a Budget can limit."""

    name: str
    unit: str
    better: Better = Better.LOWER
    is_relative_allowed: bool = True
    """Whether a limit may be given as a share of the measured original (``p50<=50%``)."""

    def __post_init__(self) -> None:
        if self.unit not in _FACTORS:
            raise ValueError(f"{self.name}: unknown base unit {self.unit!r}; one of {sorted(_FACTORS)}")

    @property
    def spellings(self) -> tuple[str, ...]:
        """Unit suffixes a person may write for this quantity."""
        return tuple(_FACTORS[self.unit])

    @property
    def is_unit_required(self) -> bool:
        return "" not in _FACTORS[self.unit]

    def to_base(self, value: float, unit: str) -> float:
        """Convert a value in the given spelling to the base unit; KeyError where it is not legal."""
        return value * _FACTORS[self.unit][unit]


P50 = Quantity("p50", "ms")
P99 = Quantity("p99", "ms")
PEAK_MEMORY = Quantity("memory", "bytes")
FILE_SIZE = Quantity("file", "bytes")
ENERGY = Quantity("energy", "mJ")
COST_QUANTITIES = (P50, P99, PEAK_MEMORY, FILE_SIZE, ENERGY)
