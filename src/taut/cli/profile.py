"""``taut profile``: where the time goes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from taut.cli.options import Data, Json, Model, Shapes, Threads, read_shapes


def profile(
    model: Model,
    data: Data = "random",
    threads: Threads = None,
    shape: Shapes = None,
    top: Annotated[int, typer.Option(help="operators to list")] = 20,
    as_json: Json = False,
) -> None:
    """List the operators of MODEL by the time they take, with their operations and bytes."""
    from taut.fit.api import open_text
    from taut.fit.profile import profile_network

    opened = open_text(model, data, read_shapes(shape))
    result = profile_network(opened.network, opened.task, threads)
    print(json.dumps(result.to_json()) if as_json else result.describe(top))
