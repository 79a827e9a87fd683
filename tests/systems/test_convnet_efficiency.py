from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from programs import needs_compiler

pytest.importorskip("torch")

from taut.core.system import Scale
from taut.systems.convnet_efficiency import FUSED, SIZES, SYSTEM, WATERED


@needs_compiler
def test_smoke_scale_shows_the_mechanics(tmp_path: Path) -> None:
    experiment = SYSTEM.experiment(Scale.SMOKE, tmp_path)
    assert len(experiment.relations) == 3 and all(relation.holds for relation in experiment.relations)
    assert all(row["steps"][1] > row["steps"][0] for row in experiment.rows)


def test_full_scale_has_blocks_of_every_kind_and_both_batches() -> None:
    assert SIZES[Scale.FULL].blocks == FUSED
    assert {block.shape[0] for block in FUSED} == {1, 4} and len(WATERED) >= 10
    assert SYSTEM.number == 125


def test_parts_exist() -> None:
    for part in SYSTEM.parts:
        module, name = part.split(":")
        assert hasattr(importlib.import_module(module), name)
