from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from tests.report.sample_run import sample_run

from taut.core.errors import BadInput
from taut.core.figures import Modelled, Predicted
from taut.report.data import ReportData
from taut.report.page import render
from taut.report.stored import report_from_json, to_json

_BARE = ReportData("net", "stopped", None, (), sample_run().original, sample_run().reproduce)
_MODELLED = replace(
    sample_run().original, p50=Modelled(2.0, "ms", "edge.toml"), p99=Predicted(3, 2, 4, "ms", 0.1)
)


@pytest.mark.parametrize(
    "data", [sample_run(), sample_run(hostile=True), _BARE, replace(sample_run(None), original=_MODELLED)]
)
def test_stored_report_comes_back_equal(data: ReportData) -> None:
    text = json.dumps(to_json(data), allow_nan=False)
    back = report_from_json(json.loads(text))
    assert back == data
    assert render(back) == render(data)


def test_stored_report_keeps_a_missing_number_missing() -> None:
    data = sample_run()
    trial = replace(data.trials[1], quality={"accuracy": math.nan})
    back = report_from_json(json.loads(json.dumps(to_json(replace(data, trials=(trial,))), allow_nan=False)))
    assert math.isnan(back.trials[0].quality["accuracy"])


@pytest.mark.parametrize("broken", [{"title": 3}, {"trials": None}, {"nonsense": 1}])
def test_stored_report_that_does_not_fit_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"report\.json"):
        report_from_json({**to_json(sample_run()), **broken})
