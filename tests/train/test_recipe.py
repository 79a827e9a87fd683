"""The recipe: its schedule, and values that make no sense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.train.recipe import Recipe


@given(st.integers(2, 2000), st.floats(0.01, 0.5))
def test_rate_rises_to_its_peak_then_falls_to_nothing(steps: int, warmup_share: float) -> None:
    recipe = Recipe(epochs=1, lr=0.4, warmup_share=warmup_share)
    rates = [recipe.lr_at(step, steps) for step in range(steps)]
    peak = max(1, round(warmup_share * steps)) - 1
    assert max(rates) == pytest.approx(0.4)
    assert rates[peak] == pytest.approx(0.4)
    changes = np.diff(rates)
    # 1e-12: rounding where two steps have the same rate.
    assert (changes[:peak] > -1e-12).all()
    assert (changes[peak:] < 1e-12).all()
    assert recipe.lr_at(steps, steps) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": -0.1},
        {"temperature": 0},
        {"distill_share": 1.1},
        {"distill_share": -0.1},
        {"precision": "float16"},
        {"ema_decay": 1.0},
        {"warmup_share": 1.5},
    ],
)
def test_recipe_that_makes_no_sense_is_refused_by_name(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**{"epochs": 1, **wrong})
