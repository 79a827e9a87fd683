"""Runners take turns on the same cores, each in a process of its own, in random order within each round.

A turn is a block of back-to-back runs. Its first runs, which find caches and branch predictors full of the
others' work, are discarded; whoever does not have the turn is stopped. So steady state means: warm caches,
calls without a pause between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.measurement import Measurement
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import FOREIGN_SHARE_LIMIT, WINDOW_S, ForeignLoad, Patience
from taut.measure.environment import environment_record, timing_cores
from taut.measure.exchange import save_items
from taut.measure.process import Child
from taut.measure.settings import Limits

# Long against timer and wake-up jitter; many short turns tell more than few long ones when the load of the
# machine comes and goes.
_TURN_MS = 10.0
# Refilling a 32 MiB cache takes 1-2 ms; runs above the second limit do not feel it.
_DISCARD_MS = 2.0
_NO_DISCARD_ABOVE_MS = 50.0


Turns = Mapping[str, np.ndarray]
"""One round: latencies in ms by the player's name"""


@dataclass
class Player:
    """An opened, warm runner at the table, and everything timed of it."""

    name: str
    child: Child
    open_ms: float
    first_run_ms: float
    latency_ms: float
    """Estimate after warm-up, which sizes its turns"""
    is_stable: bool
    """Whether it stopped getting faster during warm-up"""
    burnt_s: float
    """Processor time of its process so far"""
    runs_per_turn: int
    turns: list[np.ndarray] = field(default_factory=list)

    def take_turn(self, start: int) -> np.ndarray:
        """Run one block from item ``start`` and return its latencies in ms."""
        reply = self.child.ask("run", start=start, discard=self._discard, count=self.runs_per_turn)
        self.burnt_s = reply["cpu_s"]
        return np.array(reply["latency_ms"])

    @property
    def _discard(self) -> int:
        if self.latency_ms > _NO_DISCARD_ABOVE_MS:
            return 0
        return max(1, round(_DISCARD_MS / self.latency_ms))


@dataclass
class Table:
    """Where the players of one measurement sit down, play rounds, and what disturbed them.

    A player that fails raises, or, where ``failures`` is given, leaves the table with its error noted there.

    with Table(limits, rng, patience).seated(specs, workload) as table:
        for turns in table.rounds():        # latencies in ms by name
            ...
    """

    limits: Limits
    rng: np.random.Generator
    patience: Patience
    failures: dict[str, str] | None = None
    players: list[Player] = field(default_factory=list, init=False)
    cores: tuple[int, ...] = field(init=False)
    dropped_rounds: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.cores = timing_cores(self.limits.threads)

    @contextmanager
    def seated(self, specs: Mapping[str, RunnerSpec], workload: Workload) -> Iterator[Table]:
        """Open and warm one runner after the other, in random order; BadInput for an empty workload."""
        if not workload.items:
            raise BadInput(f"workload {workload.name!r}", "has no items", "give at least one input")
        with ExitStack() as stack:
            items = Path(stack.enter_context(TemporaryDirectory(prefix="taut-"))) / "items.npz"
            save_items(items, workload.items)
            # Who comes first may find better memory, so nobody always does.
            names = [list(specs)[index] for index in self.rng.permutation(len(specs))]
            children = [
                stack.enter_context(Child(name, specs[name], items, self.cores, self.limits.timeout_s))
                for name in names
            ]
            for child in children:
                with self._spared(child.name):
                    self.players.append(_seat(child, self.limits))
            yield self

    def rounds(self) -> Iterator[Turns]:
        """Play rounds without end and yield the quiet ones.

        Rounds of a window in which something else used the processor are dropped, until patience is over.
        """
        number = 0
        while True:
            window, foreign_share, window_s = self._window(number)
            number += len(window)
            if foreign_share > FOREIGN_SHARE_LIMIT and not self.patience.is_over:
                self.patience.lost_s += window_s
                self.dropped_rounds += len(window)
                continue
            for turns in window:
                for player in self.players:
                    player.turns.append(turns[player.name])
                yield turns

    def _window(self, number: int) -> tuple[list[Turns], float, float]:
        """Play rounds for as long as the ticks of the system's clocks need to tell, at least one."""
        foreign = ForeignLoad(self.cores)
        foreign.begin(self._burnt_s)
        window = [self._round(number)]
        while foreign.elapsed_s < WINDOW_S:
            window.append(self._round(number + len(window)))
        return window, foreign.share(self._burnt_s), foreign.elapsed_s

    def _round(self, number: int) -> Turns:
        turns = {}
        for index in self.rng.permutation(len(self.players)):
            player = self.players[index]
            with self._spared(player.name):
                turns[player.name] = player.take_turn(number * player.runs_per_turn)
        self.players = [player for player in self.players if player.name in turns]
        return turns

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """Note the failure of one player where that is wanted, instead of ending the measurement."""
        try:
            yield
        except EnvironmentFailed as error:
            if self.failures is None:
                raise
            self.failures[name] = str(error)

    @property
    def _burnt_s(self) -> float:
        return sum(player.burnt_s for player in self.players)

    def equalise_turns(self) -> None:
        """Give every player as many runs a turn, so that a round compares the same items."""
        runs = min(player.runs_per_turn for player in self.players)
        for player in self.players:
            player.runs_per_turn = runs

    def measurements(self) -> dict[str, Measurement]:
        """Everything timed so far by name. The children must still be alive: memory is asked of them."""
        measured = {}
        for player in self.players:
            with self._spared(player.name):
                measured[player.name] = self._measurement(player)
        return measured

    def _measurement(self, player: Player) -> Measurement:
        memory = player.child.ask("memory")
        environment = environment_record(self.cores) | {
            "peak_resident_bytes": memory["peak_bytes"],
            "runs_per_turn": player.runs_per_turn,
            "warm_up_was_stable": player.is_stable,
            "machine_never_quiet": self.patience.is_over,
        }
        latency_ms = np.concatenate(player.turns) if player.turns else np.empty(0)
        return Measurement(
            latency_ms=latency_ms,
            open_ms=player.open_ms,
            first_run_ms=player.first_run_ms,
            peak_memory_bytes=memory["growth_bytes"],
            environment=environment,
            contended=self.dropped_rounds * player.runs_per_turn,
            sittings=(len(latency_ms),),
        )


def merged(measurements: Sequence[Measurement]) -> Measurement:
    """Join a runner's measurements: all runs, the medians of opening and first run, the peak of memory."""
    return Measurement(
        latency_ms=np.concatenate([one.latency_ms for one in measurements]),
        open_ms=float(np.median([one.open_ms for one in measurements])),
        first_run_ms=float(np.median([one.first_run_ms for one in measurements])),
        peak_memory_bytes=max(one.peak_memory_bytes for one in measurements),
        environment=measurements[-1].environment,
        contended=sum(one.contended for one in measurements),
        sittings=tuple(count for one in measurements for count in one.sittings),
    )


def _seat(child: Child, limits: Limits) -> Player:
    child.ask("start")
    open_ms = child.ask("open")["open_ms"]
    first_run_ms = child.ask("run", start=0, discard=0, count=1)["latency_ms"][0]
    warm = child.ask("warm", seconds=limits.warm_s)
    return Player(
        name=child.name,
        child=child,
        open_ms=open_ms,
        first_run_ms=first_run_ms,
        latency_ms=warm["latency_ms"],
        is_stable=warm["stable"],
        burnt_s=warm["cpu_s"],
        runs_per_turn=max(1, round(_TURN_MS / warm["latency_ms"])),
    )
