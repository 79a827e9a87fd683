"""System 1, AMC: AutoML for Model Compression (He et al., arXiv 1802.03494).

A depthwise-separable network for CIFAR-10 is cut to a half and a quarter of its multiply-accumulates, by AMC
and by one share of all layers, with the same prune kernel (the largest input norms stay, readers are
refitted) and fine-tuning. The search sees the select split; accuracies are of the test split, latencies of
artifacts.

The paper's claim against a policy by hand is of VGG-16 cut to a fifth. At half there is no room for it here:
with the refit the uniform policy loses 4 to 5 points before fine-tuning, and the best of 740 policies of a
local search, chosen on all of the select split, was 0.5 points above it on the test split (0.2 on a network
twice as wide at its end). The relations at half stay, and do not hold; those at a quarter show the effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from taut.core.measurement import Measurement
from taut.core.move import Context
from taut.core.network import Network, Part
from taut.core.runner import Workload
from taut.core.system import Experiment, Relation, Scale, System
from taut.core.task import Split, Task
from taut.devices.local import default_threads, local_device
from taut.graph import Graph
from taut.graph.costs import total_costs
from taut.graph.to_torch import TorchGraph
from taut.measure import RaceSettings, race, wait_while_timing
from taut.moves.distill.recover import Recover, module_to_train
from taut.moves.prune.groups import trace_channels
from taut.moves.prune.macs import WidthCosts
from taut.moves.prune.reconstruct import Moments, stored_moments
from taut.nets.load import store_folder
from taut.nets.separable_cnn import separable_cnn
from taut.runtimes.artifact import ArtifactRecord, artifact_spec, save_artifact
from taut.search.amc import AmcResult, AmcSettings, search_widths
from taut.search.ddpg import DdpgSettings
from taut.search.pruning_environment import PruningEnvironment, Wall, quality_judge
from taut.tasks.cifar10 import cifar10
from taut.tasks.data import find_data
from taut.tasks.digits import digits
from taut.tasks.items import items_of
from taut.tasks.splits import Subset
from taut.train.loop import Hooks
from taut.train.recipe import Recipe
from taut.train.store import Order, get_or_train

HALF, QUARTER = 0.5, 0.25
"""Of the dense network's multiply-accumulates"""
STRETCHES = 10
"""Parts of the interleaved runs, each of which one network wins"""


@dataclass(frozen=True)
class Setup:
    """What one scale of the experiment uses."""

    task: Callable[[], Task]
    net: Callable[[int], Graph]
    """Seed -> untrained network"""
    training: Recipe
    tuning: Recover
    search: AmcSettings
    multiple: int
    seeds: tuple[int, ...]
    reward_samples: int
    timed_s: float


def experiment(scale: Scale, work_folder: Path) -> Experiment:
    """Train, search, cut, fine-tune and time, once per seed and share; what is in the folder is kept."""
    setup = SETUPS[scale]
    task = setup.task()
    test = task.test.open("the experiment of amc")
    rows = [
        _Run(setup, task, test, seed, share, work_folder / f"seed-{seed}-{share}").row()
        for seed in setup.seeds
        for share in (HALF, QUARTER)
    ]
    return Experiment(_relations(rows), rows, setup.seeds, NOTE)


