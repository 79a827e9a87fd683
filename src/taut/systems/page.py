"""``docs/systems.md`` and ``taut systems``: the systems with the state that their committed results show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from taut.core.system import System
from taut.systems import SYSTEMS

RESULTS = Path(__file__).parents[3] / "results"
"""Committed results of full-scale runs, beside the package in a checkout"""


def describe_systems(system: str | None) -> str:
    """One line per system, or all that is known of one."""
    if system is not None:
        return _describe_one(SYSTEMS.load(system))
    return "\n".join(_line(SYSTEMS.load(name)) for name in SYSTEMS)


def systems_page() -> str:
    """The text of ``docs/systems.md``."""
    rows = [_row(SYSTEMS.load(name)) for name in SYSTEMS]
    head = "# Systems\n\nGenerated from `results/*.json` by `python -m taut.systems.page`.\n\n"
    return (
        head
        + "| no. | id | title | state | relations that do not hold |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def committed_result(system: System) -> dict[str, Any] | None:
    """The committed full-scale result of a system."""
    file = RESULTS / f"{system.id}.json"
    return json.loads(file.read_text()) if file.exists() else None


def state_of(system: System) -> str:
    result = committed_result(system)
    return "absent" if result is None else str(result["state"])


def _line(system: System) -> str:
    return f"{system.number:>4}  {system.id:<24} {state_of(system):<8} {system.title}"


def _row(system: System) -> str:
    result = committed_result(system) or {"relations": []}
    broken = [f"{r['name']} (was {r['value']:.4g})" for r in result["relations"] if not r["holds"]]
    return f"| {system.number} | {system.id} | {system.title} | {state_of(system)} | {'; '.join(broken)} |"


def _describe_one(system: System) -> str:
    lines = [_line(system), "claims:", *(f"  {claim}" for claim in system.claims)]
    lines += ["parts:", *(f"  {part}" for part in system.parts)]
    result = committed_result(system)
    if result is not None:
        lines += [f"relations at full scale ({result['date']}):"]
        lines += [
            f"  {'holds ' if r['holds'] else 'BROKEN'}  {r['name']}: {r['value']:.4g}"
            for r in result["relations"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(systems_page(), end="")
