"""``taut data``: which data sets are known, and whether they are here."""

from __future__ import annotations

from typing import Annotated

import typer


def data(name: Annotated[str | None, typer.Argument(help="a data set; all without it")] = None) -> None:
    """Say where a data set is looked for and how to fill the folder."""
    from taut.tasks.data import describe_data

    print(describe_data(name))
