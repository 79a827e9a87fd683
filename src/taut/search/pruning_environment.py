"""Pruning as episodes: one step per group of channels, one reward for the whole network.

The environment of AMC (He et al., arXiv 1802.03494): the action is the share of channels that a layer keeps
of its inputs, the wall clips it so that the budget can still be met, channels are chosen by the norm of the
weights that read them, readers are refitted from the original's moments, and the reward is quality on
held-out samples without training. Deviation: a network is cut, not masked with zeros; what it computes is
the same, and it runs faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from taut.core.errors import BadInput
from taut.core.quantities import Better
from taut.core.task import Arrays, Task
from taut.graph.ir import Graph
from taut.moves.prune.cut import Kept, cut_channels
from taut.moves.prune.groups import Channels, Group, group_widths
from taut.moves.prune.importance import Importance, best_units, weight_scores
from taut.moves.prune.macs import WidthCosts
from taut.moves.prune.reconstruct import Moments, cut_and_refit
from taut.moves.prune.trace import Role
from taut.runtimes.evaluate import Evaluator
from taut.tasks.fidelity import cosine_of

Widths = Mapping[str, int]
"""Group name -> units kept"""

STATE_SIZE = 12


class Cost(Protocol):
    """What the budget limits, as a function of the widths of all groups; never falls when one grows."""

    def total(self, widths: Widths) -> float: ...


@dataclass(frozen=True)
class Wall:
    """The budget and how finely channels are cut."""

    target: float
    """Largest cost, in the cost's own unit"""
    lowest_share: float = 0.2
    multiple: int = 8

    def candidates(self, group: Group) -> tuple[int, ...]:
        """Widths of a group that are tried, narrowest first."""
        widths = group_widths(group, self.multiple)
        return tuple(sorted(width for width in widths if width >= self.lowest_share * group.size))

    def lowest_cost(self, channels: Channels, cost: Cost) -> float:
        """What the narrowest network costs."""
        return cost.total({group.name: self.candidates(group)[0] for group in channels.groups})


