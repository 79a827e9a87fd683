"""A System: one published system of the catalogue, what it claims, and the experiment that shows it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Scale(StrEnum):
    """How large an experiment runs: mechanics in seconds, or the claim at full scale."""

    SMOKE = "smoke"
    FULL = "full"


@dataclass(frozen=True)
class Relation:
    """One inequality that an experiment must show: ``value`` against ``bound``."""

    name: str
    """As a person would write it, such as ``accuracy(amc) - accuracy(uniform) >= 2 points``"""
    value: float
    bound: float
    is_at_least: bool = True

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.is_at_least else self.value <= self.bound

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "bound": self.bound, "holds": self.holds}


@dataclass(frozen=True)
class Experiment:
    """What one run of a system's experiment found."""

    relations: Sequence[Relation]
    rows: Sequence[Mapping[str, Any]]
    """Baseline and system side by side"""
    seeds: Sequence[int]
    note: str = ""


@dataclass(frozen=True)
class System:
    """A published system. ``experiment(scale, work_folder)`` composes parts of the families and measures."""

    id: str
    number: int
    title: str
    family: str
    claims: Sequence[str]
    parts: Sequence[str]
    """``module:name`` of the parts that build it"""
    experiment: Callable[..., Experiment]
    works_when: str = ""
    deviations: Sequence[str] = field(default_factory=tuple)
