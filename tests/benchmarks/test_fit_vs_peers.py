"""The command line, Taut's own command, the recipe that peers get, and what is kept between runs."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from toy_cases import convolution_case

import contest.fit
import taut
from contest.fit import Fitted, command, fitted, recovery, watched
from contest.results import Results, summary
from fit_vs_peers import read_request
from models.base import Subject
from taut.core.errors import EnvironmentFailed
from taut.moves.distill.recover import Recover
from taut.train.recipe import Recipe

_README = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
_SUBJECT = Subject("toy", "toy.onnx", "npz:toy.npz", "cosine>=0.999", Path("toy.onnx"))


@pytest.mark.parametrize("line", re.findall(r"^\S*python (benchmarks/fit_vs_peers.py .*)$", _README, re.M))
def test_every_command_of_the_readme_is_understood(line: str) -> None:
    request = read_request(shlex.split(line)[1:])
    assert set(request.models) <= {"resnet20", "mobilenetv2", "ocr_det", "minilm", "gtcrn"}


def test_unknown_network_is_refused_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_request(["--models", "gtcrn,resnet200"])
    assert "resnet200" in capsys.readouterr().err


def test_readme_shows_the_command() -> None:
    assert "python benchmarks/fit_vs_peers.py " in _README


def test_fit_is_taken_up_again_where_its_folder_holds_a_run(tmp_path: Path) -> None:
    assert "--resume" not in command(_SUBJECT, "10m", 2, tmp_path)
    (tmp_path / "run.json").write_text("{}")
    words = command(_SUBJECT, "10m", 2, tmp_path)
    assert words[:2] == ["fit", "toy.onnx"]
    assert words[words.index("--budget") + 1] == "cosine>=0.999"
    assert words[-1] == "--resume"


def test_fit_that_ends_without_a_result_is_an_error(tmp_path: Path) -> None:
    missing = Subject("toy", str(tmp_path / "none.onnx"), "random", "cosine>=0.999", Path("none.onnx"))
    with pytest.raises(EnvironmentFailed, match="exit code 2"):
        fitted(missing, "1s", 1, tmp_path / "fit")


def test_result_of_a_fit_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def run(words: list[str], folder: Path) -> dict[str, object]:
        calls.append((words, folder))
        return {"result": {"best": {"path": "best", "plan": []}}, "peak_resident_bytes": 1}

    monkeypatch.setattr(contest.fit, "_run", run)
    first, second = (fitted(_SUBJECT, "1s", 1, tmp_path) for _ in range(2))
    assert first == second
    assert len(calls) == 1
    assert first.artifact == Path("best")


def test_memory_of_a_fit_is_that_of_its_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest.fit, "LOOK_EVERY_S", 0.05)
    child = "held = b'1' * 200_000_000; import time; time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    peak_bytes = watched(subprocess.Popen([sys.executable, "-c", parent]))
    assert 200_000_000 < peak_bytes < 300_000_000


def _fit(plan: Sequence[Mapping[str, Any]]) -> Fitted:
    return Fitted({"best": {"path": "best", "plan": plan}}, 1)


def test_peers_are_trained_by_the_recipe_of_the_artifact(tmp_path: Path) -> None:
    own = Recover(epochs=3, lr=0.02)
    plan = [{"move": "prune", "settings": {}}, {"move": "recover", "settings": asdict(own)}]
    case = convolution_case(tmp_path)
    assert recovery(_fit(plan), case) == Recipe(**asdict(own))
    further = [*plan, {"move": "qat", "settings": {"epochs": 2}}]
    assert recovery(_fit(further), case) == Recipe(**{**asdict(own), "epochs": 5})


def test_source_digest_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taut, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "__init__.py").write_text("one = 1")
    before = contest.fit.source_digest()
    (tmp_path / "__init__.py").write_text("one = 2")
    assert contest.fit.source_digest() != before


def test_finished_section_is_found_only_under_its_own_key(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")
    assert results.find("toy", "key") is None
    results.put("toy", {"key": "key", "ratio": {"value": 0.5}})
    results.put("other", {"error": "no network"})
    assert results.find("toy", "key") == {"key": "key", "ratio": {"value": 0.5}}
    assert results.find("toy", "another key") is None
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == 1


def test_summary_is_the_geometric_mean_over_what_was_proven() -> None:
    sections = {
        "one": {"ratio": {"value": 0.25}},
        "two": {"ratio": {"value": 1.0}},
        "failed": {"error": "no network"},
        "not asked for": {"ratio": {"value": 9.0}},
    }
    found = summary(sections, ["one", "two", "failed"])
    assert math.isclose(found["geometric_mean_ratio"], 0.5)
    assert list(found["models"]) == ["one", "two", "failed"]
    assert summary({}, ["one"])["geometric_mean_ratio"] is None
