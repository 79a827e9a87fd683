"""The page of systems says what the committed results say, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taut.core.errors import BadInput
from taut.core.system import Experiment, Relation, Scale, System
from taut.systems import SYSTEMS, select_systems
from taut.systems.page import RESULTS, committed_result, describe_systems, systems_page
from taut.systems.trial import try_one

_ROOT = Path(__file__).parents[2]


def _system(value: float) -> System:
    relation = Relation("accuracy(a) - accuracy(b) >= 2 points", value, 2.0)

    def experiment(scale: Scale, work_folder: Path) -> Experiment:
        assert work_folder.is_dir()
        return Experiment([relation], [{"line": "a", "scale": str(scale)}], seeds=[0])

    return System("toy", 0, "A toy", "prune", [], [], experiment)


def test_committed_page_is_what_the_results_generate() -> None:
    assert (_ROOT / "docs" / "systems.md").read_text() == systems_page()


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_committed_state_follows_from_the_committed_relations(name: str) -> None:
    result = committed_result(SYSTEMS.load(name))
    if result is None:
        assert f"{name:<24} absent" in describe_systems(None)
        return
    held = all(relation["holds"] for relation in result["relations"])
    assert result["state"] == ("works" if held else "partial")
    assert result["scale"] == "full"


def test_every_result_belongs_to_a_system() -> None:
    assert {file.stem for file in RESULTS.glob("*.json")} <= set(SYSTEMS)


@pytest.mark.parametrize(("value", "state"), [(3.0, "works"), (1.0, "partial")])
def test_trial_holds_exactly_when_its_relations_do(tmp_path: Path, value: float, state: str) -> None:
    result = try_one(_system(value), Scale.SMOKE, tmp_path)
    assert result.state == state
    written = json.loads((tmp_path / "toy-smoke.json").read_text())
    assert written["state"] == state
    assert written["relations"] == [
        {"name": "accuracy(a) - accuracy(b) >= 2 points", "value": value, "bound": 2.0, "holds": value >= 2}
    ]


def test_nothing_named_is_refused_with_the_families() -> None:
    with pytest.raises(BadInput, match="prune"):
        select_systems(None, None, every=False)
    with pytest.raises(BadInput, match="names no system"):
        select_systems(None, "cooking", every=False)


def test_all_selects_every_registered_system() -> None:
    assert [system.id for system in select_systems(None, None, every=True)] == list(SYSTEMS)
