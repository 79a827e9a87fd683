"""Measuring what ships: artifacts in child processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taut.core.measurement import Measurement
from taut.core.network import Network, Part
from taut.core.runner import Item, Workload
from taut.devices.local import local_device
from taut.graph.ir import Graph, Node, Value
from taut.measure import Limits, RaceSettings, outputs, p50, race
from taut.runtimes.artifact import ArtifactRecord, artifact_spec, load_artifact, save_artifact

SIZE = 256


def chain_of_products(length: int) -> Graph:
    """Multiply by as many matrices as asked, so that time and memory grow with the length."""
    weights = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32) / 16
    steps = range(length)
    return Graph(
        "chain",
        inputs=(Value("x0", "float32", (1, SIZE)),),
        outputs=(Value(f"x{length}", "float32", (1, SIZE)),),
        nodes=tuple(Node(f"product{n}", "MatMul", (f"x{n}", f"w{n}"), (f"x{n + 1}",)) for n in steps),
        constants={f"w{n}": weights * (n + 1) / length for n in steps},
    )


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Path]:
    record = ArtifactRecord(1, local_device())
    return {
        name: save_artifact(Network(name, {"main": Part(chain_of_products(length))}), tmp_path / name, record)
        for name, length in {"long": 60, "short": 3}.items()
    }


def test_outputs_are_those_of_the_artifact_in_this_process(artifacts: dict[str, Path]) -> None:
    rng = np.random.default_rng(1)
    items = [Item({"x0": rng.standard_normal((1, SIZE)).astype(np.float32)}) for _ in range(5)]
    here = load_artifact(artifacts["long"])
    for item, row in zip(items, outputs(artifact_spec(artifacts["long"]), items), strict=True):
        np.testing.assert_array_equal(row["x60"], here(item.inputs)["x60"])


def test_race_tells_a_long_network_from_a_short_one(artifacts: dict[str, Path]) -> None:
    workload = Workload("ones", [Item({"x0": np.ones((1, SIZE), np.float32)})])
    specs = {name: artifact_spec(folder, threads=1) for name, folder in artifacts.items()}
    results = race(specs, workload, RaceSettings(0.1, limits=Limits(threads=1, warm_s=0.1)))
    long, short = results["long"], results["short"]
    assert isinstance(long, Measurement) and isinstance(short, Measurement)
    assert p50(short).value < p50(long).value / 2
    # 57 more matrices of a quarter megabyte each.
    assert long.peak_memory_bytes - short.peak_memory_bytes > 57 * SIZE * SIZE * 4 / 2
    assert long.first_run_ms > 0 and long.open_ms > 0
