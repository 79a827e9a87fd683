"""``taut.profile``: where the time goes, by node, beside what the node computes and moves, and could reach.

Bytes are those of a node by itself: where a runtime fuses nodes, or passes values on in stripes, it moves
less, and may be faster than what the waterline says of the nodes one after the other.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taut.core.errors import BadInput
from taut.core.network import Network
from taut.core.task import Task
from taut.devices.local import default_threads, local_device
from taut.fit.preflight import timed_items
from taut.graph.costs import NodeCost, node_costs
from taut.measure.peaks import Peaks, measured_peaks
from taut.predict.waterline import Waterline, Work
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

    @property
    def work(self) -> Work:
        """What it has to do, at the pace of its precision; other precisions count as float32."""
        known = self.precision if self.precision in ("bfloat16", "int8") else "float32"
        return Work(self.macs, self.moved_bytes, known)


@dataclass(frozen=True)
class Profile:
    """All nodes, slowest first. Kernel times are taken with a profiler and sum to more than the latency."""

    nodes: tuple[NodeProfile, ...]
    peaks: Peaks | None = None
    """Of as many threads; None where no compiler can measure them"""

    @property
    def total_ms(self) -> float:
        return sum(node.latency_ms for node in self.nodes)

    @property
    def waterline(self) -> Waterline | None:
        return Waterline([node.work for node in self.nodes], self.peaks) if self.peaks else None

    def to_json(self) -> dict[str, Any]:
        line = self.waterline
        reach = {"ideal_ms": 1e3 * line.ideal_s, "attainable_ms": 1e3 * line.attainable_s} if line else {}
        nodes = [{**vars(node), "peak_share": self._share(node)} for node in self.nodes]
        return {"total_ms": self.total_ms, "kind": "measured", **reach, "nodes": nodes}

    def _share(self, node: NodeProfile) -> float | None:
        """Share of the peak that a node's arithmetic reaches."""
        if self.waterline is None or not node.latency_ms:
            return None
        return 1e3 * Waterline([node.work], self.waterline.peaks).ideal_s / node.latency_ms

    def describe(self, top: int) -> str:
        """A table of the slowest nodes, and the waterline of all."""
        lines = [
            f"{'ms':>9}  {'share':>6}  {'GMAC/s':>7}  {'of peak':>7}  {'MB':>7}  {'MAC/B':>7}  "
            f"{'precision':<9} node"
        ]
        for node in self.nodes[:top]:
            pace = node.macs / node.latency_ms / 1e6 if node.latency_ms else 0.0
            share = node.latency_ms / self.total_ms if self.total_ms else 0.0
            numbers = f"{node.latency_ms:9.4f}  {share:6.1%}  {pace:7.1f}  {self._reached(node):>7}"
            intensity = f"{node.work.intensity:.1f}{self._mark(node)}" if node.moved_bytes else ""
            lines.append(
                f"{numbers}  {node.moved_bytes / 1e6:7.2f}  {intensity:>7}  "
                f"{node.precision:<9} {node.op} {node.node}"
            )
        rest = self.nodes[top:]
        lines.append(
            f"{sum(n.latency_ms for n in rest):9.4f}  in {len(rest)} more; {self.total_ms:.4f} ms in all"
        )
        return "\n".join([*lines, *self._describe_waterline()])

    def _reached(self, node: NodeProfile) -> str:
        share = self._share(node)
        return "" if share is None or not node.macs else f"{share:.1%}"

    def _mark(self, node: NodeProfile) -> str:
        """Waves where memory bounds a node."""
        line = self.waterline
        return "~" if line is not None and line.is_under_water(node.work) else " "

    def _describe_waterline(self) -> list[str]:
        line = self.waterline
        if line is None:
            return []
        under = sum(1e3 * line.of(node.work) for node in self.nodes if line.is_under_water(node.work))
        return [
            f"{1e3 * line.ideal_s:9.4f}  ms if all ran at the peak ({line.peaks.threads} threads)",
            f"{1e3 * line.attainable_s:9.4f}  ms attainable node by node; {under:.4f} under water (~), "
            "where memory bounds",
            f"{1e3 * line.ideal_s / max(self.total_ms, 1e-9):9.1%}  of the peak reached, "
            f"{line.most_efficiency:.1%} attainable",
        ]


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
    return Profile(tuple(sorted(rows.values(), key=lambda row: -row.latency_ms)), _peaks(count))


def _peaks(threads: int) -> Peaks | None:
    try:
        return measured_peaks(threads)
    except BadInput:  # no compiler: the profile is worth having without them
        return None


def _added(
    row: NodeProfile | None, name: str, cost: NodeCost | None, latency_ms: float, precision: str
) -> NodeProfile:
    earlier_ms = row.latency_ms if row else 0.0
    if cost is None:
        return NodeProfile(name, "", earlier_ms + latency_ms, precision, 0, 0)
    moved = cost.input_bytes + cost.output_bytes + cost.weight_bytes
    return NodeProfile(name, cost.op, earlier_ms + latency_ms, precision, cost.macs, moved)
