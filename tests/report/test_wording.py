from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.figures import Measured, Modelled, Predicted
from taut.report.wording import amount, count, figure_detail, figure_text, number, percent, speed, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.18, "1.18"), (0.04567, "0.0457"), (1234.5, "1,234"), (1e-7, "1.00e-07"), (math.nan, "–")],
)
def test_number_keeps_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(min_value=1e-4, max_value=1e8))
def test_number_loses_at_most_half_a_percent(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.09e6, "bytes", "1.09 MB"),
        (812, "bytes", "812 B"),
        (0.5, "points", "0.50 points"),
        (2, "ms", "2.00 ms"),
    ],
)
def test_amount_names_its_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_count_uses_short_scale() -> None:
    assert [count(value) for value in (12, 4.7e6, 3.2e9)] == ["12", "4.70 M", "3.20 G"]


@pytest.mark.parametrize(
    ("ratio", "verdict", "text"),
    [
        (0.5, "faster", "2.00x faster"),
        (0.5, "faster but worse", "2.00x faster but worse"),
        (0.96, "undecided", "undecided"),
        (0.96, "not faster", "not faster"),
    ],
)
def test_speed_is_a_number_only_where_it_was_proven(ratio: float, verdict: str, text: str) -> None:
    assert speed(ratio, verdict) == text


def test_percent_of_share() -> None:
    assert percent(0.036) == "3.6%"


def test_figure_detail_names_kind_and_what_stands_behind_it() -> None:
    assert figure_detail(Measured(2.0, 1.9, 2.1, "ms", 50)) == "1.90 to 2.10, measured"
    assert figure_detail(Predicted(2.0, 1.9, 2.1, "ms", 0.1)).endswith("held-out error 10%, predicted")
    assert figure_detail(Modelled(2.0, "ms", "edge.toml")) == "modelled, edge.toml"
    assert figure_text(None) == "–"


@given(st.text(st.characters()))
def test_visible_leaves_nothing_that_steers_a_page_or_terminal(text: str) -> None:
    shown = visible(text)
    assert all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in shown)
    shown.encode("utf-8")


def test_visible_keeps_ordinary_names() -> None:
    assert visible("/layer1/conv1/Conv_é_层") == "/layer1/conv1/Conv_é_层"
