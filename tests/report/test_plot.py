from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.report.markup import element
from taut.report.plot import Axis, Plot, axis_over

_VALUES = st.lists(st.floats(min_value=1e-3, max_value=1e4), min_size=1, max_size=20)


@given(_VALUES, st.booleans())
def test_axis_holds_every_value_and_a_few_ticks(values: list[float], can_be_log: bool) -> None:
    axis = axis_over("ms", values, can_be_log)
    assert all(0 < axis.share(value) < 1 for value in values)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 14
    assert all(-1e-9 <= axis.share(tick) <= 1 + 1e-9 for tick in ticks)


@given(_VALUES)
def test_axis_share_grows_with_value(values: list[float]) -> None:
    axis = axis_over("ms", values, can_be_log=True)
    shares = [axis.share(value) for value in sorted(values)]
    assert shares == sorted(shares)


def test_axis_is_logarithmic_only_over_a_wide_range() -> None:
    assert not axis_over("ms", [1.0, 5.0], can_be_log=True).is_log
    assert axis_over("ms", [1.0, 50.0], can_be_log=True).is_log


def test_axis_ignores_values_that_are_not_finite() -> None:
    axis = axis_over("ms", [1.0, math.nan, 3.0, math.inf])
    assert axis.low < 1.0 and 3.0 < axis.high < 4.0


@pytest.mark.parametrize("value", [0.0, 2.5, 10.0])
def test_dot_lies_where_its_value_says(value: float) -> None:
    plot = Plot(Axis("x", 0, 10), Axis("y", 0, 10), height=200)
    dot = plot.dot(value, value, "dot")
    found = re.search(r'cx="([\d.]+)%" cy="([\d.]+)"', dot)
    assert found is not None
    assert float(found[1]) == pytest.approx(10 * value)
    assert float(found[2]) == pytest.approx(200 - 20 * value)


def test_what_lies_outside_is_drawn_at_the_edge() -> None:
    plot = Plot(Axis("x", 0, 10), Axis("y", 0, 10), height=100)
    area = plot.area((-5, -5), (20, 20), "allowed")
    assert 'x="0.00%" width="100.00%" y="0.0" height="100.0"' in area
    assert 'cx="100.00%" cy="100.0"' in plot.dot(math.inf, -3, "dot")


def test_element_escapes_text_and_attributes() -> None:
    built = element("p", '<b>"&', data_tip="'\"><script>")
    assert built == '<p data-tip="&#x27;&quot;&gt;&lt;script&gt;">&lt;b&gt;&quot;&amp;</p>'


def test_ticks_are_written_in_full() -> None:
    drawn = Plot(Axis("x", 0, 0.9), Axis("cosine", 0.999, 1.0)).draw(title="t")
    labels = re.findall(r'class="tick">([^<]*)<', drawn)
    assert labels == ["0.999", "0.99925", "0.9995", "0.99975", "1", "0", "0.2", "0.4", "0.6", "0.8"]
