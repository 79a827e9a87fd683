"""The ledger: everything a run has found out, written before the next thing begins.

Two tables: ``trials`` (one row per evaluated plan, by its key) and ``facts`` (anything else that took time to
find out: profiles, sensitivities, rankings). A run that is started again replays its strategy against the
ledger, so that nothing is lost and nothing repeated. SQLite by default, any SQLAlchemy URL otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import OperationalError

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.figures import Measured, Predicted, figure_from_json
from taut.core.move import Plan
from taut.core.strategy import Trial

SCHEMA = 1

_METADATA = sql.MetaData()
_TRIALS = sql.Table(
    "trials",
    _METADATA,
    sql.Column("sequence", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("key", sql.String(64), unique=True, nullable=False),
    sql.Column("label", sql.Text, nullable=False),
    sql.Column("plan", sql.JSON, nullable=False),
    sql.Column("costs", sql.JSON, nullable=False),
    sql.Column("quality", sql.JSON, nullable=False),
    sql.Column("predicted", sql.JSON, nullable=False),
    sql.Column("artifact", sql.Text),
    sql.Column("error", sql.Text),
    sql.Column("wall_s", sql.Float, nullable=False),
    sql.Column("date", sql.String(32), nullable=False),
)
_FACTS = sql.Table(
    "facts",
    _METADATA,
    sql.Column("name", sql.String(200), primary_key=True),
    sql.Column("value", sql.JSON, nullable=False),
    sql.Column("wall_s", sql.Float, nullable=False),
)

PlanReader = Callable[[list[dict[str, Any]], str], Plan]


class Ledger:
    """Trials and facts of one run. Every write is committed before the method returns."""

    def __init__(self, url: str, read_plan: PlanReader) -> None:
        self._engine = sql.create_engine(url, json_serializer=_dumps)
        self._read_plan = read_plan
        try:
            _METADATA.create_all(self._engine)
        except OperationalError as error:
            raise BadInput(url, "cannot be opened as a ledger", "name a writable folder") from error
        self._check_schema()

    @staticmethod
    def in_file(path: Path, read_plan: PlanReader) -> Ledger:
        return Ledger(f"sqlite:///{path}", read_plan)

    def trials(self) -> list[Trial]:
        """Every trial, in the order written."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(_TRIALS).order_by(_TRIALS.c.sequence))
            return [self._trial(row._mapping) for row in rows]

    def find(self, key: str) -> Trial | None:
        with self._engine.connect() as connection:
            row = connection.execute(sql.select(_TRIALS).where(_TRIALS.c.key == key)).first()
        return None if row is None else self._trial(row._mapping)

    def write(self, trial: Trial) -> None:
        """Add a trial; a key that is there already stays as it was."""
        if self.find(trial.key) is None:
            self._insert(_TRIALS, _trial_row(trial))

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the JSON value known under the name, computing and keeping it where it is not."""
        if (known := self.known(name)) is not None:
            return known
        started = time.monotonic()
        value = json.loads(_dumps(compute()))  # the same plain form now and after a resume
        self._insert(_FACTS, {"name": name, "value": value, "wall_s": time.monotonic() - started})
        return value

    def known(self, name: str) -> Any:
        """Return the value known under a name, None where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(sql.select(_FACTS.c.value).where(_FACTS.c.name == name)).first()
        return None if row is None else row[0]

    def spent_s(self) -> float:
        """Wall time of everything in the ledger."""
        with self._engine.connect() as connection:
            sums = [sql.func.coalesce(sql.func.sum(table.c.wall_s), 0.0) for table in (_TRIALS, _FACTS)]
            return float(sum(connection.execute(sql.select(total)).scalar_one() for total in sums))

    def close(self) -> None:
        self._engine.dispose()

    def _insert(self, table: sql.Table, row: dict[str, Any]) -> None:
        try:
            with self._engine.begin() as connection:
                connection.execute(sql.insert(table).values(**row))
        except OperationalError as error:
            reason = f"the ledger cannot be written ({error.orig})"
            raise EnvironmentFailed(str(self._engine.url), reason, "free space and use --resume") from error

    def _check_schema(self) -> None:
        schema = self.fact("schema", lambda: SCHEMA)
        if schema != SCHEMA:
            raise BadInput(str(self._engine.url), f"has schema {schema}, not {SCHEMA}", "use a new --out")

    def _trial(self, row: Any) -> Trial:
        return Trial(
            key=row["key"],
            plan=self._read_plan(row["plan"], row["label"]),
            costs={name: _measured(data) for name, data in row["costs"].items()},
            quality=row["quality"],
            predicted={name: _predicted(data) for name, data in row["predicted"].items()},
            artifact=row["artifact"],
            error=row["error"],
            wall_s=row["wall_s"],
        )


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {
        "key": trial.key,
        "label": trial.plan.label,
        "plan": trial.plan.to_json(),
        "costs": {name: figure.to_json() for name, figure in trial.costs.items()},
        "quality": dict(trial.quality),
        "predicted": {name: figure.to_json() for name, figure in trial.predicted.items()},
        "artifact": trial.artifact,
        "error": trial.error,
        "wall_s": trial.wall_s,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _measured(data: dict[str, Any]) -> Measured:
    figure = figure_from_json(data)
    assert isinstance(figure, Measured), f"a trial's costs are measured, not {figure.kind}"
    return figure


def _predicted(data: dict[str, Any]) -> Predicted:
    figure = figure_from_json(data)
    assert isinstance(figure, Predicted), f"not a prediction: {figure.kind}"
    return figure


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
