"""``taut prove A B``: is B really faster than A, and still right?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from taut.cli.options import Batch, Data, Json, Shapes, Threads, read_shapes


def prove(
    old: Annotated[str, typer.Argument(metavar="A", help="a model or artifact")],
    new: Annotated[str, typer.Argument(metavar="B", help="the one that should be faster")],
    data: Data = "random",
    drop: Annotated[float | None, typer.Option(help="points of quality that B may lose")] = None,
    threads: Threads = None,
    batch: Batch = 1,
    shape: Shapes = None,
    as_json: Json = False,
) -> None:
    """Time A and B in turns and compare what they compute: faster, not faster, or undecided."""
    from taut.fit.api import open_text
    from taut.fit.prove import ProofOptions, prove_networks

    shapes = read_shapes(shape)
    first, second = open_text(old, data, shapes, batch), open_text(new, "random", shapes, batch)
    options = ProofOptions(drop, threads, batch)
    result = prove_networks(first.network, second.network, first.task, options)
    print(json.dumps(result.to_json()) if as_json else result.describe())
    raise typer.Exit(int(result.exit_code))
