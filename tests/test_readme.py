"""Every command and the Python of the README, run in the order given on a small network of one's own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

_ROOT = Path(__file__).parent.parent
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", _README, flags=re.DOTALL)
_COMMANDS = [line for kind, text in _BLOCKS if kind == "sh" for line in text.splitlines() if line]
_TAUT = [line for line in _COMMANDS if line.startswith("taut ")]
pytestmark = pytest.mark.timeout(1800)  # the first test waits for all commands; a proof may take a minute
_SEARCH = "--search-time 5s"  # the README's minutes would only find more

_MET_OR_NOT = {0, 3}
_CODES = {"fit": _MET_OR_NOT, "prove": {0, 3, 4}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each command did, and under ``python`` what the Python did."""
    folder = tmp_path_factory.mktemp("readme")
    _write_model(folder / "model.onnx")
    samples = np.random.default_rng(0).normal(size=(96, 3, 32, 32)).astype(np.float32)
    np.savez(folder / "inputs.npz", image=samples)
    taut = str(Path(sys.executable).with_name("taut"))
    done = {line: _run([taut, *shlex.split(_small(line))[1:]], folder) for line in _TAUT}
    script = "".join(text for kind, text in _BLOCKS if kind == "python")
    small = re.sub(r"search_time_s=\d+", "search_time_s=5", script)
    assert small != script
    done["python"] = _run([sys.executable, "-c", small], folder)
    return done


def _small(line: str) -> str:
    if not line.startswith("taut fit"):
        return line
    return f"{re.sub(r' --search-time [^ ]+', '', line)} {_SEARCH}"


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def _write_model(path: Path) -> None:
    """Three convolutions and a head, with random weights: large enough that something can be gained."""
    rng = np.random.default_rng(1)
    nodes, weights, value, channels = [], [], "image", 3
    for index, (width, stride) in enumerate(((16, 1), (32, 2), (32, 2))):
        kernel = rng.normal(size=(width, channels, 3, 3)) / np.sqrt(9 * channels)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"weight{index}"))
        made = [f"conv{index}_out", f"relu{index}_out"]
        nodes.append(
            helper.make_node(
                "Conv",
                [value, f"weight{index}"],
                made[:1],
                name=f"conv{index}",
                pads=[1, 1, 1, 1],
                strides=[stride, stride],
            )
        )
        nodes.append(helper.make_node("Relu", made[:1], made[1:], name=f"relu{index}"))
        value, channels = made[1], width
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"))
    head = (rng.normal(size=(channels, 10)) / 6).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head_weight"))
    nodes.append(helper.make_node("MatMul", ["flat", "head_weight"], ["scores"], name="head"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("line", _TAUT)
def test_readme_command_works(ran: dict[str, subprocess.CompletedProcess[str]], line: str) -> None:
    done = ran[line]
    assert done.returncode in _CODES.get(line.split()[1], {0}), done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_readme_python_works(ran: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = ran["python"]
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout


def test_readme_shows_every_command_of_the_program() -> None:
    help_text = _run([str(Path(sys.executable).with_name("taut")), "--help"], _ROOT).stdout
    listed = set(re.findall(r"^│ (\w+) +\w", help_text, flags=re.MULTILINE))
    assert listed == {line.split()[1] for line in _TAUT}


def test_readme_names_the_targets_that_make_has() -> None:
    targets = re.findall(r"^(\w+):", (_ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    wanted = [line.split()[1] for line in _COMMANDS if line.startswith("make ")]
    assert wanted == ["demo"]
    assert set(wanted) <= set(targets)


def test_make_demo_runs_a_command_of_the_readme() -> None:
    recipe = (_ROOT / "Makefile").read_text(encoding="utf-8")
    demo = re.search(r"\$\(BIN\)/(taut fit .*?)(?: \|\||$)", recipe, flags=re.MULTILINE)
    assert demo is not None
    line = demo[1].replace("runs/demo", "runs/digits")
    assert line in _TAUT