@dataclass(frozen=True)
class _Run:
    """The experiment with one seed and share."""

    setup: Setup
    task: Task
    test: Split
    seed: int
    share: float
    folder: Path

    def row(self) -> dict[str, Any]:
        dense = self._trained()
        context = self._context(dense)
        moments = stored_moments(trace_channels(dense), context)
        environment = self._environment(dense, moments)
        found = self._found(environment, dense)
        blind = self._environment(dense, None)
        cut = {
            "amc": environment.build(found.widths),
            "uniform": environment.build(environment.uniform()),
            "blind": blind.build(found.widths),
        }
        tuned = {
            name: self.setup.tuning.apply(_network(cut[name]), context).network.graph
            for name in ("amc", "uniform")
        }
        medians = self._medians_ms(dense, tuned["amc"])
        return {
            "seed": self.seed,
            "share": self.share,
            "macs": {name: _macs(graph) for name, graph in {"dense": dense, **tuned}.items()},
            "widths": {"amc": found.widths, "uniform": environment.uniform()},
            "accuracy_cut": {name: self._accuracy(graph) for name, graph in cut.items()},
            "accuracy_tuned": {
                name: self._accuracy(graph) for name, graph in {"dense": dense, **tuned}.items()
            },
            "reward_gain": found.gain_in_standard_errors(self.setup.search.warmup),
            "latency_ms": medians,
            "stretches_won": sum(amc < whole for whole, amc in zip(*medians.values(), strict=True)),
        }

    def _trained(self) -> Graph:
        untrained = self.setup.net(self.seed)
        build = partial(module_to_train, untrained)
        order = Order(f"graph {untrained.digest()}", build, self.task, self.setup.training, self.seed)
        module = get_or_train(order, store_folder(), Hooks(pause=wait_while_timing))
        assert isinstance(module, TorchGraph)
        return module.to_graph()

    def _context(self, dense: Graph) -> Context:
        threads = default_threads()
        return Context(
            self.task, local_device(), self.folder, threads, seed=self.seed, original=_network(dense)
        )

    def _environment(self, dense: Graph, moments: Moments | None) -> PruningEnvironment:
        channels = trace_channels(dense)
        costs = WidthCosts.of(channels)
        judge = quality_judge(self.task, dense, self.setup.reward_samples, default_threads())
        wall = Wall(self.share * costs.total(costs.sizes), multiple=self.setup.multiple)
        return PruningEnvironment(channels, moments, judge, costs, wall)

    def _found(self, environment: PruningEnvironment, dense: Graph) -> AmcResult:
        """Search, or read what an earlier run with the same settings found."""
        file = self.folder / "search.json"
        made_from = {
            "net": dense.digest(),
            "macs": environment.wall.target,
            "samples": self.setup.reward_samples,
            **asdict(self.setup.search),
        }
        if file.exists() and (known := json.loads(file.read_text()))["made_from"] == made_from:
            return AmcResult(known["widths"], known["reward"], tuple(known["rewards"]))
        found = search_widths(environment, self.setup.search, self.seed)
        file.write_text(json.dumps({"made_from": made_from, **asdict(found)}))
        return found

    def _accuracy(self, graph: Graph) -> float:
        everything = replace(self.task, select=self.test)
        return quality_judge(everything, graph, len(self.test), default_threads())(graph)

    def _medians_ms(self, dense: Graph, amc: Graph) -> dict[str, list[float]]:
        """Median latency of each stretch of interleaved runs."""
        specs = {
            name: artifact_spec(self._artifact(name, graph))
            for name, graph in {"dense": dense, "amc": amc}.items()
        }
        workload = Workload("pictures", items_of(self.task.select, limit=32).items)
        medians = {}
        for name, measured in race(specs, workload, RaceSettings(self.setup.timed_s)).items():
            assert isinstance(measured, Measurement), f"{name} was not timed: {measured}"
            medians[name] = [
                float(np.median(part)) for part in np.array_split(measured.latency_ms, STRETCHES)
            ]
        return medians

    def _artifact(self, name: str, graph: Graph) -> Path:
        folder = self.folder / f"{name}-{graph.digest()[:16]}"
        if folder.exists():
            return folder
        return save_artifact(_network(graph), folder, ArtifactRecord(default_threads(), local_device()))


def _network(graph: Graph) -> Network:
    return Network("separable", {"main": Part(graph)})


def _macs(graph: Graph) -> int:
    """Counted on the exported graph."""
    return total_costs(graph).macs


def _relations(rows: Sequence[Mapping[str, Any]]) -> list[Relation]:
    dense = [row["accuracy_tuned"]["dense"] for row in rows]
    half, quarter = ([row for row in rows if row["share"] == share] for share in (HALF, QUARTER))
    gains = [row["reward_gain"] for row in rows]
    won = [row["stretches_won"] for row in rows]
    refit, dense_gap = _gap(half, "cut", "amc", "blind"), _gap(half, "tuned", "dense", "amc")
    return [
        Relation("accuracy(dense) >= 60 points", min(dense), 60.0),
        Relation("accuracy(dense) <= 92 points", max(dense), 92.0, is_at_least=False),
        Relation("half: exported macs(amc) / macs(dense) <= 0.5", _most_macs(half), HALF, False),
        Relation("quarter: exported macs(amc) / macs(dense) <= 0.25", _most_macs(quarter), QUARTER, False),
        Relation("half, cut: accuracy(amc) - accuracy(amc without refit) >= 5 points", refit, 5.0),
        Relation("half, tuned: accuracy(dense) - accuracy(amc) <= 1 point", dense_gap, 1.0, False),
        *_against_uniform("half", half),
        *_against_uniform("quarter", quarter),
        Relation("mean reward: last 30 - random >= 2 standard errors, every search", min(gains), 2.0),
        Relation("latency(amc) < latency(dense) in >= 9 of 10 stretches, every net", min(won), 9.0),
    ]


