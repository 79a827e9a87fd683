"""From a plan to an artifact: apply the moves, verify between them, save; and what the artifact costs.

Training dominates, so networks are remembered by the MODULE moves that made them: the same weights serve
every placement and setting that is tried on them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from taut.core.errors import BadInput
from taut.core.move import Context, Form, Moved, Plan
from taut.core.network import Network
from taut.graph.verify import verify
from taut.runtimes.artifact import ArtifactRecord, save_artifact

MOST_REMEMBERED = 4


class PlanFailed(RuntimeError):
    """A plan cannot be realised; the message says which move failed and why."""


@dataclass
class Realiser:
    """Turns plans for one network into artifacts in one folder."""

    network: Network
    context: Context
    folder: Path
    _remembered: OrderedDict[str, Moved] = field(default_factory=OrderedDict)

    def apply(self, plan: Plan) -> Moved:
        """Apply all moves with ``verify`` between them; PlanFailed names the move that failed."""
        trained = Plan(tuple(move for move in plan.moves if move.form is Form.MODULE))
        moved = self._trained(trained)
        for move in plan.moves[len(trained.moves) :]:
            moved = self._step(moved, move)
        return moved

    def artifact(self, plan: Plan, key: str) -> tuple[Path, Moved]:
        """Return the artifact's folder under the key, saving it where it is not there yet."""
        folder = self.folder / key
        moved = self.apply(plan)
        if not folder.exists():
            try:
                save_artifact(moved.network, folder, self._record(plan, moved))
            except (RuntimeError, ValueError, BadInput) as error:
                raise PlanFailed(f"save: {error}") from error
        return folder, moved

    def _record(self, plan: Plan, moved: Moved) -> ArtifactRecord:
        return ArtifactRecord(
            threads=self.context.threads, plan=plan.to_json(), names=moved.names, device=self.context.device
        )

    def _trained(self, plan: Plan) -> Moved:
        if not plan.moves:
            return Moved(self.network)
        key = plan.digest()
        if key not in self._remembered:
            before = self._trained(Plan(plan.moves[:-1]))
            self._remembered[key] = self._step(before, plan.moves[-1])
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        return self._remembered[key]

    def _step(self, moved: Moved, move: object) -> Moved:
        """Apply one move. What goes wrong inside a move is a fact about the plan, not the end of the run."""
        kind = getattr(move, "kind", type(move).__name__)
        try:
            step: Moved = move.apply(moved.network, self.context)  # type: ignore[attr-defined]
            verify(step.network.graph, kind)
        except (RuntimeError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
            raise PlanFailed(f"{kind}: {type(error).__name__}: {error}") from error
        except BadInput as error:
            raise PlanFailed(f"{kind}: {error}") from error
        return Moved(step.network, moved.names.then(step.names))
