"""The sections of a report, in reading order: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Callable

from taut.report.blocks import cell, figure_cell, head_cell, name_cell, row, section, table
from taut.report.data import ReportData
from taut.report.front import front
from taut.report.headline import budget, verdict
from taut.report.layers import layers
from taut.report.markup import Html, element
from taut.report.paired import evidence, ratio
from taut.report.predicted import predictions
from taut.report.quality import quality


def all_sections(data: ReportData) -> list[Html]:
    """Return the sections that this run has something to say in."""
    builders: tuple[Callable[[ReportData], Html | None], ...] = (
        verdict,
        budget,
        floor,
        front,
        predictions,
        ratio,
        layers,
        quality,
        evidence,
        environment,
        reproduce,
        notes,
    )
    return [part for part in (build(data) for build in builders) if part is not None]


def floor(data: ReportData) -> Html | None:
    """What no move here gets below."""
    if data.floor is None:
        return None
    rows = [row(name_cell(name), figure_cell(figure)) for name, figure in data.floor.rows]
    return section(
        "The floor",
        element("p", data.floor.text),
        table(("What makes it", "Cost"), rows) if rows else None,
    )


def environment(data: ReportData) -> Html | None:
    if not data.environment:
        return None
    rows = [row(head_cell(name), cell(value)) for name, value in data.environment.items()]
    return section("Environment", table(("", ""), rows, "plain"))


def reproduce(data: ReportData) -> Html:
    """The command, the seed and the versions."""
    rows = [row(head_cell("seed"), cell(str(data.reproduce.seed)))]
    rows += [row(head_cell(name), cell(version)) for name, version in data.reproduce.versions.items()]
    return section(
        "How to get this again",
        element("pre", element("code", data.reproduce.command), tabindex=0),
        table(("", ""), rows, "plain"),
    )


def notes(data: ReportData) -> Html | None:
    if not data.notes:
        return None
    return section("Notes", element("ul", *[element("li", note) for note in data.notes]))