class PruningEnvironment:
    """Episodes over the groups of a graph.

    state = environment.state(0, {}, 1.0)
    width = environment.allowed(0, 0.6, {})            units of the first group, within the wall
    ...
    reward = environment.reward({"conv1": 8, ...})     of the whole network
    """

    def __init__(
        self,
        channels: Channels,
        moments: Moments | None,
        judge: Callable[[Graph], float],
        cost: Cost,
        wall: Wall,
    ) -> None:
        """Without moments nothing is refitted. Raises BadInput where the wall cannot be met."""
        self.channels, self.moments, self._judge, self._cost, self.wall = channels, moments, judge, cost, wall
        self._rewards: dict[tuple[tuple[str, int], ...], float] = {}
        lowest = wall.lowest_cost(channels, cost)
        if lowest > wall.target:
            rule = f"is below {lowest:.4g}, which the narrowest network costs"
            raise BadInput(f"a budget of {wall.target:.4g} for pruning", rule, "allow more")

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.channels.groups

    def allowed(self, place: int, action: float, chosen: Widths) -> int:
        """Round a share up to a candidate, then down until cutting all that follow would meet the budget."""
        group = self.groups[place]
        rest = {later.name: self.wall.candidates(later)[0] for later in self.groups[place + 1 :]}
        widths = self.wall.candidates(group)
        wanted = next((width for width in widths if width >= action * group.size), widths[-1])
        for width in reversed(widths[: widths.index(wanted) + 1]):
            if self._cost.total({**chosen, group.name: width, **rest}) <= self.wall.target:
                return width
        return widths[0]

    def uniform(self) -> dict[str, int]:
        """Return one share of every group, rounded so that the budget is used as far as it can be.

        The largest share whose widths rounded down are within the budget; then groups are rounded up instead
        while it lasts, those first that lost most by rounding.
        """
        for share in np.linspace(1, 0, 401):
            widths = {group.name: self._widths_around(group, share)[0] for group in self.groups}
            if self._cost.total(widths) <= self.wall.target:
                return self._rounded_up(widths, share)
        raise AssertionError("the narrowest network is within the budget")

    def _rounded_up(self, widths: dict[str, int], share: float) -> dict[str, int]:
        for group in sorted(self.groups, key=lambda group: widths[group.name] / group.size):
            wider = {**widths, group.name: self._widths_around(group, share)[1]}
            if self._cost.total(wider) <= self.wall.target:
                widths = wider
        return widths

    def _widths_around(self, group: Group, share: float) -> tuple[int, int]:
        """The candidates next to a share of a group: not above it where there is one, and the next."""
        widths = self.wall.candidates(group)
        place = max((i for i, width in enumerate(widths) if width <= share * group.size), default=0)
        return widths[place], widths[min(place + 1, len(widths) - 1)]

    def build(self, widths: Widths) -> Graph:
        """Return the cut network, refitted where moments are known."""
        kept = {
            group.name: best_units(group, self._scores[group.name], widths[group.name])
            for group in self.groups
        }
        state = Kept.units(self.channels, kept)
        return cut_channels(state) if self.moments is None else cut_and_refit(state, self.moments)

    def reward(self, widths: Widths) -> float:
        """Judge the network of the widths; judged ones are remembered."""
        key = tuple(sorted(widths.items()))
        if key not in self._rewards:
            self._rewards[key] = self._judge(self.build(widths))
        return self._rewards[key]

    def state(self, place: int, chosen: Widths, last_action: float) -> np.ndarray:
        """What the agent sees before it acts on a group; every entry lies in 0..1.

        Of the first reader of the group's channels: place, whether a convolution, outputs, inputs, height,
        width, stride, kernel, share of MACs; then the shares of MACs cut so far and still to be decided on,
        and the last action.
        """
        full = self._macs.sizes
        cut = 1 - self._macs.total({**full, **chosen}) / self._macs.total(full)
        later = min(1.0, float(self._features[place + 1 :, -1].sum()))
        return np.array([*self._features[place], cut, later, last_action])

    @cached_property
    def _scores(self) -> dict[str, np.ndarray]:
        return {g.name: weight_scores(self.channels, g, Importance.L1_INPUTS) for g in self.groups}

    @cached_property
    def _macs(self) -> WidthCosts:
        return WidthCosts.of(self.channels)

    @cached_property
    def _features(self) -> np.ndarray:
        rows = np.array([self._layer(place, group) for place, group in enumerate(self.groups)], np.float64)
        scaled = rows / np.maximum(rows.max(axis=0), 1)
        scaled[:, -1] = rows[:, -1] / self._macs.total(self._macs.sizes)
        return scaled

    def _layer(self, place: int, group: Group) -> list[float]:
        cut = (group.having(Role.CONSUMES) or group.having(Role.PRODUCES))[0]
        node, weight = self.channels.graph.by_name[cut.node], self.channels.graph.constants[cut.constant]
        data = self.channels.graph.value(node.inputs[0])
        height, width = (*(data.static_shape[2:] if data else ()), 1, 1)[:2]
        kernel = weight.shape[2:] or (1,)
        outputs = weight.size / weight.shape[cut.axis] / math.prod(kernel)
        stride = node.attributes.get("strides", [1])[0]
        macs = self._macs.macs.get(node.name, 0)
        return [place, len(weight.shape) > 2, outputs, group.size, height, width, stride, kernel[0], macs]


def quality_judge(task: Task, original: Graph, samples: int, threads: int) -> Callable[[Graph], float]:
    """Return a judge of graphs by the first samples of the select split, of which higher is better.

    It gives the task's main metric, or the mean cosine to the original's outputs where there is none.
    """
    batch = task.select.take(np.arange(min(samples, len(task.select))))
    wanted = Evaluator(original, threads=threads).run_many(batch.inputs)

    def judge(graph: Graph) -> float:
        outputs = Evaluator(graph, threads=threads).run_many(batch.inputs)
        metric = task.main_metric
        if metric is None:
            return float(np.mean([cosine_of(_one(outputs, i), _one(wanted, i)) for i in range(len(batch))]))
        value = float(metric.per_sample(outputs, batch.targets).mean())
        return value if metric.better is Better.HIGHER else -value

    return judge


def _one(outputs: Arrays, sample: int) -> Arrays:
    return {name: array[sample] for name, array in outputs.items()}
