"""Moves: everything that can be done to a network, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taut.core.move import Plan
from taut.core.registry import Registry

MOVES = Registry("move")
MOVES.register("runtime", "taut.moves.run.runtime:KIND")
MOVES.register("regions", "taut.moves.run.regions:KIND")
MOVES.register("fold", "taut.moves.fold:KIND")
MOVES.register("int8", "taut.moves.quantize.static_int8:KIND")
MOVES.register("dynamic_int8", "taut.moves.quantize.dynamic_int8:KIND")
MOVES.register("weight_only", "taut.moves.quantize.weight_only:KIND")
MOVES.register("qat", "taut.moves.quantize.qat:KIND", extra="train")
MOVES.register("prune", "taut.moves.prune.channel_prune:KIND", extra="train")
MOVES.register("drop_branches", "taut.moves.prune.branches:KIND")
MOVES.register("recover", "taut.moves.distill.recover:KIND", extra="train")


def plan_from_json(data: list[dict[str, Any]], label: str = "") -> Plan:
    """Rebuild a plan from what ``Plan.to_json`` wrote."""
    return Plan.of([_move_from_json(entry) for entry in data], label)


def _move_from_json(entry: Mapping[str, Any]) -> Any:
    return MOVES.load(entry["move"]).from_json(entry["settings"])
