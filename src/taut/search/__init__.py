"""Strategies: how plans are chosen."""

from __future__ import annotations

from taut.core.registry import Registry

STRATEGIES = Registry("strategy")
STRATEGIES.register("knapsack", "taut.search.knapsack:Knapsack")
STRATEGIES.register("amc", "taut.search.amc:Amc", extra="train")
