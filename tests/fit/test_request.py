"""Options of a fit are checked where they enter."""

from __future__ import annotations

from typing import Any

import pytest

from taut.core.errors import BadInput
from taut.fit.request import Request, parse_duration


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0)])
def test_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 days", "tenm"])
def test_duration_without_number_or_unit_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="write for example 10m"):
        parse_duration(text)


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"batch": 0}, {"search_time_s": 0.0}, {"device": "phone"}]
)
def test_request_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Request(**options)


def test_search_time_is_not_part_of_a_runs_identity() -> None:
    assert Request(search_time_s=1.0).identity() == Request(search_time_s=2.0).identity()
