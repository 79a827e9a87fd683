from __future__ import annotations

from dataclasses import replace

from tests.report.sample_run import sample_run

from taut.report.quality import drop_chart


def test_drop_chart_shows_interval_and_limit() -> None:
    quality = sample_run().quality
    assert quality is not None
    chart = drop_chart(quality, 1.0)
    assert chart is not None
    assert "limit" in chart and "span" in chart
    assert drop_chart(replace(quality, drop=None), 1.0) is None
