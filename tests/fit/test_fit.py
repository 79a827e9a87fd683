"""``fit`` end to end on a small network: met and missed budgets, resume after a kill, and every refusal.

Searches last seconds here; what they find is not the point, what they promise about it is.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtimes.runtime_nets import streaming_graph

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.figures import Measured
from taut.core.network import Network, Part
from taut.core.strategy import Trial
from taut.core.task import Task
from taut.fit import api
from taut.fit.api import Place, fit_network
from taut.fit.ledger import Ledger
from taut.fit.request import Request
from taut.fit.result import FitResult
from taut.graph.ir import Graph, Node, Value
from taut.graph.onnx_export import save_onnx
from taut.runtimes.artifact import load_artifact
from taut.runtimes.evaluate import Evaluator
from taut.tasks.open import open_task

# Nothing here is about speed: a proof that ends undecided will do, a minute of it would not.
_QUICK = Request(threads=1, search_time_s=4.0, proof_s=3.0, moves=("runtime",))


def _graph() -> Graph:
    """conv-relu-pool-flatten-head on pictures of (1, 3, 16, 16)."""
    rng = np.random.default_rng(0)
    nodes = (
        Node("conv", "Conv", ("image", "kernel"), ("features",), {"pads": [1, 1, 1, 1]}),
        Node("relu", "Relu", ("features",), ("positive",)),
        Node("pool", "GlobalAveragePool", ("positive",), ("pooled",)),
        Node("flatten", "Flatten", ("pooled",), ("flat",), {"axis": 1}),
        Node("head", "Gemm", ("flat", "weights", "bias"), ("scores",)),
    )
    constants = {
        "kernel": rng.normal(size=(16, 3, 3, 3)).astype(np.float32),
        "weights": rng.normal(size=(16, 4)).astype(np.float32),
        "bias": np.full(4, -1.0, np.float32),
    }
    image, scores = Value("image", "float32", (1, 3, 16, 16)), Value("scores", "float32", (1, 4))
    return Graph("small", (image,), (scores,), nodes, constants)


def _network() -> Network:
    return Network("small", {"main": Part(_graph())})


def _task(data: str = "random") -> Task:
    return open_task(data, _graph().inputs, {})


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """A budget that nothing on earth meets."""
    out = tmp_path_factory.mktemp("missed") / "run"
    return fit_network(_network(), _task(), "p50<=0.01us, cosine>=0.99", _QUICK, Place(out))


def test_missed_budget_returns_nearest_miss_floor_front_and_relaxation(missed: FitResult) -> None:
    assert not missed.met
    assert missed.exit_code == 3
    data = missed.to_json()
    assert data["floor"]["kind"] == "predicted"
    assert data["floor"]["value"] > 0.00001
    assert data["front"]
    relaxed = data["relaxations"][0]
    assert (relaxed["quantity"], relaxed["asked"]) == ("p50", 0.00001)
    assert relaxed["possible"] > relaxed["asked"]
    assert "p50<=0.01us is missed" in data["verdict"]


def test_result_figures_are_measured_and_json_is_strict(missed: FitResult) -> None:
    data = json.loads(json.dumps(missed.to_json(), allow_nan=False))
    for side in ("original", "best"):
        assert data[side]["p50"]["kind"] == "measured"
        assert data[side]["p50"]["value"] > 0
    assert 0 < data["ratio"]["low"] <= data["ratio"]["mid"] <= data["ratio"]["high"]


def test_artifact_gives_the_outputs_of_the_original(missed: FitResult) -> None:
    image = np.random.default_rng(3).normal(size=(1, 3, 16, 16)).astype(np.float32)
    original = load_artifact(missed.folder.candidates / "original")({"image": image})
    best = load_artifact(missed.best)({"image": image})
    np.testing.assert_allclose(best["scores"], original["scores"], rtol=1e-4, atol=1e-4)


def test_everything_a_run_promises_is_written(missed: FitResult) -> None:
    written = {path.name for path in missed.folder.root.iterdir()}
    assert {"best", "front.json", "evidence.json", "ledger.db", "report.html", "run.json"} <= written
    evidence = json.loads((missed.folder.root / "evidence.json").read_text())
    assert len(evidence["old_ms"]) > 0
    assert evidence["broken"] == ["p50<=0.01us"]


def test_random_inputs_leave_quality_unknown(missed: FitResult) -> None:
    assert any("quality unknown" in note for note in missed.report_data.notes)


def test_generous_budget_is_met(tmp_path: Path) -> None:
    result = fit_network(_network(), _task(), "p50<=1s, file<=1MB", _QUICK, Place(tmp_path / "run"))
    assert result.met
    assert result.exit_code == 0


def test_the_budget_table_gives_the_drop_the_interval_of_the_headline(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(rng.normal(size=(400, 3, 1, 1)), 1.0, (400, 3, 16, 16)).astype(np.float32)
    run = Evaluator(_graph()).run
    labels = np.array([run({"image": image[None]})["scores"].argmax() for image in images])
    labels[::5] = rng.integers(4, size=80)
    np.savez(tmp_path / "labelled.npz", allow_pickle=False, image=images, labels=labels)
    task, request = _task(f"npz:{tmp_path / 'labelled.npz'}"), replace(_QUICK, moves=("int8",))
    result = fit_network(_network(), task, "drop<=100", request, Place(tmp_path / "run"))
    (row,) = result.report_data.budget
    assert isinstance(row.best, Measured)
    assert result.to_json()["best"]["drop"] == {
        "value": row.best.value,
        "low": row.best.low,
        "high": row.best.high,
    }


_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_fit import _QUICK, _network, _task
from taut.fit.api import Place, fit_network
fit_network(_network(), _task(), "p50<=0.01us", _QUICK, Place(Path(sys.argv[2]), resume=len(sys.argv) > 3))
"""


