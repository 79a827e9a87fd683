from __future__ import annotations

import io

from rich.console import Console

from taut.report.progress import FitProgress


def _run(console: Console) -> None:
    with FitProgress(search_s=60, console=console) as show:
        show.stage("profile")
        show("a/very/long/node/name/that/goes/on/and/on/conv_12", 0.4)
        show.candidate("p50 [red]1.18 ms", count=7)
        show.stage("prove\x1b[2J")
        show("pair 12", 0.5)


def test_progress_is_one_line_a_stage_when_not_a_terminal() -> None:
    out = io.StringIO()
    _run(Console(file=out, width=100))
    assert out.getvalue() == "taut: profile\ntaut: prove\\x1b[2J\n"


def test_progress_shows_stage_best_and_time_left_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, width=140, force_terminal=True, color_system=None)
    with FitProgress(search_s=60, console=console) as show:
        show.stage("prove")
        show.candidate("p50 [red]1.18 ms", count=7)
        show("pair 12", 0.5)
    text = out.getvalue()
    assert "prove" in text and "7 measured, best p50 [red]1.18 ms" in text and "0:59 left" in text
