"""``import taut`` and ``taut --help`` stay light: what they load, and what that costs beside numpy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "onnxscript",
    "scipy",
    "sklearn",
    "plotly",
    "sqlalchemy",
    "optuna",
    "transformers",
    "safetensors",
    "PIL",
}
_IMPORT = """\
import json, sys, time
started = time.process_time()
import {module}
print(json.dumps([time.process_time() - started, sorted({{name.split('.')[0] for name in sys.modules}})]))
"""


def _import(module: str) -> tuple[float, set[str]]:
    """Import a module in a fresh process: (processor seconds, top-level packages loaded)."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(module=module)], capture_output=True, text=True, check=True
    )
    seconds, loaded = json.loads(done.stdout)
    return seconds, set(loaded)


@pytest.mark.parametrize(
    "module", ["taut", "taut.cli", "taut.tasks", "taut.nets", "taut.moves", "taut.runtimes"]
)
def test_import_loads_nothing_heavy(module: str) -> None:
    _, loaded = _import(module)
    assert loaded & HEAVY == set()
    assert "taut" in loaded


def test_import_of_taut_costs_less_than_that_of_numpy() -> None:
    assert min(_import("taut")[0] for _ in range(3)) < min(_import("numpy")[0] for _ in range(3))


def test_help_answers_without_anything_heavy() -> None:
    program = (
        "import sys, taut.cli\n"
        "sys.argv = ['taut', '--help']\n"
        "try:\n    taut.cli.main()\n"
        "finally:\n    print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "fit" in done.stdout and "prove" in done.stdout
    assert set(done.stderr.split()) & HEAVY == set()


def test_heavy_packages_are_what_would_be_noticed() -> None:
    assert "numpy" in _import("numpy")[1]
    assert "onnx" in _import("onnx")[1] & HEAVY
