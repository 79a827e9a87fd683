"""A Budget and its one-line grammar.

    budget  = limit {"," limit}
    limit   = quantity ("<=" | ">=") number [unit]
    p50<=2ms, p99<=5ms, memory<=40MB, file<=1MB, energy<=3mJ, drop<=1, cosine>=0.999, p50<=50%

``p50<=50%`` means half of the measured original. Legal quantities are those that the Runner and the
Task's metrics declare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taut.core.errors import BadInput
from taut.core.quantities import Better, Quantity

_LIMIT = re.compile(
    r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=)\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ%]*)\s*$"
)


class Relation(StrEnum):
    """The two relations of the grammar."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True)
class Limit:
    """One bound, in the quantity's base unit, or as a share of the measured original."""

    quantity: Quantity
    relation: Relation
    value: float
    is_relative: bool = False
    text: str = ""
    """As the user wrote it"""

    def resolve(self, original: Mapping[str, float]) -> Limit:
        """Return the absolute limit, given the original's figures in base units."""
        if not self.is_relative:
            return self
        return Limit(
            self.quantity, self.relation, self.value * original[self.quantity.name], False, self.text
        )

    def holds(self, value: float) -> bool:
        assert not self.is_relative, "resolve a relative limit first"
        return value <= self.value if self.relation is Relation.AT_MOST else value >= self.value

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, as a share of the limit; 0 where it holds."""
        if self.holds(value):
            return 0.0
        return abs(value - self.value) / max(abs(self.value), 1e-12)  # 1e-12: a limit of zero

    def to_json(self) -> dict[str, Any]:
        return {
            "quantity": self.quantity.name,
            "relation": str(self.relation),
            "value": self.value,
            "unit": self.quantity.unit,
            "relative": self.is_relative,
            "text": self.text,
        }


@dataclass(frozen=True)
class Budget:
    """A set of limits, at most one per quantity."""

    limits: tuple[Limit, ...]

    def __iter__(self) -> Iterator[Limit]:
        return iter(self.limits)

    def limit_on(self, name: str) -> Limit | None:
        return next((limit for limit in self.limits if limit.quantity.name == name), None)

    def resolve(self, original: Mapping[str, float]) -> Budget:
        """Return the budget with every relative limit made absolute."""
        return Budget(tuple(limit.resolve(original) for limit in self.limits))

    def broken(self, values: Mapping[str, float]) -> tuple[Limit, ...]:
        """Limits that the values break; a quantity without a value counts as broken."""
        return tuple(
            limit for limit in self.limits if not limit.holds(values.get(limit.quantity.name, math.nan))
        )

    def __str__(self) -> str:
        return ", ".join(limit.text for limit in self.limits)


def parse_budget(text: str, quantities: Sequence[Quantity]) -> Budget:
    """Parse the one-line grammar against the legal quantities; BadInput names the offending word."""
    known = {quantity.name: quantity for quantity in quantities}
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise BadInput(f"budget {text!r}", "has no limit", 'write for example "p50<=2ms, drop<=1"')
    limits = tuple(_parse_limit(word, known) for word in words)
    _refuse_contradictions(limits)
    return Budget(limits)


def _parse_limit(word: str, known: Mapping[str, Quantity]) -> Limit:
    match = _LIMIT.match(word)
    if match is None:
        raise BadInput(
            f"budget word {word!r}", "is not QUANTITY<=NUMBER[UNIT]", 'write for example "p50<=2ms"'
        )
    name, relation, number, unit = match.groups()
    if not math.isfinite(float(number)):
        raise BadInput(f"budget word {word!r}", "holds no finite number", "give a limit that can be broken")
    if name not in known:
        raise BadInput(
            f"budget word {word!r}", f"{name!r} cannot be measured here", f"one of: {', '.join(known)}"
        )
    quantity = known[name]
    _refuse_wrong_direction(word, quantity, Relation(relation))
    if unit == "%" and "%" not in quantity.spellings:
        if not quantity.is_relative_allowed:
            raise BadInput(
                f"budget word {word!r}", f"{name} has no share of the original", "give it as a number"
            )
        return Limit(quantity, Relation(relation), float(number) / 100, True, word)
    if unit == "" and quantity.is_unit_required:
        units = ", ".join(quantity.spellings)
        raise BadInput(
            f"budget word {word!r}", f"{name} needs a unit", f"one of: {units}, or % of the original"
        )
    if unit not in quantity.spellings:
        legal = ", ".join(spelling for spelling in quantity.spellings if spelling) or "no unit"
        raise BadInput(f"budget word {word!r}", f"{unit!r} is not a unit of {name}", f"use {legal}")
    return Limit(quantity, Relation(relation), quantity.to_base(float(number), unit), False, word)


def _refuse_wrong_direction(word: str, quantity: Quantity, relation: Relation) -> None:
    wanted = Relation.AT_MOST if quantity.better is Better.LOWER else Relation.AT_LEAST
    if relation is not wanted:
        raise BadInput(
            f"budget word {word!r}", f"{quantity.name} is better {quantity.better}", f"write {wanted}"
        )


def _refuse_contradictions(limits: Sequence[Limit]) -> None:
    seen: dict[str, Limit] = {}
    for limit in limits:
        earlier = seen.setdefault(limit.quantity.name, limit)
        if earlier is not limit:
            raise BadInput(
                f"budget word {limit.text!r}",
                f"contradicts or repeats {earlier.text!r}",
                "keep one of the two",
            )
