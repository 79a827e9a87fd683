"""What a person asks of ``taut fit``: plain values, as given, with the defaults of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from taut.core.errors import BadInput


@dataclass(frozen=True)
class Request:
    """Options of a fit besides the model, the task and the budget."""

    threads: int | None = None
    """None: the cores that this process may use"""
    batch: int = 1
    search_time_s: float = 600.0
    proof_s: float = 60.0
    """Longest time of the proof that follows the search"""
    strategy: str = "auto"
    moves: tuple[str, ...] = ()
    """Empty: all that are installed"""
    no_moves: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    """Patterns (``fnmatch``) of node names that no move may change"""
    seed: int = 0
    device: str = "local"

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise BadInput(f"--threads {self.threads}", "is less than 1", "give a number of cores")
        if self.device != "local":
            raise BadInput(f"--device {self.device}", "is not known", "only local is, in this release")
        if self.batch < 1:
            raise BadInput(f"--batch {self.batch}", "is less than 1", "give a number of samples")
        if not self.proof_s > 0:
            raise BadInput(f"proof_s {self.proof_s}", "is not positive", "give seconds, such as 60")
        if not self.search_time_s > 0:
            raise BadInput(f"--search-time {self.search_time_s}s", "is not positive", "write for example 10m")

    def identity(self) -> Mapping[str, Any]:
        """What must be equal for a run to be taken up again; more time is welcome."""
        times = ("search_time_s", "proof_s")
        return {name: value for name, value in asdict(self).items() if name not in times}


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """``90s``, ``10m`` or ``1.5h`` in seconds."""
    number, unit = text[:-1], text[-1:]
    try:
        return float(number) * _SECONDS[unit]
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"duration {text!r}", "is not a number with s, m or h", "write for example 10m"
        ) from error