def test_killed_run_resumes_without_repeating_a_trial(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", _RUN, str(Path(__file__).parent), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        before = _wait_for_trials(out / "ledger.db", process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run([*command, "resume"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    after = _rows(out / "ledger.db")
    assert after[: len(before)] == before
    assert (out / "report.html").exists()


def _wait_for_trials(ledger: Path, process: subprocess.Popen[bytes]) -> list[tuple[Any, ...]]:
    """Rows of the ledger as soon as there is a trial."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        rows = _rows(ledger) if ledger.exists() else []
        if rows:
            return rows
        time.sleep(0.05)
    raise AssertionError("the run wrote no trial")


def _rows(ledger: Path) -> list[tuple[Any, ...]]:
    try:
        with sqlite3.connect(ledger) as connection:
            return connection.execute(
                "select sequence, key, costs, date from trials order by sequence"
            ).fetchall()
    except sqlite3.OperationalError:  # the tables are not there yet
        return []


def test_interrupt_ends_the_search_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        name = "interrupted"

        def search(self, problem: Any) -> Any:
            yield problem.trials[0].plan
            raise KeyboardInterrupt

    monkeypatch.setattr(api, "make_strategy", lambda _name: Interrupted())
    patient = replace(_QUICK, search_time_s=600.0)
    result = fit_network(_network(), _task(), "p50<=0.01us", patient, Place(tmp_path / "run"))
    assert result.exit_code == 4
    assert (tmp_path / "run" / "report.html").exists()


def test_search_never_opens_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task()

    class Watching:
        name = "watching"

        def search(self, problem: Any) -> Any:
            for move in problem.moves["runtime"].offers(problem.network, problem.context)[:2]:
                assert task.test.reader is None
                yield problem.trials[0].plan
                del move

    monkeypatch.setattr(api, "make_strategy", lambda _name: Watching())
    fit_network(_network(), task, "p50<=1s", _QUICK, Place(tmp_path / "run"))
    assert task.test.reader == "the final proof"


def test_full_disk_ends_the_run_with_one_line_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, place = Ledger.write, Place(tmp_path / "run")

    def fail(self: Ledger, trial: Trial) -> None:
        write(self, trial)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Ledger, "write", fail)
    with pytest.raises(EnvironmentFailed, match=r"the disk is full.*--resume") as caught:
        fit_network(_network(), _task(), "p50<=1s", _QUICK, place)
    assert caught.value.exit_code == 6
    monkeypatch.setattr(Ledger, "write", write)
    assert fit_network(_network(), _task(), "p50<=1s", _QUICK, Place(place.out, resume=True)).met


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    graph = _graph()
    poisoned = replace(graph, constants={**graph.constants, "bias": np.full(4, np.nan, np.float32)})
    with pytest.raises(BadInput, match="constants are numbers"):
        fit_network(
            Network("poisoned", {"main": Part(poisoned)}), _task(), "p50<=1s", _QUICK, Place(tmp_path)
        )


def test_recurrent_network_is_searched_with_its_state_fed_back(tmp_path: Path) -> None:
    graph = streaming_graph()
    network = Network("streaming", {"main": Part(graph)}, feedback={"state_out": "state_in"})
    (frame,) = [value for value in graph.inputs if value.name != "state_in"]
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(20, 8, *frame.static_shape[1:])).astype(np.float32)
    np.savez(tmp_path / "frames.npz", allow_pickle=False, **{frame.name: frames})
    task = open_task(f"npz:{tmp_path / 'frames.npz'}", graph.inputs, network.feedback)
    request = replace(_QUICK, moves=("int8",), search_time_s=30.0)
    result = fit_network(network, task, "cosine>=0.9", request, Place(tmp_path / "run"))
    assert any(trial.plan.moves and trial.plan.moves[0].kind == "int8" for trial in result.trials)
    assert result.met


@pytest.mark.parametrize(
    ("op", "message"), [("Log", "is NaN on sample"), ("RandomNormalLike", "differs between two runs")]
)
def test_outputs_that_cannot_be_trusted_are_refused(tmp_path: Path, op: str, message: str) -> None:
    negative = Node("negative", "Neg", ("flat",), ("below_zero",))
    odd = Node("odd", op, ("below_zero",), ("odd_out",))
    head = Node("head", "Gemm", ("odd_out", "weights", "bias"), ("scores",))
    graph = _graph()
    nodes = (*graph.nodes[:4], negative, odd, head)
    network = Network(
        "noisy", {"main": Part(Graph("noisy", graph.inputs, graph.outputs, nodes, graph.constants))}
    )
    with pytest.raises(BadInput, match=message):
        fit_network(network, _task(), "p50<=1s", _QUICK, Place(tmp_path / "run"))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("p50<=2ms, drop<=1", "drop needs labels.*cosine"),
        ("energy<=3mJ", "'energy' cannot be measured here"),
        ("p50<=2", "p50 needs a unit"),
        ("p50<=2MB", "'MB' is not a unit of p50"),
        ("p50<=2ms, p50<=3ms", "contradicts or repeats"),
        ("p50>=2ms", "better lower"),
        ("fast", "is not QUANTITY<=NUMBER"),
        ("", "has no limit"),
    ],
)
def test_budget_that_cannot_be_judged_is_refused(tmp_path: Path, budget: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fit_network(_network(), _task(), budget, _QUICK, Place(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(strategy="luck"), "strategy 'luck'.*is not known"),
        (Request(moves=("magic",)), "move 'magic'.*is not known"),
        (Request(keep=("nothing*",)), "matches no node"),
    ],
)
def test_unknown_names_are_refused_with_those_that_exist(
    tmp_path: Path, request_: Request, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        fit_network(_network(), _task(), "p50<=1s", request_, Place(tmp_path / "run"))


def test_command_line_says_what_is_wrong_in_one_line_and_exits_2(tmp_path: Path) -> None:
    taut = str(Path(sys.executable).with_name("taut"))
    save_onnx(_graph(), tmp_path / "model.onnx")
    cases = (
        ["missing.onnx"],
        ["model.onnx", "--shape", "image=0x3"],
        ["model.onnx", "--data", "npz:none.npz"],
    )
    for arguments in cases:
        command = [taut, "fit", *arguments, "--budget", "p50<=1s", "--out", "run"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.startswith("taut: ")
    assert not (tmp_path / "run").exists()
