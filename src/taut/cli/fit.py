"""``taut fit``: the main job."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from taut.cli.options import Batch, Data, Json, Model, Shapes, Threads, read_shapes


def fit(
    model: Model,
    budget: Annotated[str, typer.Option(help='limits, such as "p50<=2ms, drop<=1"')],
    data: Data = "random",
    device: Annotated[str, typer.Option(help="where it has to fit")] = "local",
    threads: Threads = None,
    batch: Batch = 1,
    shape: Shapes = None,
    search_time: Annotated[str, typer.Option(help="90s, 10m or 1.5h")] = "10m",
    strategy: Annotated[str, typer.Option(help="auto, knapsack or amc")] = "auto",
    moves: Annotated[str, typer.Option(help="only these moves, separated by commas")] = "",
    no_moves: Annotated[str, typer.Option(help="all moves but these")] = "",
    keep: Annotated[list[str] | None, typer.Option(help="pattern of nodes that stay as they are")] = None,
    seed: Annotated[int, typer.Option(help="of every random choice")] = 0,
    out: Annotated[Path, typer.Option(help="folder of the run")] = Path("runs/fit"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False,
    as_json: Json = False,
) -> None:
    """Shape MODEL until it keeps the budget on this device, and prove it."""
    from taut.fit.api import fit_text, open_text
    from taut.fit.request import Request, parse_duration
    from taut.report.console import print_result

    request = Request(
        threads=threads,
        batch=batch,
        search_time_s=parse_duration(search_time),
        strategy=strategy,
        moves=_words(moves),
        no_moves=_words(no_moves),
        keep=tuple(keep or ()),
        seed=seed,
        device=device,
    )
    opened = open_text(model, data, read_shapes(shape), batch, sys.argv[1:])
    result = fit_text(opened, budget, request, out, resume)
    if as_json:
        print(json.dumps(result.to_json()))
    else:
        print_result(result.report_data)
        print(f"report: {result.report()}")
    raise typer.Exit(int(result.exit_code))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
