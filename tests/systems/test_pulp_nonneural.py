from __future__ import annotations

import importlib
from pathlib import Path

from programs import needs_compiler

from taut.core.system import Scale
from taut.systems.pulp_nonneural import CLASSIFIERS, SIZES, SOFT_TIMED_ROWS, SYSTEM, TIMED_ROWS


@needs_compiler
def test_smoke_scale_shows_the_mechanics(tmp_path: Path) -> None:
    experiment = SYSTEM.experiment(Scale.SMOKE, tmp_path)
    assert len(experiment.relations) == 7 and all(relation.holds for relation in experiment.relations)
    assert {row["kernel"] for row in experiment.rows} == {"svm", "random forest", "k-means"}


def test_full_scale_times_all_six_kernels() -> None:
    six = {*CLASSIFIERS, "k-means"}
    assert len(six) == 6 and set(TIMED_ROWS) == set(SOFT_TIMED_ROWS) == six
    assert set(SIZES[Scale.FULL].classifiers) == set(CLASSIFIERS)
    assert SYSTEM.number == 12


def test_parts_exist() -> None:
    for part in SYSTEM.parts:
        module, name = part.split(":")
        assert hasattr(importlib.import_module(module), name)
