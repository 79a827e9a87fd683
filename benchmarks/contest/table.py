"""The table of one network: rows, the best line that holds quality, the verdict; as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taut.core.budget import Limit
from taut.core.figures import Measured
from taut.core.measurement import Proof
from taut.fit.result import finite

TAUT = "taut"
NEARLY = 1.05
"""Lines within 5% of the fastest may be the fastest: Taut is proven against each, the worst result counts."""
MOST_CONTENDERS = 3


@dataclass(frozen=True)
class Row:
    """One line: measured, or the error that it ended in."""

    line: str
    p50: Measured | None = None
    ratio: Measured | None = None
    """To the original, below 1 is faster"""
    quality: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    def holds(self, limit: Limit) -> bool:
        """Whether the quality on the test samples is within the limit, by its point estimate."""
        return self.error is None and limit.holds(self.quality[limit.quantity.name])

    def to_json(self, limit: Limit) -> dict[str, Any]:
        return {
            "line": self.line,
            "p50": None if self.p50 is None else self.p50.to_json(),
            "ratio": None if self.ratio is None else self.ratio.to_json(),
            "quality": dict(self.quality),
            "holds": self.holds(limit),
            "error": self.error,
        }


@dataclass(frozen=True)
class Comparison:
    """All lines of one network, and the proof of Taut against the best of the others."""

    name: str
    limit: Limit
    samples: int
    rows: Sequence[Row]
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    """Of Taut against each contender, by line"""

    def contenders(self) -> list[Row]:
        """The fastest of the others that hold quality, and those that may be as fast, fastest first."""
        holding = [
            (row.ratio.value, row)
            for row in self.rows
            if row.line != TAUT and row.ratio is not None and row.holds(self.limit)
        ]
        holding.sort(key=lambda pair: pair[0])
        return [row for pace, row in holding[:MOST_CONTENDERS] if pace <= NEARLY * holding[0][0]]

    @property
    def hardest(self) -> tuple[str, Proof] | None:
        """The contender that Taut's proof is least favourable against."""
        return max(self.proofs.items(), key=lambda pair: pair[1].ratio.value, default=None)

    def row(self, line: str) -> Row:
        return next(row for row in self.rows if row.line == line)

    def describe(self) -> str:
        """A title, one line per row, the verdict."""
        width = max(len(row.line) for row in self.rows)
        head = f"{'line':<{width}}  {'p50 ms':>8} {'95% bounds':>18}  {'/ original':>22}"
        title = f"{self.name}: {self.limit.text} on {self.samples} test samples"
        body = [f"{row.line:<{width}}  {self._cells(row)}" for row in self.rows]
        return "\n".join([title, f"{head}  {self.limit.quantity.name:>9}  holds", *body, self.verdict()])

    def _cells(self, row: Row) -> str:
        if row.error is not None or row.p50 is None or row.ratio is None:
            return f"failed: {' '.join((row.error or 'not timed').split())[:120]}"
        quality = f"{row.quality[self.limit.quantity.name]:9.5g}"
        holds = "yes" if row.holds(self.limit) else "NO"
        return f"{row.p50.value:8.4g} {_interval(row.p50):>18}  {_text(row.ratio):>22}  {quality}  {holds}"

    def verdict(self) -> str:
        """Taut against the best line that holds quality, as proven; below 1 Taut is faster."""
        own = self.row(TAUT)
        if own.error is not None:
            return f"Taut failed: {own.error}"
        if self.hardest is None:
            return "no other line holds quality"
        line, proof = self.hardest
        quality = "" if own.holds(self.limit) else "; TAUT'S OWN QUALITY DOES NOT HOLD"
        return (
            f"Taut vs best line that holds quality ({line}): {_text(proof.ratio)}, "
            f"{proof.verdict}, noise floor {proof.noise_floor:.1%}{quality}"
        )

    def to_json(self) -> dict[str, Any]:
        best, proof = self.hardest or (None, None)
        section = {
            "limit": self.limit.text,
            "samples": self.samples,
            "rows": [row.to_json(self.limit) for row in self.rows],
            "best_line": best,
            "taut_holds": self.row(TAUT).holds(self.limit),
            "ratio": None if proof is None else proof.ratio.to_json(),
            "verdict": None if proof is None else str(proof.verdict),
            "noise_floor": None if proof is None else proof.noise_floor,
            "proofs": {line: one.ratio.to_json() for line, one in self.proofs.items()},
        }
        cleaned: dict[str, Any] = finite(section)
        return cleaned


def _interval(figure: Measured) -> str:
    return f"[{figure.low:.4g}, {figure.high:.4g}]"


def _text(figure: Measured) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
