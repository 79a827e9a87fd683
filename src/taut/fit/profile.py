"""``taut.profile``: where the time goes, by node, beside what the node computes and moves."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.network import Network
from taut.core.task import Task
from taut.devices.local import default_threads, local_device
from taut.fit.preflight import timed_items
from taut.graph.costs import NodeCost, node_costs
from taut.runtimes.artifact import ArtifactRecord, profile_artifact, save_artifact

UNKNOWN = "(not in the graph)"


@dataclass(frozen=True)
class NodeProfile:
    """A node's measured kernel time and its counted work."""

    node: str
    op: str
    latency_ms: float
    precision: str
    macs: int
    moved_bytes: int


@dataclass(frozen=True)
class Profile:
    """All nodes, slowest first. Kernel times are taken with a profiler and sum to more than the latency."""

    nodes: tuple[NodeProfile, ...]

    @property
    def total_ms(self) -> float:
        return sum(node.latency_ms for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        return {"total_ms": self.total_ms, "kind": "measured", "nodes": [vars(node) for node in self.nodes]}

    def describe(self, top: int) -> str:
        """A table of the slowest nodes."""
        lines = [f"{'ms':>9}  {'share':>6}  {'GMAC/s':>7}  {'MB':>7}  {'precision':<9} node"]
        for node in self.nodes[:top]:
            pace = node.macs / node.latency_ms / 1e6 if node.latency_ms else 0.0
            share = node.latency_ms / self.total_ms if self.total_ms else 0.0
            numbers = f"{node.latency_ms:9.4f}  {share:6.1%}  {pace:7.1f}  {node.moved_bytes / 1e6:7.2f}"
            lines.append(f"{numbers}  {node.precision:<9} {node.op} {node.node}")
        rest = self.nodes[top:]
        lines.append(
            f"{sum(n.latency_ms for n in rest):9.4f}  in {len(rest)} more; {self.total_ms:.4f} ms in all"
        )
        return "\n".join(lines)


def profile_network(network: Network, task: Task, threads: int | None = None) -> Profile:
    """Time every kernel of a network on the first items of the select split."""
    count = threads or default_threads()
    with tempfile.TemporaryDirectory(prefix="taut-profile-") as temporary:
        folder = Path(temporary) / "network"
        save_artifact(network, folder, ArtifactRecord(count, local_device()))
        times = profile_artifact(folder, timed_items(task, 1), count)
    costs = {cost.node: cost for cost in node_costs(network.graph)}
    rows: dict[str, NodeProfile] = {}
    for kernel in times:
        names = [name for name in kernel.nodes if name in costs] or [UNKNOWN]
        for name in names:
            rows[name] = _added(
                rows.get(name), name, costs.get(name), kernel.latency_ms / len(names), kernel.precision
            )
    return Profile(tuple(sorted(rows.values(), key=lambda row: -row.latency_ms)))


def _added(
    row: NodeProfile | None, name: str, cost: NodeCost | None, latency_ms: float, precision: str
) -> NodeProfile:
    earlier_ms = row.latency_ms if row else 0.0
    if cost is None:
        return NodeProfile(name, "", earlier_ms + latency_ms, precision, 0, 0)
    moved = cost.input_bytes + cost.output_bytes + cost.weight_bytes
    return NodeProfile(name, cost.op, earlier_ms + latency_ms, precision, cost.macs, moved)
