"""``use.py``: the shortest script that runs an artifact, without taut wherever stock runtimes suffice.

Where a stage needs taut, or more than 20 lines would be needed, the script loads the artifact through taut.
Recurrent state is passed by hand, as every other input.
"""

from __future__ import annotations

from taut.runtimes import get_runtime
from taut.runtimes.base import StageScript
from taut.runtimes.manifest import Manifest, SavedStage

LINES_BOUND = 20

_WITH_TAUT = '''"""Runs this artifact: outputs = network(inputs), arrays by name."""
from pathlib import Path

import numpy as np

from taut.runtimes.artifact import load_artifact

network = load_artifact(Path(__file__).parent)

if __name__ == "__main__":
    inputs = {value.name: np.ones(value.static_shape, value.dtype) for value in network.manifest.inputs}
    print({name: array.shape for name, array in network(inputs).items()})
'''


def use_script(manifest: Manifest) -> str:
    """Return the script for an artifact whose files are saved."""
    scripts = [_stage_script(saved, manifest, number) for number, saved in enumerate(manifest.stages)]
    if any(script is None for script in scripts):
        return _WITH_TAUT
    lines = _lines(manifest, [script for script in scripts if script is not None])
    return "\n".join(lines) + "\n" if len(lines) <= LINES_BOUND else _WITH_TAUT


def _stage_script(saved: SavedStage, manifest: Manifest, number: int) -> StageScript | None:
    if len(saved.files) != 1:
        return None
    runtime = get_runtime(saved.stage.runtime)
    return runtime.script(saved.files[0].path, saved.stage, manifest.threads, f"stage_{number}")


def _lines(manifest: Manifest, scripts: list[StageScript]) -> list[str]:
    sizes = {
        value.name: ([size if isinstance(size, int) else 1 for size in value.shape or ()], value.dtype)
        for value in manifest.inputs
    }
    wanted = [value.name for value in manifest.outputs]
    return [
        '"""Runs this artifact without taut: outputs = run(inputs), arrays by name."""',
        "from pathlib import Path",
        "import numpy as np",
        *sorted({f"import {script.module}" for script in scripts}),
        "folder = Path(__file__).parent",
        *(line for script in scripts for line in script.open_lines),
        "def run(values):",
        *(
            f"    {line}"
            for script, saved in zip(scripts, manifest.stages, strict=True)
            for line in _run_lines(script, saved)
        ),
        f"    return {{name: values[name] for name in {wanted}}}",
        'if __name__ == "__main__":',
        f"    inputs = {{name: np.ones(*size) for name, size in {sizes}.items()}}",
        "    print({name: array.shape for name, array in run(inputs).items()})",
    ]


def _run_lines(script: StageScript, saved: SavedStage) -> tuple[str, str]:
    return (
        f"feed = {{name: values[name] for name in {list(saved.inputs)}}}",
        f"values = {{**values, **dict(zip({list(saved.outputs)}, {script.run_call}))}}",
    )
