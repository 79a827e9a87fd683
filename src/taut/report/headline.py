"""What a reader sees first: the verdict with the figures that carry it, then the budget."""

from __future__ import annotations

from collections.abc import Sequence

from taut.core.figures import Figure
from taut.report.blocks import figure_cell, head_cell, row, section, table
from taut.report.data import BudgetRow, ReportData, Summary
from taut.report.markup import Html, element, join
from taut.report.wording import figure_detail, figure_text, holds_word, interval, met_word, number, speed

_SUMMARY = (
    ("p50", "p50 latency"),
    ("p99", "p99 latency"),
    ("peak_memory", "peak memory"),
    ("file", "file"),
    ("quality", "quality"),
)


def verdict(data: ReportData) -> Html:
    """The answer, and the four figures that carry it."""
    state = {True: "met", False: "missed", None: "undecided"}[data.met]
    return element(
        "header",
        element("p", "taut fit", class_="brand"),
        element("h1", data.title),
        element(
            "p", element("span", met_word(data.met), class_=f"badge {state}"), data.verdict, class_="verdict"
        ),
        element("dl", *_headlines(data), class_="headlines"),
        class_=state,
    )


def _headlines(data: ReportData) -> list[Html]:
    best = data.best or Summary("")
    names = ("p50", "p99", "file", "peak_memory")
    costs = [
        _headline(title, getattr(data.original, name), getattr(best, name))
        for name, title in _SUMMARY
        if name in names
    ]
    return [
        fact for fact in (_speed_fact(data), *costs[:2], _drop_fact(data), *costs[2:]) if fact is not None
    ]


def _speed_fact(data: ReportData) -> Html | None:
    if data.proof is None:
        return None
    found = data.proof.ratio
    detail = f"ratio {number(found.value, 4)} ({interval(found)}), {found.kind}"
    return _fact("best against original", speed(found.value, data.proof.verdict), detail)


def _drop_fact(data: ReportData) -> Html | None:
    if data.quality is None or data.quality.drop is None:
        return None
    drop = data.quality.drop
    return _fact("drop in quality", figure_text(drop), f"{data.quality.metric}, {figure_detail(drop)}")


def _headline(name: str, original: Figure | None, best: Figure | None) -> Html:
    if best is None:
        return _fact(name, figure_text(original), f"the original, {original.kind}" if original else "")
    before = f"from {figure_text(original)}, " if original else ""
    return _fact(name, figure_text(best), f"{before}{best.kind}")


def _fact(name: str, value: str, detail: str) -> Html:
    return element("div", element("dt", name), element("dd", value), element("dd", detail, class_="detail"))


def budget(data: ReportData) -> Html:
    """Each limit, then the headline figures of both networks."""
    limits = table(("Limit", "Original", "Best"), [_budget_row(limit) for limit in data.budget])
    summaries = [data.original] + ([data.best] if data.best else [])
    names = ("Original", "Best")[: len(summaries)]
    rows = [
        row(head_cell(title), *[figure_cell(getattr(summary, name)) for summary in summaries])
        for name, title in _SUMMARY
        if any(getattr(summary, name) is not None for summary in summaries)
    ]
    return section(
        "The budget",
        limits if data.budget else None,
        element("h3", "Original and best"),
        _ways(names, summaries),
        table(("", *names), rows),
    )


def _ways(names: Sequence[str], summaries: Sequence[Summary]) -> Html:
    pairs = zip(names, summaries, strict=True)
    return element("ul", *[element("li", f"{name}: {summary.label}") for name, summary in pairs])


def _budget_row(limit: BudgetRow) -> Html:
    word = holds_word(limit.holds)
    return row(
        head_cell(join(element("code", limit.text), element("span", word, class_=f"state {word}"))),
        figure_cell(limit.original),
        figure_cell(limit.best),
    )
