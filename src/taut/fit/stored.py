"""What an earlier run wrote, read again."""

from __future__ import annotations

import json
from pathlib import Path

from taut.core.errors import BadInput
from taut.report.data import ReportData
from taut.report.page import write_report
from taut.report.stored import report_from_json


def load_report(run: Path) -> ReportData:
    """Read a run's result and write its HTML report again; BadInput where the run has no result yet."""
    file = run / "report.json"
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(str(run), "has no result yet", "finish the run with 'taut fit --resume'") from error
    report = report_from_json(data)
    write_report(report, run / "report.html")
    return report
