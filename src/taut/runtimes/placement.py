"""Where the operators of a network ran, in a form small enough to keep and to compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taut.runtimes.base import Placed
from taut.runtimes.manifest import Placement


def summarise(placed: Iterable[Placed]) -> dict[str, dict[str, int]]:
    """Count nodes by operator and by ``where/precision``."""
    summary: dict[str, dict[str, int]] = {}
    for item in placed:
        places = summary.setdefault(item.op, {})
        place = f"{item.where}/{item.precision}" if item.precision else item.where
        places[place] = places.get(place, 0) + 1
    return summary


def differences(proven: Placement, here: Placement) -> Sequence[str]:
    """Return one phrase for each operator that runs elsewhere than it was proven."""
    return [
        f"operator {op} ran as {_words(proven, op)} when proven and as {_words(here, op)} here"
        for op in sorted({*proven, *here})
        if proven.get(op) != here.get(op)
    ]


def _words(placement: Placement, op: str) -> str:
    places = placement.get(op, {})
    return ", ".join(f"{count} {place}" for place, count in sorted(places.items())) or "nothing"
