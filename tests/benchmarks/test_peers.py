"""Every line prepares and runs a small network; preparing is done once; failures say why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from toy_cases import convolution_case, recurrent_case, recurrent_oracle

from peers import untrained_lines
from peers.base import Case, Line, LineFailed, first_that_runs, prepared
from peers.calibration import calibration_feeds
from peers.ort_options import sweep
from peers.runners import OnnxRuntimeRunner, OpenVinoRunner
from taut.core.runner import Item, RunnerSpec
from taut.measure import outputs
from taut.tasks.fidelity import cosine_of
from taut.tasks.sequences import SequenceSplit

# The extra "peers" is not part of a plain installation; its lines are tried where it is.
_LINES = [line for line in untrained_lines() if all(map(find_spec, line.packages))]


@pytest.mark.parametrize("line", _LINES, ids=lambda line: line.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_line_runs_what_the_original_computes(line: Line, tmp_path: Path) -> None:
    case = convolution_case(tmp_path)
    items = case.select_items(4)
    reference = outputs(case.spec("OnnxRuntimeRunner", case.file), items)
    found = outputs(prepared(line, case), items)
    least = min(cosine_of(*pair) for pair in zip(found, reference, strict=True))
    assert least > (0.98 if "int8" in line.name else 0.9999)


@dataclass
class _Counting:
    """A line that says how often it was prepared."""

    name: str = "counting"
    packages: tuple[str, ...] = ("onnx",)
    times = 0

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        type(self).times += 1
        (folder / "model.onnx").write_bytes(case.file.read_bytes())
        return case.spec("OnnxRuntimeRunner", folder / "model.onnx")


def test_line_is_prepared_once_until_something_that_decides_it_changes(tmp_path: Path) -> None:
    case = convolution_case(tmp_path)
    first, second = (prepared(_Counting(), case) for _ in range(2))
    assert first == second
    assert _Counting.times == 1
    prepared(_Counting("under another name"), case)
    assert _Counting.times == 2


@dataclass
class _Failing:
    name: str = "failing"
    packages: tuple[str, ...] = ("onnx",)

    def prepare(self, _case: Case, _folder: Path) -> RunnerSpec:
        raise AttributeError("'NoneType' object has no attribute 'shape'")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (_Failing(), "AttributeError: 'NoneType'"),
        (_Failing(packages=("no-such-package",)), "PackageNotFoundError"),
    ],
)
def test_failure_of_a_tool_is_the_line_s_result(line: Line, reason: str, tmp_path: Path) -> None:
    with pytest.raises(LineFailed, match=reason):
        prepared(line, convolution_case(tmp_path))


def test_first_attempt_that_runs_is_taken_and_all_reasons_are_kept(tmp_path: Path) -> None:
    case = convolution_case(tmp_path)
    right = case.spec("OnnxRuntimeRunner", case.file)
    wrong = case.spec("OnnxRuntimeRunner", tmp_path / "not there.onnx")
    assert first_that_runs([lambda: wrong, lambda: right], case) == right
    with pytest.raises(LineFailed, match=r"not there.*; then .*not there"):
        first_that_runs([lambda: wrong, lambda: wrong], case)


@pytest.mark.parametrize("runner", [OnnxRuntimeRunner, OpenVinoRunner])
def test_runner_carries_state_until_a_sequence_starts(
    runner: type[OnnxRuntimeRunner] | type[OpenVinoRunner], tmp_path: Path
) -> None:
    case = recurrent_case(tmp_path)
    assert case.network.feedback == {"state_out": "state_in"}
    steps = [item.inputs["x"] for item in case.select_items(6)]
    opened = runner(str(case.file), 1, case.outputs, case.network.feedback)
    opened.open()
    answers = [opened.run(Item({"x": x}, index in (0, 4))).outputs["y"] for index, x in enumerate(steps)]
    wanted = [*recurrent_oracle(steps[:4]), *recurrent_oracle(steps[4:])]
    # OpenVINO takes bfloat16 by itself where the processor has it.
    np.testing.assert_allclose(answers, wanted, atol=1e-6 if runner is OnnxRuntimeRunner else 0.05)


def _in_sequences(case: Case, steps: int) -> Case:
    """The case with its samples as sequences."""
    split = SequenceSplit(case.task.select, steps)
    return replace(case, task=replace(case.task, train=split, select=split))


def test_calibration_feeds_hold_the_state_of_their_step(tmp_path: Path) -> None:
    feeds = calibration_feeds(_in_sequences(recurrent_case(tmp_path), 4))
    assert len(feeds) == 8
    assert not feeds[0]["state_in"].any() and not feeds[4]["state_in"].any()
    np.testing.assert_allclose(feeds[1]["state_in"], np.tanh(feeds[0]["x"]), rtol=1e-5)


def test_items_to_select_on_begin_a_sequence_even_if_they_do_not_fill_it(tmp_path: Path) -> None:
    items = _in_sequences(recurrent_case(tmp_path), 4).select_items(3)
    assert [item.starts_sequence for item in items] == [True, False, False]


def test_sweep_starts_at_the_default_and_stays_within_the_threads() -> None:
    assert sweep(1)[0] == {}
    assert all("execution_mode" not in options for options in sweep(1))
    assert {"intra_op_num_threads": 1} in sweep(2)
