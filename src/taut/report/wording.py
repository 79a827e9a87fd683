"""Numbers and names as text: three significant digits, one spelling per unit, hostile names made visible."""

from __future__ import annotations

import math
import unicodedata

from taut.core.figures import Figure, Modelled, Predicted

NOTHING = "–"
_BYTES = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


def visible(text: str) -> str:
    """Spell out characters that a page or terminal would obey instead of show.

    A node name from a file may hold escape sequences, line breaks or marks that reverse the text.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def number(value: float, digits: int = 3) -> str:
    """Return the value with so many significant digits, never in powers of ten for everyday sizes."""
    if not math.isfinite(value):
        return _endless(value)
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -5 < magnitude < 9:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - magnitude, 0)}f}"


def _endless(value: float) -> str:
    return NOTHING if math.isnan(value) else "∞" if value > 0 else "-∞"


def amount(value: float, unit: str, digits: int = 3) -> str:
    """Return the value with its unit; bytes become KB, MB or GB (powers of 1000)."""
    if not math.isfinite(value):
        return _endless(value)
    if unit == "bytes":
        return _bytes(value, digits)
    if unit == "points":
        return f"{value:.2f} points"
    if unit == "ratio":
        return number(value, digits)
    if unit == "" and 0.99 <= value < 1:
        return number(value, 6)  # a cosine says everything after its nines
    return f"{number(value, digits)} {unit}".rstrip()


def _bytes(value: float, digits: int) -> str:
    for name, size in _BYTES:
        if abs(value) >= size:
            return f"{number(value / size, digits)} {name}"
    return f"{value:.0f} B"


def count(value: float) -> str:
    """Return a count such as 1.2 M."""
    for name, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= size:
            return f"{number(value / size)} {name}"
    return f"{value:.0f}"


def figure_digits(figure: Figure) -> int:
    """Quality is read to a hundredth of a point, costs to three digits."""
    return 3 if figure.unit in ("ms", "bytes", "mJ") else 4


def figure_text(figure: Figure | None) -> str:
    """Return value and unit alone."""
    if figure is None:
        return NOTHING
    return amount(figure.value, figure.unit, figure_digits(figure))


def figure_detail(figure: Figure) -> str:
    """Return what stands behind the value: interval, held-out error or source, and its kind."""
    if isinstance(figure, Modelled):
        return f"{figure.kind}, {figure.source}"
    parts = [interval(figure)] if figure.high > figure.low else []
    if isinstance(figure, Predicted):
        parts.append(f"held-out error {percent(figure.held_out_error)}")
    return ", ".join([*parts, figure.kind])


def interval(figure: Figure) -> str:
    """Return ``low to high`` without the unit that stands beside the value."""
    digits = figure_digits(figure)
    low, high = (amount(bound, figure.unit, digits) for bound in (figure.low, figure.high))
    low_number, _, low_unit = low.partition(" ")
    high_number, _, high_unit = high.partition(" ")
    if low_unit == high_unit:
        return f"{low_number} to {high_number}"
    return f"{low} to {high}"


def percent(share: float) -> str:
    """Return a share of 1 as percent."""
    return f"{number(100 * share, 2)}%"


def speed(ratio: float, verdict: str) -> str:
    """Return the verdict on speed; only where it is ``faster`` does it say by how much."""
    if not verdict.startswith("faster"):
        return verdict
    return f"{number(1 / ratio)}x {verdict}"


def met_word(met: bool | None) -> str:
    """Return the verdict's first word."""
    return {True: "Met", False: "Not met", None: "Undecided"}[met]


def holds_word(holds: bool | None) -> str:
    return {True: "holds", False: "missed", None: "undecided"}[holds]
