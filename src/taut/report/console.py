"""The result in the terminal: the verdict first, at most 25 lines, the same figures as the HTML report."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taut.core.figures import Figure
from taut.report.data import QualityRow, ReportData, Role, TrialRow
from taut.report.wording import (
    amount,
    figure_text,
    holds_word,
    interval,
    met_word,
    number,
    percent,
    speed,
    visible,
)

_STYLES = {True: "bold green", False: "bold red", None: "bold yellow"}
_MOST_LIMITS = 4
_MOST_CANDIDATES = 4
_MOST_NOTES = 2
_COSTS = (
    ("p50", "p50"),
    ("p99", "p99"),
    ("memory", "peak_memory"),
    ("file", "file"),
    ("quality", "quality"),
)


def print_result(data: ReportData, console: Console | None = None) -> None:
    """Print verdict, limits, figures and the front; no name from a file can steer the terminal."""
    out = console or Console()
    head = Text(f"{met_word(data.met)}: ", style=_STYLES[data.met])
    out.print(head.append(visible(data.verdict), style="not bold default"))
    for limit in data.budget[:_MOST_LIMITS]:
        words = f"  {limit.text}  {figure_text(limit.best)}, {holds_word(limit.holds)}"
        out.print(Text(visible(words)), no_wrap=True, overflow="ellipsis")
    out.print(_figures(data))
    for line in _basis(data):
        out.print(Text(visible(line)))
    for line in _names(data):
        out.print(Text(visible(line)), no_wrap=True, overflow="ellipsis")


def _figures(data: ReportData) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    summaries = [data.original] + ([data.best] if data.best else [])
    for title in ("", "original", "best")[: len(summaries) + 1]:
        table.add_column(title, no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    for title, field in _COSTS:
        figures = [getattr(summary, field) for summary in summaries]
        kinds = dict.fromkeys(figure.kind for figure in figures if figure)
        if kinds:
            table.add_row(title, *[Text(_with_interval(figure)) for figure in figures], " and ".join(kinds))
    return table


def _with_interval(figure: Figure | None) -> str:
    if figure is None or figure.low == figure.high:
        return figure_text(figure)
    return f"{figure_text(figure)} ({interval(figure)})"


def _basis(data: ReportData) -> Iterator[str]:
    """What the verdict rests on and what bounds it; wrapped, since nothing of it may be cut."""
    if data.proof is not None:
        found = data.proof.ratio
        yield (
            f"ratio {number(found.value, 4)} ({interval(found)}, {found.kind}): "
            f"{speed(found.value, data.proof.verdict)} over {data.proof.pairs} pairs of processes, "
            f"noise floor {percent(data.proof.noise_floor)}"
        )
    if data.floor is not None:
        yield f"floor: {data.floor.text}"


def _names(data: ReportData) -> Iterator[str]:
    """The front and the notes; cut at the width of the terminal, since they carry names of any length."""
    front = [trial for trial in data.trials if trial.on_front and trial.role is Role.CANDIDATE]
    yield from (f"  on the front: {_trial_line(trial, data.quality)}" for trial in front[:_MOST_CANDIDATES])
    yield from (f"note: {note}" for note in data.notes[:_MOST_NOTES])


def _trial_line(trial: TrialRow, quality: QualityRow | None) -> str:
    cost = trial.costs.get("p50")
    parts = [f"p50 {figure_text(cost)} ({cost.kind})"] if cost else []
    if quality and quality.metric in trial.quality:
        parts.append(f"{quality.metric} {amount(trial.quality[quality.metric], quality.unit, 4)}")
    return ", ".join([*parts, trial.label])
