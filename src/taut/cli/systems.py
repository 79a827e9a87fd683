"""``taut systems`` and ``taut try``: the published systems, and the experiments that show that they work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from taut.cli.options import Json
from taut.core.errors import Exit
from taut.core.system import Scale


def systems(system: Annotated[str | None, typer.Argument(help="id of one system")] = None) -> None:
    """List the published systems that are built, with the state of their claims."""
    from taut.systems.page import describe_systems

    print(describe_systems(system))


def try_system(
    system: Annotated[str | None, typer.Argument(help="id of one system")] = None,
    family: Annotated[str | None, typer.Option(help="all systems of a family")] = None,
    every: Annotated[bool, typer.Option("--all", help="all systems")] = False,
    scale: Annotated[Scale, typer.Option(help="mechanics in seconds, or the claim")] = Scale.SMOKE,
    out: Annotated[Path, typer.Option(help="folder for checkpoints and results")] = Path("runs/try"),
    as_json: Json = False,
) -> None:
    """Run the experiment of a system and check each of its relations."""
    from taut.systems import select_systems
    from taut.systems.trial import try_one

    results = [try_one(chosen, scale, out) for chosen in select_systems(system, family, every)]
    for result in results:
        print(json.dumps(result.to_json()) if as_json else result.describe())
    raise typer.Exit(int(Exit.YES if all(result.holds for result in results) else Exit.NO))
