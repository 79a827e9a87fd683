"""Relations of an experiment, and the recipe of a runner."""

from __future__ import annotations

import pytest

from taut.core.runner import RunnerSpec
from taut.core.system import Relation


@pytest.mark.parametrize(
    ("value", "is_at_least", "holds"),
    [(2.0, True, True), (1.9, True, False), (2.0, False, True), (2.1, False, False)],
)
def test_relation_holds_on_the_right_side_of_its_bound(value: float, is_at_least: bool, holds: bool) -> None:
    relation = Relation("accuracy(amc) - accuracy(uniform) >= 2 points", value, 2.0, is_at_least)
    assert relation.holds is holds
    assert relation.to_json() == {
        "name": relation.name,
        "value": value,
        "bound": 2.0,
        "holds": holds,
    }


def test_runner_spec_builds_from_plain_values() -> None:
    spec = RunnerSpec("fractions:Fraction", {"numerator": 3, "denominator": 6})
    assert str(spec.build()) == "1/2"
