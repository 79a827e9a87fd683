"""Runners take turns on the same cores, each in a process of its own, in random order within each round.

A turn is a block of back-to-back runs. Its first runs, which find caches and branch predictors full of the
others' work and thread pools asleep, are discarded; the child answers only when its pools are calm, and
only then does the next turn begin. So steady state means: warm caches, calls without a pause between them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.measurement import Measurement
from taut.core.runner import RunnerSpec, Workload
from taut.measure.contention import FOREIGN_SHARE_LIMIT, WINDOW_S, ForeignLoad
from taut.measure.environment import environment_record, timing_cores
from taut.measure.exchange import save_items
from taut.measure.process import Child
from taut.measure.settings import Limits

# Long against timer and wake-up jitter, short against drift.
_TURN_MS = 20.0
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
    runs_per_turn: int = 1
    burnt_s: float = 0.0
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
    """The players of one measurement, where they sit, and what disturbed them.

    A player that fails raises, or, where ``failures`` is given, leaves the table with its error noted there.
    """

    players: list[Player]
    cores: Sequence[int]
    rng: np.random.Generator
    failures: dict[str, str] | None = None
    kept_rounds: int = 0
    dropped_rounds: int = 0
    gave_up_on_quiet: bool = False

    def rounds(self, seconds: float) -> Iterator[Turns]:
        """Yield quiet rounds (latencies in ms by name) until the seconds are over, at least one.

        Rounds of a window in which something else used the processor are dropped. On a machine that is
        never quiet nothing is dropped any more once a third of the time has gone by in vain, and
        ``gave_up_on_quiet`` says so.
        """
        end, lost_s, number = time.monotonic() + seconds, 0.0, 0
        while time.monotonic() < end or not self.kept_rounds:
            window, foreign_share, window_s = self._window(number, end)
            number += len(window)
            if foreign_share > FOREIGN_SHARE_LIMIT and not self.gave_up_on_quiet:
                lost_s += window_s
                self.dropped_rounds += len(window)
                self.gave_up_on_quiet = lost_s > seconds / 3
                continue
            self._keep(window)
            yield from window

    def _window(self, number: int, end: float) -> tuple[list[Turns], float, float]:
        """Play rounds for as long as the ticks of the system's clocks need to tell; at least one."""
        foreign = ForeignLoad(self.cores)
        foreign.begin(self._burnt_s)
        window = [self._round(number)]
        while foreign.elapsed_s < WINDOW_S and time.monotonic() < end:
            window.append(self._round(number + len(window)))
        return window, foreign.share(self._burnt_s), foreign.elapsed_s

    def _round(self, number: int) -> Turns:
        turns = {}
        for index in self.rng.permutation(len(self.players)):
            player = self.players[index]
            with self.spared(player.name):
                turns[player.name] = player.take_turn(number * player.runs_per_turn)
        self.players = [player for player in self.players if player.name in turns]
        return turns

    def _keep(self, window: Sequence[Turns]) -> None:
        self.kept_rounds += len(window)
        for player in self.players:
            player.turns += [turns[player.name] for turns in window]

    @contextmanager
    def spared(self, name: str) -> Iterator[None]:
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

    def measurement(self, player: Player) -> Measurement:
        """Everything timed of a player so far. Its child must still be alive: memory is asked of it."""
        memory = player.child.ask("memory")
        environment = environment_record(self.cores) | {
            "peak_resident_bytes": memory["peak_bytes"],
            "runs_per_turn": player.runs_per_turn,
            "warm_up_was_stable": player.is_stable,
            "machine_never_quiet": self.gave_up_on_quiet,
        }
        return Measurement(
            latency_ms=np.concatenate(player.turns) if player.turns else np.empty(0),
            open_ms=player.open_ms,
            first_run_ms=player.first_run_ms,
            peak_memory_bytes=memory["growth_bytes"],
            environment=environment,
            contended=self.dropped_rounds * player.runs_per_turn,
        )


@contextmanager
def seated(
    specs: Mapping[str, RunnerSpec],
    workload: Workload,
    limits: Limits,
    failures: dict[str, str] | None = None,
) -> Iterator[Table]:
    """Open and warm one runner after the other and seat them at a table; BadInput for an empty workload."""
    if not workload.items:
        raise BadInput(f"workload {workload.name!r}", "has no items", "give at least one input")
    cores = timing_cores(limits.threads)
    table = Table([], cores, np.random.default_rng(limits.seed), failures)
    with ExitStack() as stack:
        items = Path(stack.enter_context(TemporaryDirectory(prefix="taut-"))) / "items.npz"
        save_items(items, workload.items)
        for name, spec in specs.items():
            with table.spared(name):
                child = stack.enter_context(Child(name, spec, items, cores, limits.timeout_s))
                table.players.append(_seat(child, limits))
        yield table


def _seat(child: Child, limits: Limits) -> Player:
    open_ms = child.ask("open")["open_ms"]
    first_run_ms = child.ask("run", start=0, discard=0, count=1)["latency_ms"][0]
    warm = child.ask("warm", seconds=limits.warm_s)
    runs = max(1, round(_TURN_MS / warm["latency_ms"]))
    return Player(child.name, child, open_ms, first_run_ms, warm["latency_ms"], warm["stable"], runs)
