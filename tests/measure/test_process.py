from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from taut.core.errors import EnvironmentFailed
from taut.core.runner import Item, RunnerSpec
from taut.measure.environment import timing_cores
from taut.measure.exchange import save_items
from taut.measure.process import Child

SPINNER = RunnerSpec("toy_runners:Spinner", {"count": 10})


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.npz"
    save_items(path, [Item({"x": np.full(2, value)}) for value in (1.0, 2.0)])
    return path


def failing(way: str) -> RunnerSpec:
    return RunnerSpec("toy_runners:Failing", {"way": way, "after": 1})


def test_child_times_each_run(items: Path) -> None:
    with Child("toy", SPINNER, items, timing_cores(1)) as child:
        assert child.ask("start") == {"items": 2, "quantities": ["p50"]}
        assert child.ask("open")["open_ms"] > 0
        reply = child.ask("run", start=3, discard=2, count=5)
    assert len(reply["latency_ms"]) == 5
    assert all(latency > 0 for latency in reply["latency_ms"])


def test_child_holds_pools_and_cores_to_what_it_was_given(items: Path) -> None:
    cores = timing_cores(1)
    with Child("toy", RunnerSpec("toy_runners:Surroundings"), items, cores) as child:
        for command in ("start", "open"):
            child.ask(command)
        given, answered = items, items.with_name("answer.npz")
        child.ask("outputs", items=str(given), into=str(answered))
    with np.load(answered) as stored:
        seen = {key.rpartition("|")[2]: stored[key] for key in stored.files}
    assert seen["threads"][0] == "1"
    assert tuple(seen["cores"][0]) == cores


def test_error_in_the_runner_is_told(items: Path) -> None:
    with Child("toy", failing("raise"), items) as child:
        child.ask("start")
        child.ask("open")
        with pytest.raises(EnvironmentFailed, match=r"'toy': failed to run: ValueError: the toy is broken"):
            child.ask("run", start=0, discard=0, count=5)


def test_crash_is_told_with_the_last_words(items: Path) -> None:
    with Child("toy", failing("die"), items) as child:
        child.ask("start")
        child.ask("open")
        with pytest.raises(EnvironmentFailed, match=r"died \(SIGSEGV\) during 'run'; .*about to fail"):
            child.ask("run", start=0, discard=0, count=5)


def test_hang_is_ended(items: Path) -> None:
    with Child("toy", failing("hang"), items) as child:
        child.ask("start")
        child.ask("open")
        child.timeout_s = 0.2
        with pytest.raises(EnvironmentFailed, match=r"did not answer 'run' within 0.2 s"):
            child.ask("run", start=0, discard=0, count=5)
    assert not psutil.pid_exists(child.process_id)


def test_runner_that_cannot_be_built_is_told(items: Path) -> None:
    with (
        Child("toy", RunnerSpec("toy_runners:Missing"), items) as child,
        pytest.raises(EnvironmentFailed, match=r"failed to start: AttributeError: .*Missing"),
    ):
        child.ask("start")


def test_child_dies_with_its_parent(items: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from taut.core.runner import RunnerSpec\n"
        "from taut.measure.process import Child\n"
        "with Child('toy', RunnerSpec('toy_runners:Failing', {'way': 'hang'}), Path(sys.argv[1])) as child:\n"
        "    child.ask('start')\n"
        "    print(child.process_id, flush=True)\n"
        "    child.ask('run', start=0, discard=0, count=1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(items)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 30
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_memory_is_what_open_took(items: Path) -> None:
    size_bytes = 64 << 20
    with Child("toy", RunnerSpec("toy_runners:Hungry", {"size_bytes": size_bytes}), items) as child:
        child.ask("start")
        child.ask("open")
        child.ask("run", start=0, discard=0, count=1)
        memory = child.ask("memory")
    assert size_bytes <= memory["growth_bytes"] < size_bytes + (16 << 20)
    assert memory["peak_bytes"] > memory["growth_bytes"]
