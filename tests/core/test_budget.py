"""The one-line grammar of budgets: what it means, and everything that it refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.core.budget import Budget, Limit, Relation, parse_budget
from taut.core.errors import BadInput
from taut.core.quantities import COST_QUANTITIES, P50, Better, Quantity

DROP = Quantity("drop", "points", Better.LOWER, is_relative_allowed=False)
COSINE = Quantity("cosine", "", Better.HIGHER, is_relative_allowed=False)
AGREE = Quantity("agree", "points", Better.HIGHER, is_relative_allowed=False)
PSNR = Quantity("psnr", "dB", Better.HIGHER, is_relative_allowed=False)
LEGAL = (*COST_QUANTITIES, DROP, COSINE, AGREE, PSNR)


def test_parse_reads_the_example_of_the_documentation() -> None:
    text = "p50<=2ms, p99<=5ms, memory<=40MB, file<=1MB, energy<=3mJ, drop<=1, cosine>=0.999"
    budget = parse_budget(text, LEGAL)
    assert {limit.quantity.name: limit.value for limit in budget} == {
        "p50": 2.0,
        "p99": 5.0,
        "memory": 40e6,
        "file": 1e6,
        "energy": 3.0,
        "drop": 1.0,
        "cosine": 0.999,
    }
    assert str(budget) == text


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("p50<=2000us", 2.0),
        ("p50<=2000µs", 2.0),
        ("p50<=0.002s", 2.0),
        ("p50 <= 2 ms", 2.0),
        ("p50<=.5ms", 0.5),
        ("p50<=2e-1ms", 0.2),
        ("file<=1KiB", 1024.0),
        ("file<=1MiB", 2.0**20),
        ("memory<=1GB", 1e9),
        ("energy<=2J", 2000.0),
        ("agree>=99%", 99.0),
        ("agree>=99", 99.0),
        ("drop<=1points", 1.0),
        ("psnr>=30dB", 30.0),
    ],
)
def test_parse_converts_to_the_base_unit(word: str, value: float) -> None:
    (limit,) = parse_budget(word, LEGAL)
    assert limit.value == pytest.approx(value)
    assert not limit.is_relative


@st.composite
def words(draw: st.DrawFn) -> tuple[str, Quantity, float]:
    """A legal word with the base value that it stands for."""
    quantity = draw(st.sampled_from(LEGAL))
    spelling = draw(st.sampled_from(quantity.spellings))
    number = draw(st.floats(1e-3, 1e6))
    relation = Relation.AT_MOST if quantity.better is Better.LOWER else Relation.AT_LEAST
    space = draw(st.sampled_from(["", " "]))
    text = f"{space}{quantity.name}{space}{relation}{space}{number!r}{space}{spelling}"
    return text, quantity, quantity.to_base(number, spelling)


@given(words())
def test_parse_gives_back_every_number_and_unit_that_was_written(word: tuple[str, Quantity, float]) -> None:
    text, quantity, value = word
    (limit,) = parse_budget(text, LEGAL)
    assert (limit.quantity, limit.value, limit.is_relative) == (quantity, value, False)


@given(st.lists(words(), min_size=1, unique_by=lambda word: word[1].name))
def test_parse_round_trips_through_its_own_text(drawn: list[tuple[str, Quantity, float]]) -> None:
    budget = parse_budget(",".join(text for text, _, _ in drawn), LEGAL)
    assert parse_budget(str(budget), LEGAL) == budget
    assert len(budget.limits) == len(drawn)


@given(st.text(max_size=30))
def test_parse_refuses_or_accepts_any_text_without_another_error(text: str) -> None:
    limits, refusal = 0, ""
    try:
        limits = len(parse_budget(text, LEGAL).limits)
    except BadInput as error:
        refusal = str(error)
    assert (limits > 0) != bool(refusal)
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("text", "offending", "reason"),
    [
        ("", "''", "has no limit"),
        (" , ,", "' , ,'", "has no limit"),
        ("p50", "'p50'", "is not QUANTITY<=NUMBER"),
        ("p50<2ms", "'p50<2ms'", "is not QUANTITY<=NUMBER"),
        ("p50=2ms", "'p50=2ms'", "is not QUANTITY<=NUMBER"),
        ("p50<=-2ms", "'p50<=-2ms'", "is not QUANTITY<=NUMBER"),
        ("p50<=fast", "'p50<=fast'", "is not QUANTITY<=NUMBER"),
        ("drop<=1, p50<=2ms 3ms", "'p50<=2ms 3ms'", "is not QUANTITY<=NUMBER"),
        ("p50<=1e999ms", "'p50<=1e999ms'", "no finite number"),
        ("speed<=2ms", "'speed'", "cannot be measured here"),
        ("P50<=2ms", "'P50'", "cannot be measured here"),
        ("p50<=2", "'p50<=2'", "needs a unit"),
        ("p50<=2MB", "'MB'", "is not a unit of p50"),
        ("file<=1mb", "'mb'", "is not a unit of file"),
        ("cosine>=0.9dB", "'dB'", "is not a unit of cosine"),
        ("p50>=2ms", "'p50>=2ms'", "p50 is better lower"),
        ("cosine<=0.9", "'cosine<=0.9'", "cosine is better higher"),
        ("cosine>=90%", "'cosine>=90%'", "no share of the original"),
        ("p50<=2ms, p50<=3ms", "'p50<=3ms'", "contradicts or repeats"),
        ("p50<=2ms, p50<=50%", "'p50<=50%'", "contradicts or repeats"),
    ],
)
def test_parse_refuses_and_names_the_offending_word(text: str, offending: str, reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_budget(text, LEGAL)
    assert offending in str(refusal.value)
    assert reason in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_refusal_of_an_unknown_quantity_lists_the_legal_ones() -> None:
    with pytest.raises(BadInput, match="one of: p50, p99, memory, file, energy, drop"):
        parse_budget("latency<=2ms", LEGAL)


def test_relative_limit_means_a_share_of_the_original() -> None:
    budget = parse_budget("p50<=50%, drop<=1%", LEGAL)
    latency, drop = budget.limits
    assert latency.is_relative
    assert not drop.is_relative, "points take % as a spelling of their own"
    resolved = budget.resolve({"p50": 8.0})
    assert resolved.limit_on("p50") == Limit(P50, Relation.AT_MOST, 4.0, False, "p50<=50%")
    assert resolved.limit_on("drop") == drop


def test_limit_holds_on_its_edge_and_excess_is_a_share_of_it() -> None:
    limit = Limit(P50, Relation.AT_MOST, 2.0)
    assert limit.holds(2.0) and not limit.holds(2.0001)
    assert limit.excess(1.0) == 0.0
    assert limit.excess(3.0) == pytest.approx(0.5)
    at_least = Limit(COSINE, Relation.AT_LEAST, 0.5)
    assert at_least.holds(0.5) and not at_least.holds(0.4)
    assert at_least.excess(0.25) == pytest.approx(0.5)


def test_unresolved_limit_cannot_be_asked() -> None:
    with pytest.raises(AssertionError):
        Limit(P50, Relation.AT_MOST, 0.5, is_relative=True).holds(1.0)


def test_broken_lists_limits_without_a_value_or_with_nan() -> None:
    budget = parse_budget("p50<=2ms, drop<=1", LEGAL)
    assert budget.broken({"p50": 1.0, "drop": 0.5}) == ()
    assert [limit.quantity.name for limit in budget.broken({"p50": 1.0})] == ["drop"]
    assert [limit.quantity.name for limit in budget.broken({"p50": math.nan, "drop": 0})] == ["p50"]


def test_limit_on_an_unlimited_quantity_is_none() -> None:
    assert Budget(()).limit_on("p50") is None


def test_limit_to_json_is_plain_and_complete() -> None:
    (limit,) = parse_budget("p50<=50%", LEGAL)
    assert limit.to_json() == {
        "quantity": "p50",
        "relation": "<=",
        "value": 0.5,
        "unit": "ms",
        "relative": True,
        "text": "p50<=50%",
    }


def test_quantity_of_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown base unit 'hours'"):
        Quantity("patience", "hours")
