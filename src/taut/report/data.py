"""What a report shows of one fit run, as plain values; whoever ran the fit fills it in.

The layout of the pages knows nothing of how a number came about: it gets figures of core, which carry
their own kind (measured, predicted, modelled), and text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from taut.core.figures import Figure, Measured
from taut.core.quantities import Better


class Role(StrEnum):
    """What a trial is among the trials."""

    ORIGINAL = "original"
    BEST = "best"
    CANDIDATE = "candidate"


@dataclass(frozen=True)
class BudgetRow:
    """One limit and how the original and the best stand to it."""

    text: str
    """As the user wrote it: ``p50<=50%``"""
    quantity: str
    """Its name: ``p50``, ``drop``, ``cosine``"""
    bound: float | None
    """Absolute limit in the quantity's base unit; None where it could not be resolved"""
    original: Figure | None
    best: Figure | None
    holds: bool | None
    """None: undecided"""


@dataclass(frozen=True)
class Summary:
    """The headline figures of one network in the runtime that runs it."""

    label: str
    """What runs: ``onnxruntime 1.32, float32, 2 threads``"""
    p50: Figure | None = None
    p99: Figure | None = None
    peak_memory: Figure | None = None
    file: Figure | None = None
    quality: Figure | None = None


@dataclass(frozen=True)
class ProofRow:
    """The paired comparison of the best with the original; ratio = best / original."""

    ratio: Measured
    pairs: int
    """Pairs of fresh processes that took turns; each pair gave one ratio"""
    noise_floor: float
    """Half-width of the ratio's interval of a runner against itself: 0.01 is 1%"""
    verdict: str
    old_ms: tuple[float, ...] = ()
    """Raw samples of the original in the order taken; entry i was taken beside entry i of ``new_ms``"""
    new_ms: tuple[float, ...] = ()


@dataclass(frozen=True)
class TrialRow:
    """One plan that was tried."""

    label: str
    moves: str
    costs: Mapping[str, Figure] = field(default_factory=dict)
    """Measured, by quantity: ``p50``, ``file``"""
    predicted: Mapping[str, Figure] = field(default_factory=dict)
    """What was foretold before it was realised, by quantity"""
    quality: Mapping[str, float] = field(default_factory=dict)
    """On the select split, by metric"""
    meets: bool = False
    on_front: bool = False
    error: str | None = None
    """Why it could not be realised, in one line"""
    role: Role = Role.CANDIDATE


@dataclass(frozen=True)
class LayerRow:
    """A node of the original and what became of it."""

    node: str
    op: str
    macs: int
    before: Figure | None
    """Its time in the original, ms"""
    after: Figure | None
    """Time of what it became, ms; None where the runtime does not tell, or it is gone"""
    before_precision: str
    after_precision: str
    became: str = ""
    """Names of the nodes it is now in; empty where it kept its name"""


@dataclass(frozen=True)
class QualityRow:
    """Quality of the exported artifact on the test split."""

    metric: str
    unit: str
    original: Figure | None
    best: Figure | None
    drop: Measured | None
    """Original against best on the same samples, in the metric's own sense; positive is worse"""
    samples: int
    note: str = ""
    better: Better = Better.HIGHER


@dataclass(frozen=True)
class Floor:
    """What bounds the latency from below, and by how much."""

    text: str
    rows: tuple[tuple[str, Figure], ...] = ()


@dataclass(frozen=True)
class Reproduce:
    """How to get this run again."""

    command: str
    seed: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class ReportData:
    """Everything a report shows, verdict first.

    ReportData(title="digits-cnn", verdict="2.1x faster, drop 0.2 points", met=True,
               budget=(BudgetRow("p50<=50%", "p50", 0.04, original_p50, best_p50, True),),
               original=Summary("onnxruntime, float32", p50=original_p50), best=..., reproduce=...)
    """

    title: str
    verdict: str
    """One line: what was reached or missed"""
    met: bool | None
    """None: undecided, or stopped early"""
    budget: tuple[BudgetRow, ...]
    original: Summary
    reproduce: Reproduce
    best: Summary | None = None
    """None where nothing was better than the original"""
    proof: ProofRow | None = None
    trials: tuple[TrialRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    quality: QualityRow | None = None
    floor: Floor | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
