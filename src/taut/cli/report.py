"""``taut report RUN``: write the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="folder that 'taut fit --out' wrote")]) -> None:
    """Print the result of RUN and where its HTML report is."""
    from taut.fit.stored import load_report
    from taut.report.console import print_result

    print_result(load_report(run))
    print(f"report: {run / 'report.html'}")