def _against_uniform(label: str, rows: Sequence[Mapping[str, Any]]) -> list[Relation]:
    cut, tuned = (_gap(rows, stage, "amc", "uniform") for stage in ("cut", "tuned"))
    return [
        Relation(f"{label}, cut: accuracy(amc) - accuracy(uniform) >= 2 points", cut, 2.0),
        Relation(f"{label}, tuned: accuracy(amc) - accuracy(uniform) >= 0 points", tuned, 0.0),
    ]


def _most_macs(rows: Sequence[Mapping[str, Any]]) -> float:
    return max(row["macs"]["amc"] / row["macs"]["dense"] for row in rows)


def _gap(rows: Sequence[Mapping[str, Any]], stage: str, one: str, other: str) -> float:
    """Mean over the seeds of the difference between two networks' accuracies."""
    accuracies = [row[f"accuracy_{stage}"] for row in rows]
    return float(np.mean([accuracy[one] - accuracy[other] for accuracy in accuracies]))


def _cifar10_of_10000() -> Task:
    """CIFAR-10 with the first 10,000 samples of the train split."""
    task = cifar10(find_data("cifar10"))
    assert task.train is not None
    return replace(task, train=Subset(task.train, np.arange(10_000)), digest=f"{task.digest} 10000")


# float32: depthwise convolutions train faster in it than in bfloat16 on processors of today.
SETUPS = {
    Scale.SMOKE: Setup(
        task=digits,
        net=lambda seed: separable_cnn(8, ((16, 2), (16, 1)), (1, 8, 8), seed),
        training=Recipe(epochs=0.2, batch_size=64, precision="float32"),
        tuning=Recover(epochs=0.05, batch_size=64, precision="float32"),
        search=AmcSettings(episodes=4, warmup=2, agent=DdpgSettings(hidden=16, batch_size=8)),
        multiple=2,
        seeds=(0,),
        reward_samples=64,
        timed_s=0.05,
    ),
    Scale.FULL: Setup(
        task=_cifar10_of_10000,
        net=lambda seed: separable_cnn(seed=seed),
        training=Recipe(epochs=30, precision="float32", ema_decay=0.99),
        tuning=Recover(epochs=8, lr=0.05, precision="float32"),
        search=AmcSettings(episodes=250, warmup=100),
        multiple=8,
        seeds=(0, 1, 2),
        reward_samples=1000,
        timed_s=3.0,
    ),
}

NOTE = (
    "CIFAR-10 JPEG, 10,000 training pictures, instead of Fashion-MNIST. Networks are cut in the search, not "
    "masked. The last 30 episodes are compared with all random ones. At half of the MACs the uniform policy "
    "with the same refit leaves no room for AMC to be better: the best policy that a local search found was "
    "0.5 points above it before fine-tuning. At a quarter the effect shows."
)

SYSTEM = System(
    id="amc",
    number=1,
    title="AMC: AutoML for Model Compression and Acceleration on Mobile Devices",
    family="prune",
    claims=(
        "VGG-16 at 4x fewer FLOPs: 2.7 points better than the hand-made policy",
        "MobileNet: 1.81x measured on a phone, 1.43x on a Titan XP, -0.1% top-1",
        "no fine-tuning inside the search",
    ),
    parts=(
        "taut.search.amc:search_widths",
        "taut.search.ddpg:Ddpg",
        "taut.search.pruning_environment:PruningEnvironment",
        "taut.moves.prune.groups:trace_channels",
        "taut.moves.prune.reconstruct:cut_and_refit",
        "taut.moves.prune.macs:WidthCosts",
        "taut.moves.distill.recover:Recover",
        "taut.measure:race",
    ),
    experiment=experiment,
    works_when=(
        "at half the FLOPs, 3 seeds: AMC is at least 2 points above uniform shrinking before fine-tuning, "
        "within 1 point of the dense network and not below uniform after it; faster in 9 of 10 runs"
    ),
    deviations=(
        "CIFAR-10 instead of Fashion-MNIST",
        "compared with uniform shrinking at a quarter of the MACs as well: at half both lose too little",
        "one action per group of tied channels, on networks that are cut instead of masked",
        "the memory holds the action that the wall and the rounding left",
    ),
)
