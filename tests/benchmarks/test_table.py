"""Rows, contenders and verdict of one network's table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contest.table import TAUT, Comparison, Row
from taut.core.budget import Limit, Relation
from taut.core.figures import Measured
from taut.core.measurement import Measurement, Proof, Verdict
from taut.tasks.quality import COSINE

_LIMIT = Limit(COSINE, Relation.AT_LEAST, 0.999, text="cosine>=0.999")


def _row(line: str, ratio: float, cosine: float) -> Row:
    return Row(
        line,
        Measured(ratio, ratio, ratio, "ms", 9),
        Measured(ratio, 0.9 * ratio, 1.1 * ratio, "ratio", 5),
        {"cosine": cosine},
    )


def _proof(ratio: float, verdict: Verdict) -> Proof:
    runs = Measurement(np.ones(3), 1.0, 1.0, 0)
    return Proof(runs, runs, Measured(ratio, 0.9 * ratio, 1.1 * ratio, "ratio", 8), verdict, 8, 0.01)


_ROWS = (
    _row("original", 1.0, 1.0),
    _row("quick but wrong", 0.2, 0.9),
    _row("second", 0.51, 0.9995),
    _row("first", 0.5, 0.9991),
    _row(TAUT, 0.4, 0.9999),
    Row("broken", error="Fail: no such\nkernel"),
)


def _comparison(**proofs: Proof) -> Comparison:
    return Comparison("toy", _LIMIT, 64, _ROWS, proofs)


def test_contenders_hold_quality_and_may_be_the_fastest() -> None:
    assert [row.line for row in _comparison().contenders()] == ["first", "second"]


def test_verdict_is_that_of_the_contender_hardest_to_beat() -> None:
    found = _comparison(first=_proof(0.8, Verdict.FASTER), second=_proof(0.97, Verdict.UNDECIDED))
    assert found.verdict().startswith("Taut vs best line that holds quality (second): 0.970 [0.873, 1.067]")
    assert "undecided" in found.verdict()
    assert found.to_json()["best_line"] == "second"


def test_verdict_says_so_when_the_artifact_itself_is_wrong() -> None:
    rows = (*(row for row in _ROWS if row.line != TAUT), _row(TAUT, 0.4, 0.99))
    found = Comparison("toy", _LIMIT, 64, rows, {"first": _proof(0.8, Verdict.FASTER)})
    assert "DOES NOT HOLD" in found.verdict()
    assert found.to_json()["taut_holds"] is False


def test_verdict_names_the_error_when_there_is_no_artifact() -> None:
    rows = (*(row for row in _ROWS if row.line != TAUT), Row(TAUT, error="the disk is full"))
    assert Comparison("toy", _LIMIT, 64, rows).verdict() == "Taut failed: the disk is full"


def test_table_has_a_line_for_every_row_and_the_reason_of_a_failure() -> None:
    title, head, *body, verdict = _comparison(first=_proof(0.8, Verdict.FASTER)).describe().splitlines()
    assert title == "toy: cosine>=0.999 on 64 test samples"
    assert head.split()[:3] == ["line", "p50", "ms"]
    assert [line.split("  ")[0].strip() for line in body] == [row.line for row in _ROWS]
    assert "failed: Fail: no such kernel" in body[-1]
    assert body[1].endswith("NO")
    assert body[2].endswith("yes")
    assert verdict.startswith("Taut vs best line")


def test_json_is_plain_even_where_an_interval_is_infinite() -> None:
    wide = Row("wide", Measured(1, 0, np.inf, "ms", 1), Measured(1, 0, np.inf, "ratio", 1), {"cosine": 1.0})
    text = json.dumps(Comparison("toy", _LIMIT, 64, (wide, _row(TAUT, 0.4, 1.0))).to_json(), allow_nan=False)
    assert json.loads(text)["rows"][0]["p50"]["high"] is None


@pytest.mark.parametrize(("cosine", "holds"), [(0.9989, False), (0.999, True)])
def test_quality_holds_by_its_point_estimate(cosine: float, holds: bool) -> None:
    assert _row("line", 1.0, cosine).holds(_LIMIT) is holds
