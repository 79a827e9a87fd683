from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from tests.report.sample_run import sample_run

from taut.report.console import print_result
from taut.report.data import ReportData


def _printed(data: ReportData, width: int) -> str:
    out = io.StringIO()
    print_result(data, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("met", [True, False, None])
def test_result_fits_a_screen_with_the_verdict_first(met: bool | None, width: int) -> None:
    data = sample_run(met, hostile=True)
    text = _printed(replace(data, notes=("one",) * 9, budget=data.budget * 9), width)
    lines = text.splitlines()
    assert len(lines) <= 25
    assert max(len(line) for line in lines) <= width
    assert lines[0].startswith({True: "Met:", False: "Not met:", None: "Undecided:"}[met])


def test_result_shows_figures_with_interval_and_kind_at_80_columns() -> None:
    text = _printed(sample_run(), 80)
    assert "1.18 ms (1.16 to 1.20)" in text
    assert "91.29 points (90.54 to 92.04)" in text
    assert text.count("measured") >= 5 and "…" not in text


def test_result_cannot_be_steered_by_a_name() -> None:
    data = replace(sample_run(), verdict="[bold]\x1b[2J", notes=("[/red]",))
    text = _printed(data, 80)
    assert "\x1b" not in text
    assert "[bold]\\x1b[2J" in text and "[/red]" in text


def test_result_without_a_best_shows_the_original_alone() -> None:
    text = _printed(replace(sample_run(False), best=None, proof=None), 80)
    assert "4.81 ms" in text and "1.43 ms" not in text
