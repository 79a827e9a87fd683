"""The sections of a report, in reading order: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from taut.core.figures import Figure
from taut.report.charts import (
    drop_chart,
    front_chart,
    predicted_chart,
    ratio_chart,
    relative_errors,
    samples_chart,
)
from taut.report.data import BudgetRow, LayerRow, ProofRow, ReportData, Role, Summary, TrialRow
from taut.report.layers import layer_bars, layer_table
from taut.report.markup import Html, element
from taut.report.tables import cell, figure_cell, head_cell, name_cell, row, table
from taut.report.wording import (
    NOTHING,
    amount,
    figure_detail,
    figure_text,
    holds_word,
    interval,
    met_word,
    number,
    percent,
    speed,
)

_SUMMARY = (
    ("p50", "p50 latency"),
    ("p99", "p99 latency"),
    ("peak_memory", "peak memory"),
    ("file", "file"),
    ("quality", "quality"),
)


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
    return [section for section in (build(data) for build in builders) if section is not None]


def _section(title: str, *content: object) -> Html:
    return element("section", element("h2", title), *content)


def _note(*words: object) -> Html:
    return element("p", *words, class_="note")


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
    return _fact("best against original", speed(found.value), detail)


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
    limits = table(("Limit", "Original", "Best", ""), [_budget_row(limit) for limit in data.budget])
    summaries = [data.original] + ([data.best] if data.best else [])
    names = ("Original", "Best")[: len(summaries)]
    rows = [
        row(head_cell(title), *[figure_cell(getattr(summary, name)) for summary in summaries])
        for name, title in _SUMMARY
        if any(getattr(summary, name) is not None for summary in summaries)
    ]
    return _section(
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
        element("th", element("code", limit.text), scope="row"),
        figure_cell(limit.original),
        figure_cell(limit.best),
        cell(element("span", word, class_=f"state {word}")),
    )


def floor(data: ReportData) -> Html | None:
    """What no move here gets below."""
    if data.floor is None:
        return None
    rows = [row(name_cell(name), figure_cell(figure)) for name, figure in data.floor.rows]
    return _section(
        "The floor",
        element("p", data.floor.text),
        table(("What makes it", "Cost"), rows) if rows else None,
    )


def front(data: ReportData) -> Html | None:
    """Every candidate that was measured, and those that nothing beats."""
    if not data.trials:
        return None
    chart = front_chart(data)
    legend = _legend(
        ("dot candidate meets", "meets the budget"),
        ("dot candidate misses", "does not"),
        ("key", "within the limits"),
    )
    heading = "The measured front"
    explanation = _note(
        "Each mark is a network that was exported and timed here. The line joins those that no other "
        "beats in both latency and quality. A mark that loses more than four times what is allowed lies on "
        "the edge."
    )
    if chart is None:
        return _section(heading, _trial_table(data))
    return _section(heading, explanation, legend, chart, _trial_table(data))


def _legend(*entries: tuple[str, str]) -> Html:
    """Explain marks; each is given by its class, ``key`` for an area."""
    return element("p", *[_key(kind, words) for kind, words in entries], class_="legend")


def _key(kind: str, words: str) -> Html:
    mark = (
        element("rect", x=0.5, y=0.5, width=17, height=11, class_=kind)
        if kind == "key"
        else element("circle", cx=6, cy=6, r=4.5, class_=kind)
    )
    picture = element("svg", mark, width=18 if kind == "key" else 12, height=12)
    return element("span", picture, words, class_="key")


def _trial_table(data: ReportData) -> Html:
    metric = data.quality.metric if data.quality else ""
    unit = data.quality.unit if data.quality else ""
    head = ("Candidate", "p50", "Predicted p50", "File", f"{metric or 'Quality'}, select split", "Budget")
    body = table(head, [_trial_row(trial, metric, unit) for trial in data.trials], "trials")
    return element("details", element("summary", f"All {len(data.trials)} candidates"), body)


def _trial_row(trial: TrialRow, metric: str, unit: str) -> Html:
    name = name_cell(_trial_name(trial), trial.moves)
    if trial.error is not None:
        return row(name, element("td", trial.error, colspan=5, class_="error"), kind="failed")
    found = trial.quality.get(metric)
    quality_text = NOTHING if found is None else amount(found, unit, 4)
    return row(
        name,
        figure_cell(trial.costs.get("p50")),
        figure_cell(trial.predicted.get("p50")),
        figure_cell(trial.costs.get("file")),
        cell(element("b", quality_text), element("small", "measured") if found is not None else None),
        cell(
            "meets" if trial.meets else "misses",
            element("small", "on the front") if trial.on_front else None,
        ),
        kind=str(trial.role),
    )


def _trial_name(trial: TrialRow) -> str:
    return trial.label if trial.role is Role.CANDIDATE else f"{trial.label} ({trial.role})"


def predictions(data: ReportData) -> Html | None:
    """How far the predictions were off, on every candidate that was realised."""
    chart = predicted_chart(data.trials)
    if chart is None:
        return None
    errors = relative_errors(data.trials)
    return _section(
        "Predicted against measured",
        _note(
            f"{len(errors)} candidates were predicted before they were measured: median error "
            f"{percent(float(np.median(errors)))}, worst {percent(float(errors.max()))}. On the diagonal the "
            "two agree; a whisker is the interval that the prediction claimed."
        ),
        chart,
    )


def ratio(data: ReportData) -> Html | None:
    """The paired comparison that the verdict on speed rests on."""
    proof = data.proof
    chart = ratio_chart(proof) if proof else None
    if proof is None or chart is None:
        return None
    return _section(
        "Best against original, in pairs",
        _note(
            f"{proof.pairs} interleaved pairs; 1 would be no change. The blue band is the interval of the "
            f"ratio. This machine's noise floor is {percent(proof.noise_floor)} either way."
        ),
        chart,
    )


def layers(data: ReportData) -> Html | None:
    """Where the time went, node by node."""
    timed: tuple[LayerRow, ...] = data.layers
    if not timed:
        return None
    return _section(
        "Layer by layer",
        _note(
            "Times from the runtime's own profile, which is slower than the runs above: read them as shares."
        ),
        layer_bars(timed),
        layer_table(timed),
    )


def quality(data: ReportData) -> Html | None:
    """What the exported artifact is worth on data that no choice has seen."""
    found = data.quality
    if found is None:
        return None
    rows = [
        row(head_cell("original"), figure_cell(found.original)),
        row(head_cell("best"), figure_cell(found.best)),
        row(head_cell("drop, paired"), figure_cell(found.drop)),
    ]
    bound = next((limit.bound for limit in data.budget if limit.quantity == "drop"), None)
    return _section(
        "Quality",
        _note(
            f"Measured on the exported artifact in its own runtime, on {found.samples:,} samples of the test "
            "split, which was read once."
        ),
        element("p", found.note) if found.note else None,
        table(("", found.metric), rows),
        drop_chart(found, bound),
    )


def evidence(data: ReportData) -> Html | None:
    """The raw samples and the rule that judged them."""
    if data.proof is None:
        return None
    rows = [
        row(head_cell("verdict on speed"), cell(data.proof.verdict)),
        row(head_cell("ratio best / original"), figure_cell(data.proof.ratio)),
        row(head_cell("interleaved pairs"), cell(f"{data.proof.pairs:,}")),
        row(head_cell("noise floor"), cell(percent(data.proof.noise_floor), element("small", "measured"))),
    ]
    chart = samples_chart(data.proof)
    key = _legend(("sample original", "original"), ("sample best", "best"))
    return _section("Evidence", table(("", ""), rows), *([key, chart] if chart else []), _raw(data.proof))


def _raw(proof: ProofRow) -> Html | None:
    if not proof.old_ms:
        return None
    lines = "; ".join(f"{old:.5g} {new:.5g}" for old, new in zip(proof.old_ms, proof.new_ms, strict=False))
    return element(
        "details",
        element("summary", "Raw samples: original and best of each pair, ms"),
        element("p", lines, class_="raw"),
    )


def environment(data: ReportData) -> Html | None:
    if not data.environment:
        return None
    rows = [row(head_cell(name), cell(value)) for name, value in data.environment.items()]
    return _section("Environment", table(("", ""), rows, "plain"))


def reproduce(data: ReportData) -> Html:
    """The command, the seed and the versions."""
    rows = [row(head_cell("seed"), cell(str(data.reproduce.seed)))]
    rows += [row(head_cell(name), cell(version)) for name, version in data.reproduce.versions.items()]
    return _section(
        "How to get this again",
        element("pre", element("code", data.reproduce.command), tabindex=0),
        table(("", ""), rows, "plain"),
    )


def notes(data: ReportData) -> Html | None:
    if not data.notes:
        return None
    return _section("Notes", element("ul", *[element("li", note) for note in data.notes]))
